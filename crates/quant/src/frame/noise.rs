//! The signal-to-quantization-noise ratio (SQNR).

use nlpress_train::record::{Reader, Writer};
use std::io;

/// Energies of a signal and of its quantization error, summed over any number of slices.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    signal: f64,
    noise: f64,
    entries: usize,
}

impl Noise {
    /// Compares two slices of one length.
    pub fn between(original: &[f32], quantized: &[f32]) -> Self {
        let mut all = Self { entries: original.len(), ..Self::default() };
        for (a, b) in original.iter().zip(quantized) {
            all.signal += f64::from(*a).powi(2);
            all.noise += (f64::from(*a) - f64::from(*b)).powi(2);
        }
        all
    }

    /// Writes the sums.
    pub(crate) fn save(self, to: &mut Writer<'_>) -> io::Result<()> {
        to.number(self.signal)?;
        to.number(self.noise)?;
        to.count(self.entries as u64)
    }

    /// Reads what [`save`](Noise::save) wrote.
    pub(crate) fn read(from: &mut Reader<'_>) -> io::Result<Self> {
        Ok(Self { signal: from.number()?, noise: from.number()?, entries: from.count()? as usize })
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            signal: self.signal + other.signal,
            noise: self.noise + other.noise,
            entries: self.entries + other.entries,
        }
    }

    /// Mean squared error over all entries.
    pub fn mean_squared_error(self) -> f64 {
        self.noise / self.entries.max(1) as f64
    }

    /// Signal-to-quantization-noise ratio in decibels; 300 when there is no noise to speak of, so that it is
    /// always a finite number.
    pub fn decibels(self) -> f64 {
        if self.noise <= self.signal * 1e-30 {
            300.0
        } else {
            10.0 * (self.signal / self.noise).log10().max(-30.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_measured_against_the_signal() {
        let noise = Noise::between(&[1.0, 1.0], &[1.1, 0.9]);
        assert!((noise.decibels() - 20.0).abs() < 1e-4, "{}", noise.decibels());
        assert!((noise.mean_squared_error() - 0.01).abs() < 1e-6);
        assert_eq!(Noise::between(&[0.0], &[0.0]).decibels(), 300.0);
        assert!(Noise::between(&[0.0], &[1.0]).decibels().is_finite());
    }
}
