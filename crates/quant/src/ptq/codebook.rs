//! `quant.kmeans`, `quant.product`: weights as indices into a codebook.
//!
//! The entries are where the weights are: the centres of clusters that Lloyd's algorithm finds. `quant.kmeans` clusters
//! single numbers (Han, Mao and Dally 2016, arXiv:1510.00149, section 3). `quant.product` clusters several outputs of
//! one input at a time, so that a code costs a fraction of a bit for each weight, in one list for the whole site, or in
//! a list for each group of outputs: product quantization (Jégou, Douze and Schmid 2011), which pays for tables of very
//! many rows, such as vocabularies, whose lists weigh little beside their codes.
//!
//! The runtime opens codes into floats: they save bytes on disk and no time.

use nlpress_core::Seed;
use nlpress_core::seed::Rng;
use nlpress_model::{Layer, Model, Outline, SiteId};
use nlpress_packed::{Codebook, Index, Matrix, Values};
use nlpress_technique::{Cx, Family, Kind, Made, Problem, Settings, StepError, Technique, settings};
use serde::de::DeserializeOwned;

use crate::{QuantError, rounding, sites};

/// Most rounds of Lloyd's algorithm.
const ROUNDS: usize = 40;

/// Single numbers.
pub const KMEANS: Kind = Kind {
    name: "quant.kmeans",
    family: Family::Quantize,
    summary: "k-means quantization (weight sharing by clustering, a codebook): each weight becomes the index of one of 16 to \
              256 shared numbers",
    source: "Han, Mao and Dally 2016, Deep Compression, arXiv:1510.00149",
    example: "bits = 4",
    on: &["**"],
    settings: &[RawNumbers::SETTINGS],
    parse: |with| read::<RawNumbers>(with),
};

/// Several outputs at a time.
pub const PRODUCT: Kind = Kind {
    name: "quant.product",
    family: Family::Quantize,
    summary: "product quantization (vector quantization with k-means codebooks): 2 to 8 neighbouring weights of one input \
              become the index of one codebook vector",
    source: "Jégou, Douze and Schmid 2011, Product Quantization for Nearest Neighbor Search; Stock et al. 2020, \
             And the Bit Goes Down, arXiv:1907.05686",
    example: "width = 2\nbits = 5\nlists = \"each\"",
    on: &["hidden.*", "embedding", "embeddings.**", "encoder.**"],
    settings: &[RawVectors::SETTINGS],
    parse: |with| read::<RawVectors>(with),
};

/// The technique, whatever it clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clusters(Codebook);

settings! {
    /// The settings of `quant.kmeans`.
    struct RawNumbers {
        /// bits of a code, from 4 to 8; 4 by default
        bits: u8 => or(4).within(4..=8),
    }
}

settings! {
    /// The settings of `quant.product`.
    struct RawVectors {
        /// outputs that one code stands for, from 2 to 8; 4 by default. The number of a site's outputs is a
        /// multiple of it
        width: u8 => or(4).within(2..=8),
        /// bits of a code, from 4 to 8; 8 by default
        bits: u8 => or(8).within(4..=8),
        /// "one" (default): one codebook for the site; "each": one for each group of outputs, for tables of many
        /// rows
        lists: Option<String>,
    }
}

fn read<R>(with: &toml::Table) -> Result<Box<dyn Technique>, String>
where
    R: DeserializeOwned + TryInto<Clusters, Error = QuantError>,
{
    let raw: R = settings::read(with.clone()).map_err(|e| e.to_string())?;
    Ok(Box::new(raw.try_into().map_err(|e| e.to_string())?))
}

impl TryFrom<RawNumbers> for Clusters {
    type Error = QuantError;

    fn try_from(raw: RawNumbers) -> Result<Self, QuantError> {
        Ok(Self(Codebook { width: 1, bits: raw.bits, product: false }))
    }
}

impl TryFrom<RawVectors> for Clusters {
    type Error = QuantError;

    fn try_from(raw: RawVectors) -> Result<Self, QuantError> {
        let lists = [("one", false), ("each", true)];
        let word = raw.lists.as_deref().unwrap_or("one");
        let product = sites::choose("lists", word, "\"one\" or \"each\"", &lists)?;
        Ok(Self(Codebook { width: raw.width, bits: raw.bits, product }))
    }
}

/// The centres of up to `count` clusters of vectors of `width` numbers, `[count, width]`, and the centre of each vector.
///
/// Lloyd's algorithm (1982) from centres that are spread evenly over single numbers, or drawn as k-means++ draws them
/// (Arthur and Vassilvitskii 2007). A cluster that loses all its vectors gets the one that is furthest from its own
/// centre. Centres that are not needed are zero.
///
/// # Errors
/// Whatever `tick`, which is called before each round, returns.
///
/// # Panics
/// When `width` or `count` is 0, or the numbers are not whole vectors: mistakes of the caller.
pub fn cluster<E>(
    vectors: &[f32],
    (width, count): (usize, usize),
    rng: &mut Rng,
    tick: &mut dyn FnMut() -> Result<(), E>,
) -> Result<(Vec<f32>, Vec<u8>), E> {
    assert!(width > 0 && count > 0 && vectors.len().is_multiple_of(width), "whole vectors");
    let all: Vec<&[f32]> = vectors.chunks_exact(width).collect();
    let mut centres = if width == 1 { spread(vectors, count) } else { draw(&all, width, count, rng) };
    let mut codes = vec![0; all.len()];
    for round in 0..ROUNDS {
        tick()?;
        let mut furthest: Vec<(f32, usize)> = Vec::new();
        let mut moved = false;
        for (at, (vector, code)) in all.iter().zip(&mut codes).enumerate() {
            let (nearest, distance) = nearest(vector, &centres, width);
            moved |= *code != nearest as u8;
            *code = nearest as u8;
            furthest.push((distance, at));
        }
        if !moved && round > 0 {
            break;
        }
        let mut sums = vec![0.0_f64; centres.len()];
        let mut counts = vec![0_u32; count];
        for (vector, code) in all.iter().zip(&codes) {
            counts[usize::from(*code)] += 1;
            let sum = &mut sums[usize::from(*code) * width..][..width];
            sum.iter_mut().zip(*vector).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        furthest.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut spare = furthest.into_iter().filter(|(distance, _)| *distance > 0.0);
        for (code, count) in counts.iter().enumerate() {
            let centre = &mut centres[code * width..][..width];
            if *count > 0 {
                let sum = &sums[code * width..][..width];
                centre.iter_mut().zip(sum).for_each(|(c, sum)| *c = (sum / f64::from(*count)) as f32);
            } else if let Some((_, at)) = spare.next() {
                centre.copy_from_slice(all[at]);
            }
        }
    }
    Ok((centres, codes))
}

/// Centres at even distances over the range of numbers.
fn spread(numbers: &[f32], count: usize) -> Vec<f32> {
    let low = numbers.iter().copied().fold(f32::INFINITY, f32::min);
    let high = numbers.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if low > high {
        return vec![0.0; count];
    }
    let step = (high - low) / (count.max(2) - 1) as f32;
    (0..count).map(|n| low + n as f32 * step).collect()
}

/// Centres drawn among the vectors, each the likelier the further it is from those drawn before.
fn draw(all: &[&[f32]], width: usize, count: usize, rng: &mut Rng) -> Vec<f32> {
    let mut centres = Vec::with_capacity(count * width);
    let mut distances = vec![f32::INFINITY; all.len()];
    for n in 0..count.min(all.len()) {
        let total: f64 = distances.iter().map(|d| f64::from(*d)).sum();
        let at = if n == 0 || !(total > 0.0 && total.is_finite()) {
            rng.below(all.len())
        } else {
            let mut left = f64::from(rng.uniform()) * total;
            let passed = distances.iter().position(|d| {
                left -= f64::from(*d);
                left < 0.0
            });
            passed.unwrap_or(all.len() - 1)
        };
        centres.extend_from_slice(all[at]);
        for (distance, vector) in distances.iter_mut().zip(all) {
            *distance = distance.min(apart(vector, all[at]));
        }
    }
    centres.resize(count * width, 0.0);
    centres
}

/// The nearest centre, the first of equals, and its squared distance.
fn nearest(vector: &[f32], centres: &[f32], width: usize) -> (usize, f32) {
    let mut best = (0, f32::INFINITY);
    for (n, centre) in centres.chunks_exact(width).enumerate() {
        let distance = apart(vector, centre);
        if distance < best.1 {
            best = (n, distance);
        }
    }
    best
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

impl Clusters {
    /// `values`, `[inputs, outputs]`, as codes of clusters; with a mask only what is kept is clustered and stored.
    ///
    /// # Errors
    /// [`QuantError`] when numbers are not finite or do not fit, or [`StepError::Stopped`] through `cx`.
    fn pack(
        self,
        layer: &Layer,
        (keep, index): (Option<&[bool]>, Index),
        cx: &Cx<'_>,
    ) -> Result<Matrix, StepError> {
        let failed = |e: QuantError| StepError::at(&layer.id, e);
        let Self(codebook) = self;
        let (inputs, outputs) = (layer.shape.inputs, layer.shape.outputs);
        let values = layer.weight.values();
        rounding::check(&values, outputs).map_err(failed)?;
        let (width, lists) = (usize::from(codebook.width), codebook.lists(outputs));
        let kept = |at: usize| keep.is_none_or(|keep| keep[at * width]);
        let (mut numbers, mut codes) = (Vec::new(), vec![0; inputs * outputs / width]);
        for list in 0..lists {
            let of_list = |at: &usize| at % lists == list && kept(*at);
            let places: Vec<usize> = (0..codes.len()).filter(of_list).collect();
            let vectors: Vec<f32> =
                places.iter().flat_map(|at| &values[at * width..][..width]).copied().collect();
            let seed: Seed = cx.seed.derive("codebook").derive(layer.id.as_str());
            let mut rng = seed.stream(list as u64);
            let mut tick = || cx.progress("clustering", list, lists);
            let (centres, of_list) =
                cluster::<StepError>(&vectors, (width, codebook.entries()), &mut rng, &mut tick)?;
            places.iter().zip(of_list).for_each(|(at, code)| codes[*at] = code);
            numbers.extend(centres);
        }
        let made = Matrix::coded((inputs, outputs), codebook, &numbers, &codes, (keep, index));
        made.map_err(|e| failed(e.into()))
    }
}

impl Technique for Clusters {
    fn plan(&self, before: &Outline, on: &[SiteId], problems: &mut Vec<Problem>) -> Outline {
        for site in before.sites.iter().filter(|site| on.contains(&site.id)) {
            let (outputs, width) = (site.shape.outputs, self.0.width);
            if !outputs.is_multiple_of(width.into()) {
                let why = format!("it has {outputs} outputs, which are not whole groups of width = {width}");
                problems.push(Problem::at(&site.id, why));
            }
        }
        sites::plan(before, on, Values::Codebook(self.0), problems)
    }

    fn apply(&self, model: Model, on: &[SiteId], cx: &mut Cx<'_>) -> Result<Made, StepError> {
        let mut matrices = Vec::new();
        for layer in model.layers().iter().filter(|layer| on.contains(&layer.id)) {
            matrices.push((layer.id.clone(), self.pack(layer, sites::unpacked(layer)?, cx)?));
        }
        let packed = sites::pack(model, on, cx, Values::Codebook(self.0), &|layer, _, _| {
            let made = matrices.iter().find(|(id, _)| *id == layer.id);
            Ok(made.map(|(_, matrix)| matrix.clone()).expect("every selected site was clustered"))
        })?;
        Ok(packed.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Grid, Rounding};

    fn never() -> Result<(), std::convert::Infallible> {
        Ok(())
    }

    fn error(vectors: &[f32], width: usize, (centres, codes): &(Vec<f32>, Vec<u8>)) -> f64 {
        let one = |(vector, code): (&[f32], &u8)| {
            f64::from(apart(vector, &centres[usize::from(*code) * width..][..width]))
        };
        vectors.chunks_exact(width).zip(codes).map(one).sum()
    }

    #[test]
    fn clusters_that_are_there_are_found() {
        let mut rng = Seed(3).stream(0);
        let middles = [[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [-4.0, -4.0]];
        let vectors: Vec<f32> =
            (0..400).flat_map(|n| middles[n % 4].map(|m: f32| m + 0.1 * rng.normal())).collect();
        let found = cluster(&vectors, (2, 4), &mut rng, &mut never).unwrap();
        assert!(error(&vectors, 2, &found) < 400.0 * 2.0 * 0.02, "{found:?}");
        for n in 4..400 {
            assert_eq!(found.1[n], found.1[n % 4]);
        }
    }

    #[test]
    fn clusters_beat_an_even_grid_of_as_many_values() {
        let mut rng = Seed(4).stream(0);
        let values: Vec<f32> = (0..4000).map(|_| rng.normal().powi(3)).collect();
        let found = cluster(&values, (1, 16), &mut rng, &mut never).unwrap();
        let int4 = Rounding::new(Grid::Int4);
        let even = int4.squared_error(&values, Rounding { clip: crate::Clip::Mse, ..int4 }.fit(&values));
        assert!(error(&values, 1, &found) < 0.7 * even, "{} {even}", error(&values, 1, &found));
    }

    #[test]
    fn few_vectors_are_kept_as_they_are() {
        let mut rng = Seed(5).stream(0);
        for (vectors, width) in [(vec![1.0, -2.0, 3.0], 1), (vec![1.0, 2.0, 3.0, 4.0], 2), (vec![], 2)] {
            let found = cluster(&vectors, (width, 16), &mut rng, &mut never).unwrap();
            assert!(error(&vectors, width, &found) < 1e-10, "{found:?}");
        }
    }

    #[test]
    fn settings_are_checked() {
        let read = |kind: &Kind, text: &str| (kind.parse)(&text.parse().unwrap()).map(|_| ());
        assert!(read(&KMEANS, "").is_ok() && read(&PRODUCT, "").is_ok());
        for (kind, with, says) in [
            (KMEANS, "bits = 3", "bits is 3"),
            (KMEANS, "width = 2", "unknown field `width`, expected `bits`"),
            (PRODUCT, "width = 1", "width is 1"),
            (PRODUCT, "lists = 'two'", "lists is \"two\""),
            (PRODUCT, "size = 2", "unknown field `size`"),
        ] {
            let message = read(&kind, with).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }
}
