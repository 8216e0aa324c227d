//! One row from the tokens of each example.

use burn::tensor::{Tensor, TensorData};
use nlpress_core::backend::host::{Computed, HostOperation, apply};
use nlpress_kernels::dense::Pool;
use std::borrow::Cow;

use super::Way;

/// The sums `[examples, width]` of the tokens `x` `[places, width]` of each example, each times its share. The tokens of an
/// example begin and end at `offsets`; places behind all of them go nowhere.
pub(crate) fn pool(way: Way, x: Tensor<2>, offsets: &[usize], shares: Vec<f32>) -> Tensor<2> {
    let [places, width] = x.dims();
    if let Way::Host(kind) = way {
        let pool = Pool::new(offsets.to_vec(), shares);
        return apply(kind, Pooled { pool, width, places }, [x]);
    }
    let examples = offsets.len() - 1;
    let mut matrix = vec![0.0; examples * places];
    for (n, range) in offsets.windows(2).map(|w| w[0]..w[1]).enumerate() {
        matrix[n * places..][range.clone()].copy_from_slice(&shares[range]);
    }
    Tensor::<2>::from_data(TensorData::new(matrix, [examples, places]), &x.device()).matmul(x)
}

#[derive(Debug)]
struct Pooled {
    pool: Pool,
    width: usize,
    places: usize,
}

impl HostOperation<1> for Pooled {
    type State = ();

    fn forward(&self, [x]: [&[f32]; 1], _: bool) -> Computed<()> {
        let numbers = self.pool.forward(x, self.width);
        Computed { shape: [numbers.len() / self.width, self.width], numbers, state: () }
    }

    fn backward(
        &self,
        _: [&[f32]; 1],
        _: (&[f32], &()),
        upstream: Cow<'_, [f32]>,
        _: [bool; 1],
    ) -> [Option<Vec<f32>>; 1] {
        [Some(self.pool.backward(&upstream, self.width, self.places))]
    }
}
