//! The range that a grid should cover, judged by the outputs of a site rather than by its weights.

use crate::lattice::{Lattice, Plain, Span};
use crate::moments::{Moments, off};
use crate::rounding::Clip;

/// The ranges that are tried, in twentieths of the largest magnitude.
pub(crate) const RANGES: std::ops::Range<u32> = 1..20;

/// The scales with the smallest squared error of the outputs of the rounded weight, among ranges from the whole down to a
/// twentieth, and the range of least squared error of the entries.
///
/// Groups are searched one after the other, each with the others as they are by then, so that the outputs are never
/// further off than with the whole range.
///
/// # Panics
/// When the Gram matrix is of other inputs.
pub fn clip(plain: &Plain<'_>, lattice: Lattice, moments: &Moments) -> Vec<f32> {
    let (shape, (n, outputs)) = (plain.shape(), plain.shape());
    let whole = lattice.fit(plain, Clip::Max);
    let by_share = |share: f64| whole.iter().map(|s| (f64::from(*s) * share) as f32).collect::<Vec<f32>>();
    let mut tried: Vec<Vec<f32>> = vec![lattice.fit(plain, Clip::Mse)];
    tried.extend(RANGES.rev().map(|twentieths| by_share(f64::from(twentieths) / 20.0)));

    let mut best = whole.clone();
    let mut now = off(plain.values(), &lattice.nearest(plain, whole.clone()).values(plain.keep()));
    let size = lattice.inputs(n).max(1);
    for start in (0..n).step_by(size) {
        let inputs = start..n.min(start + size);
        let part = plain.rows(inputs.clone());
        let pull = moments.product(inputs.clone(), &now, outputs);
        let entries = start * outputs..inputs.end * outputs;
        let was = now[entries.clone()].to_vec();
        let mut least = vec![0.0; outputs];
        for scales in &tried {
            let off_by = |(at, w): (usize, &f32)| {
                let entry = start * outputs + at;
                match part.kept(at) {
                    true => {
                        let scale = scales[lattice.scale_of(shape, entry)].max(f32::MIN_POSITIVE);
                        f64::from(lattice.round(f64::from(*w), scale).1) - f64::from(*w)
                    }
                    false => 0.0,
                }
            };
            let new: Vec<f64> = part.values().iter().enumerate().map(off_by).collect();
            let moved: Vec<f64> = new.iter().zip(&was).map(|(new, was)| new - was).collect();
            let mut more = moments.errors_of(inputs.clone(), &moved, outputs);
            for ((moved, pull), at) in moved.iter().zip(&pull).zip((0..outputs).cycle()) {
                more[at] += 2.0 * moved * pull;
            }
            if lattice.span == Span::Tensor {
                more = vec![more.iter().sum(); outputs];
            }
            for (o, more) in
                more.into_iter().enumerate().filter(|(o, more)| *more < least[*o]).collect::<Vec<_>>()
            {
                least[o] = more;
                let scale = lattice.scale_of(shape, start * outputs + o);
                best[scale] = scales[scale].max(f32::MIN_POSITIVE);
                (o..new.len()).step_by(outputs).for_each(|at| now[start * outputs + at] = new[at]);
            }
        }
    }
    best
}
