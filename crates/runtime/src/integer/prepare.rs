//! From the numbers of an artifact to integers, once, when a session is opened: the only place of this module where a
//! float is looked at.

use super::NotIntegers;
use super::features::{Features, Terms};
use super::fixed::{Factor, MANTISSA_BITS, MOST_BITS, MOST_SHIFT, ONE};
use super::network::{Network, Norm};
use super::places::Places;
use super::site::Site;
use crate::decision::Decision;
use crate::network;
use crate::positions::Positions;
use nlpress_graph::SiteId;
use nlpress_graph::{NORM_EPSILON, Op, Source};
use nlpress_packed::Scales;
use nlpress_text::{BagEncoder, Weighting};

/// Counts that have an entry of their own in the table of terms.
const TERMS: u32 = 1024;
/// The finest step of activations, for numbers of 16 fraction bits to resolve it sixteen times.
const FINEST: f64 = 16.0 / ONE as f64;

/// The logit above which one output means the second class.
#[inline(never)] // a test looks for floats in the machine code around it
pub(super) fn cut(threshold: Option<f64>) -> i64 {
    Decision::by(threshold).integer_cut(ONE)
}

/// What words are worth to an encoder.
pub(super) fn features(encoder: &BagEncoder) -> Features {
    let one = (0..encoder.width()).map(|word| fixed(encoder.value(word, 1).into())).collect();
    let config = encoder.config();
    let terms = match (config.weighting, config.sublinear) {
        (Weighting::Binary, _) => Terms::One,
        (_, false) => Terms::Count,
        (_, true) => {
            let beside_one = |count: u32| f64::from(encoder.value(0, count) / encoder.value(0, 1));
            Terms::Table((0..TERMS).map(|count| fixed(beside_one(count.max(1)))).collect())
        }
    };
    Features { one, terms, unit: config.l2 }
}

/// The sites of a network.
///
/// # Errors
/// [`NotIntegers`] naming a site that has no integers, no fixed scale of its activations, or a number that fixed point
/// does not hold.
pub(super) fn network(floats: &network::Network) -> Result<Network<'_>, NotIntegers> {
    let mut sites = Vec::new();
    for layer in &floats.layers {
        sites.push(site(layer).map_err(|why| NotIntegers { site: layer.id.clone(), why })?);
    }
    let mut scores: Vec<(usize, Factor)> = Vec::new();
    for (n, node) in floats.graph.nodes.iter().enumerate() {
        let Op::Attend { head_width, .. } = node.op else { continue };
        if scores.iter().all(|(of, _)| *of != head_width) {
            let score = factor(1.0 / (head_width as f64).sqrt());
            let reader = floats.graph.nodes[n..].iter().find_map(|node| node.op.site());
            let site = || reader.cloned().unwrap_or_else(SiteId::output);
            let score =
                score.ok_or_else(|| NotIntegers { site: site(), why: "its heads are too wide".into() })?;
            scores.push((head_width, score));
        }
    }
    let most_words = match floats.graph.source {
        Source::Bag { tokens, .. } => Some(tokens),
        Source::Features { .. } | Source::Tokens { .. } => None,
    };
    let norms = floats.norms.iter().map(norm).collect::<Result<_, _>>()?;
    let epsilon = fixed(NORM_EPSILON.into()).max(1);
    let places = floats.positions.iter().map(places).collect();
    Ok(Network { program: &floats.program, sites, most_words, scores, epsilon, norms, places })
}

/// What an attention makes of places, in fixed point.
pub(super) fn places(positions: &Positions) -> Option<Places> {
    let Positions { turns, window, relative } = positions;
    if turns.is_none() && window.is_none() && relative.is_none() {
        return None;
    }
    let turns = turns.as_ref().map(|turns| {
        turns.iter().map(|(cos, sin)| (fixed(f64::from(*cos)), fixed(f64::from(*sin)))).collect()
    });
    // Beyond 20 whole bits a softmax sees no difference.
    let bias = |x: &f32| fixed(f64::from(*x).clamp(-1e6, 1e6));
    let relative = relative.as_ref().map(|relative| relative.numbers().iter().map(bias).collect());
    Some(Places { turns, window: *window, relative })
}

/// A normalisation in fixed point.
fn norm(norm: &network::Norm) -> Result<Norm, NotIntegers> {
    let vector = |of: &nlpress_artifact::Vector| -> Result<Vec<i64>, NotIntegers> {
        // A normalised number is at most the root of the width, 2^10, and a product at most 2^36.
        let most = f32::from(1_u16 << 9);
        match of.values.iter().find(|x| x.abs() >= most) {
            None => Ok(of.values.iter().map(|x| fixed(f64::from(*x))).collect()),
            Some(x) => Err(NotIntegers {
                site: of.id.clone(),
                why: format!("a number of {x:e} is beyond fixed point"),
            }),
        }
    };
    let epsilon = fixed(norm.epsilon.into()).max(1);
    Ok(Norm { gain: vector(&norm.gain)?, bias: vector(&norm.bias)?, epsilon })
}

fn site(layer: &network::Site) -> Result<Site<'_>, String> {
    let weight = &layer.weight;
    let (scheme, quantized) = (weight.scheme(), weight.quantization());
    if quantized.is_some_and(|quantized| quantized.outliers.is_some()) {
        return Err(format!("it is {scheme}, but its outliers are multiplied as floats"));
    }
    let (Some(quantized), true) = (quantized, weight.accumulates()) else {
        return Err(format!(
            "it is {scheme}, but integers of up to 8 bits are needed, without groups of scales"
        ));
    };
    let Some(step) = quantized.activations.map(f64::from) else {
        return Err(format!("it is {scheme}, but the scale of its activations must be fixed"));
    };
    // What a level and what a sum stand for.
    let (rows, columns): (&[f32], &[f32]) = match &quantized.scales {
        Scales::Row(rows) => (rows, &[1.0]),
        scales => (&[1.0], scales.all()),
    };
    let finest = step / rows.iter().fold(f64::MIN_POSITIVE, |most, scale| most.max((*scale).into()));
    if finest < FINEST {
        return Err(format!("a step of its inputs is {finest:e}, but fixed point needs at least {FINEST:e}"));
    }
    let beyond = |what: &str, number: f64| format!("{what} of {number:e} is beyond fixed point");
    let before = rows.iter().map(|scale| {
        let exact = f64::from(*scale) / step / ONE as f64;
        factor(exact).ok_or_else(|| beyond("a scale", f64::from(*scale)))
    });
    let unit = |output: usize| step * f64::from(columns[output.min(columns.len() - 1)]);
    let after = (0..columns.len())
        .map(|j| factor(unit(j) * ONE as f64).ok_or_else(|| beyond("a scale", f64::from(columns[j]))));
    let bias = layer.bias.iter().enumerate().map(|(j, bias)| {
        let exact = (f64::from(*bias) / unit(j)).round();
        let most = (1_i64 << (MOST_BITS - 1)) as f64;
        // Also where the scale is 0, so that no sum stands for the bias.
        if exact.abs() < most { Ok(exact as i64) } else { Err(beyond("a bias", f64::from(*bias))) }
    });
    Ok(Site {
        weight,
        before: before.collect::<Result<_, _>>()?,
        bias: bias.collect::<Result<_, _>>()?,
        after: after.collect::<Result<_, _>>()?,
        levels: scheme.values.grid().map_or(127, |grid| grid.activation_levels()).into(),
    })
}

/// A number with 16 fraction bits.
fn fixed(number: f64) -> i64 {
    (number * ONE as f64).round() as i64
}

/// The nearest factor; `None` for a number that is negative, not finite, or 2^24 and more.
pub(super) fn factor(number: f64) -> Option<Factor> {
    if !(number >= 0.0 && number < f64::from(1_u32 << (MANTISSA_BITS - 1))) {
        return None;
    }
    let mut shift = MOST_SHIFT;
    // The largest shift at which the mantissa has no bit too many.
    while shift > 1 && (number * (1_u64 << shift) as f64).round() >= f64::from(1_u32 << MANTISSA_BITS) {
        shift -= 1;
    }
    Some(Factor { mantissa: (number * (1_u64 << shift) as f64).round() as i64, shift })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_near_what_they_stand_for() {
        for number in [0.0, 1e-9, 3.7e-6, 0.5, 0.999_999_99, 1.0, 3.0, 77.7, 1e6] {
            let Factor { mantissa, shift } = factor(number).unwrap();
            let stands_for = mantissa as f64 / (1_u64 << shift) as f64;
            assert!((stands_for - number).abs() <= number * 6e-8 + 1e-18, "{number} {stands_for}");
            assert!(mantissa < 1 << MANTISSA_BITS && (1..=MOST_SHIFT).contains(&shift));
        }
        for number in [-1.0, f64::NAN, f64::INFINITY, 1e8] {
            assert_eq!(factor(number), None, "{number}");
        }
        assert_eq!(fixed(1.5), 3 * ONE / 2);
    }
}
