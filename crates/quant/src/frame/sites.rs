//! What packing techniques share: planning over sites, walking them, and measuring what packing did.

use nlpress_core::Measurement;
use nlpress_model::{Form, Layer, Model, Outline, SiteId, Weight};
use nlpress_packed::{Index, MOST_QUANTIZED_INPUTS, Matrix, Scheme, Values};
use nlpress_technique::{Cx, Problem, StepError};

use crate::{Noise, QuantError};

/// Sites whose inputs are collected in one pass: what is kept of them grows with their number.
pub(crate) const AT_ONCE: usize = 8;

/// The outline with the selected sites packed as `values`; sites that cannot be go into `problems`.
pub(crate) fn plan(before: &Outline, on: &[SiteId], values: Values, problems: &mut Vec<Problem>) -> Outline {
    let mut after = before.clone();
    if on.is_empty() {
        problems.push(Problem::of_step("no site is selected"));
    }
    problems.extend(Problem::missing(before, on));
    for id in on {
        let Some(site) = after.site_mut(id) else { continue };
        let inputs = site.shape.inputs;
        if inputs > MOST_QUANTIZED_INPUTS {
            let why = format!("it has {inputs} inputs, but at most {MOST_QUANTIZED_INPUTS} can be quantized");
            problems.push(Problem::at(id, why));
        }
        match index(site.form).map(|index| Scheme { values, index }) {
            Some(scheme) => match scheme.check() {
                Ok(()) => site.form = Form::Packed(scheme),
                Err(error) => problems.push(Problem::at(id, format!("it is {}: {error}", site.form))),
            },
            None => problems.push(Problem::at(id, format!("it is already {}", site.form))),
        }
    }
    after
}

/// Makes a matrix of a layer, its mask where it has one, and the index to pack it with.
pub(crate) type Make<'a> = dyn Fn(&Layer, Option<&[bool]>, Index) -> Result<Matrix, QuantError> + 'a;

/// The numbers of the selected sites, in the order of the network.
///
/// # Errors
/// [`StepError::Failed`] for a site that is not there.
pub(crate) fn selected(model: &Model, on: &[SiteId]) -> Result<Vec<usize>, StepError> {
    if let Some(id) = on.iter().find(|id| model.layer(id).is_none()) {
        return Err(StepError::at(id, "there is no such site"));
    }
    let layers = model.layers().iter().enumerate();
    Ok(layers.filter(|(_, layer)| on.contains(&layer.id)).map(|(site, _)| site).collect())
}

/// Packs the selected sites with `make`.
pub(crate) fn pack(
    model: Model,
    on: &[SiteId],
    cx: &mut Cx<'_>,
    values: Values,
    make: &Make<'_>,
) -> Result<Model, StepError> {
    let (graph, mut layers) = model.into_parts();
    let mut totals = Totals::default();
    for (done, id) in on.iter().enumerate() {
        cx.progress("quantizing", done, on.len())?;
        let layer = layers.iter_mut().find(|l| &l.id == id);
        let layer = layer.ok_or_else(|| StepError::at(id, "there is no such site"))?;
        let (keep, index) = unpacked(layer)?;
        let matrix = make(layer, keep, index).map_err(|e| StepError::at(id, e))?;
        totals.add(id, &layer.weight.values(), &matrix, index, cx);
        layer.weight = Weight::Packed { scheme: Scheme { values, index }, matrix };
    }
    totals.report(cx);
    cx.progress("quantizing", on.len(), on.len())?;
    Ok(Model::new(graph, layers)?)
}

/// What packing did to all sites so far.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    noise: Noise,
    before: usize,
    after: usize,
}

impl Totals {
    /// Counts a site that was `values` and is `matrix` now.
    pub(crate) fn add(
        &mut self,
        id: &SiteId,
        values: &[f32],
        matrix: &Matrix,
        index: Index,
        cx: &mut Cx<'_>,
    ) {
        let restored = matrix.unpack();
        let noise = Noise::between(values, &restored);
        let furthest = values.iter().zip(&restored).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        cx.measure(Measurement::higher(&format!("sqnr.{id}"), noise.decibels(), "dB"));
        cx.measure(Measurement::lower(&format!("largest_error.{id}"), furthest.into(), "1"));
        if let Some(bits) = accumulator_bits(matrix) {
            cx.measure(Measurement::lower(&format!("accumulator_bits.{id}"), bits, "bits"));
        }
        self.noise = self.noise.plus(noise);
        let floats = Scheme { values: Values::F32, index };
        self.before += floats.bytes(matrix.inputs(), matrix.outputs(), matrix.kept());
        self.after += matrix.bytes();
    }

    /// Reports the sums.
    pub(crate) fn report(&self, cx: &mut Cx<'_>) {
        cx.measure(Measurement::lower("mean_squared_error", self.noise.mean_squared_error(), "1"));
        cx.measure(Measurement::lower("site_bytes_as_f32", self.before as f64, "bytes"));
        cx.measure(Measurement::lower("site_bytes", self.after as f64, "bytes"));
    }
}

/// Bits, sign included, of the largest sum that any row of activations can make with these integers; `None` for
/// floats. It is exact, so below 32 (64 for wide integers) no sum can overflow.
fn accumulator_bits(matrix: &Matrix) -> Option<f64> {
    let (grid, outputs) = (matrix.scheme().values.grid()?, matrix.outputs());
    let mut sums = vec![0u128; outputs];
    for row in matrix.integers()?.chunks_exact(outputs) {
        sums.iter_mut().zip(row).for_each(|(sum, q)| *sum += u128::from(q.unsigned_abs()));
    }
    let largest = sums.into_iter().max()? * grid.activation_levels() as u128;
    Some(f64::from(u128::BITS - largest.leading_zeros() + 1))
}

/// The index that a form is packed with: a mask keeps its sparsity.
pub(crate) fn index(form: Form) -> Option<Index> {
    match form {
        Form::Dense => Some(Index::Full),
        Form::Masked => Some(Index::Sparse),
        Form::Packed(_) => None,
    }
}

/// The mask of a layer that is not packed yet, where it has one, and the index to pack it with.
///
/// # Errors
/// [`StepError`] when it is packed.
pub(crate) fn unpacked(layer: &Layer) -> Result<(Option<&[bool]>, Index), StepError> {
    let form = layer.weight.form();
    let index = index(form).ok_or_else(|| StepError::at(&layer.id, format!("it is already {form}")))?;
    Ok((layer.weight.mask(), index))
}

/// Reads a word among a few.
pub(crate) fn choose<T: Copy>(
    key: &'static str,
    word: &str,
    bound: &'static str,
    among: &[(&str, T)],
) -> Result<T, QuantError> {
    match among.iter().find(|(name, _)| *name == word) {
        Some((_, value)) => Ok(*value),
        None => Err(QuantError::setting(key, format!("{word:?}"), bound)),
    }
}
