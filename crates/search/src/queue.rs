//! Tasks side by side: whoever is done takes the longest that is left, so that no thread waits long for the last one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does tasks on the threads of a pool, those of the largest cost first; `work` is given the place of the task. Results lie in
/// the order of the tasks, and do not depend on the number of threads.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    pool: &rayon::ThreadPool,
    tasks: &[T],
    cost: impl Fn(&T) -> f64,
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    let mut order: Vec<usize> = (0..tasks.len()).collect();
    order.sort_by(|&a, &b| cost(&tasks[b]).total_cmp(&cost(&tasks[a])));
    let next = AtomicUsize::new(0);
    let done: Vec<Mutex<Option<R>>> = tasks.iter().map(|_| Mutex::new(None)).collect();
    let take = || {
        while let Some(&place) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = work(place, &tasks[place]);
            *done[place].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    pool.scope(|scope| (0..pool.current_num_threads()).for_each(|_| scope.spawn(|_| take())));
    let results = done.into_iter().map(|cell| cell.into_inner().unwrap_or_else(PoisonError::into_inner));
    results.map(|result| result.expect("the scope ends when every task is done")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_lie_in_order_and_the_longest_begins_first() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let begun = Mutex::new(Vec::new());
            let tasks = [3_u32, 1, 5, 4, 1, 2];
            let squares = side_by_side(
                &pool,
                &tasks,
                |n| f64::from(*n),
                |place, n| {
                    begun.lock().unwrap().push(*n);
                    (place, n * n)
                },
            );
            assert_eq!(squares, [(0, 9), (1, 1), (2, 25), (3, 16), (4, 1), (5, 4)]);
            let begun = begun.into_inner().unwrap();
            assert!(threads > 1 || begun == [5, 4, 3, 2, 1, 1], "{begun:?}");
            assert_eq!(begun.len(), 6);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        assert!(side_by_side(&pool, &[0_u8; 0], |_| 0.0, |_, _| ()).is_empty());
    }
}
