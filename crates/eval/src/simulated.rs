//! A machine for tests: time passes only when a call says so.

use crate::turns::Clock;
use nlpress_core::seed::Rng;
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// A clock that stands still between calls, and shows whole steps.
#[derive(Debug, Default)]
pub(crate) struct StandingClock {
    micros: Cell<f64>,
    /// 0 for a clock that shows everything.
    step: f64,
}

impl StandingClock {
    pub(crate) fn with_step(micros: f64) -> Self {
        Self { step: micros, ..Self::default() }
    }

    pub(crate) fn pass(&self, micros: f64) {
        self.micros.set(self.micros.get() + micros);
    }

    pub(crate) fn micros(&self) -> f64 {
        self.micros.get()
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Duration {
        let micros = self.micros.get();
        let shown = if self.step > 0.0 { (micros / self.step).floor() * self.step } else { micros };
        Duration::from_nanos((shown * 1e3).round() as u64)
    }

    fn resolution(&self) -> Duration {
        Duration::from_nanos((self.step * 1e3).round() as u64)
    }
}

/// A busy machine: it drifts, other programs take turns with us, and every session has a speed of its own.
#[derive(Debug)]
pub(crate) struct Busy {
    pub(crate) clock: StandingClock,
    rng: RefCell<Rng>,
    /// Standard deviation of the logarithm of a session's speed.
    sessions: f64,
    /// What calls differ by, to draw from.
    jitter: Vec<f64>,
}

impl Busy {
    pub(crate) fn new(mut rng: Rng, sessions: f64) -> Self {
        let jitter = (0..1024).map(|_| (0.05 * f64::from(rng.normal())).exp()).collect();
        Self { clock: StandingClock::default(), rng: RefCell::new(rng), sessions, jitter }
    }

    /// A session whose calls take about so long.
    pub(crate) fn session(&self, micros: f64) -> f64 {
        micros * (self.sessions * f64::from(self.rng.borrow_mut().normal())).exp()
    }

    /// One call of a session: slower and faster as time goes by, 1.6 times as long while another program runs,
    /// with a jitter of its own.
    pub(crate) fn call(&self, micros: f64) {
        let now = self.clock.micros();
        let drift = 1.0 + 0.3 * (now / 31_000.0).sin() + 0.1 * (now / 7_000.0).cos();
        let shared = if (now / 4_100.0).fract() < 0.4 { 1.6 } else { 1.0 };
        let jitter = self.jitter[self.rng.borrow_mut().bits() as usize % self.jitter.len()];
        self.clock.pass(micros * drift * shared * jitter);
    }
}
