//! Speed-ups with an interval that the same artifact, opened again, would not leave.
//!
//! The times of one kind of call come by artifact, session and round ([`crate::turns`]). From them:
//!
//! 1. The drift of the machine is taken out of every round: in logarithms, the median over all sessions of what
//!    each differs from its own median.
//! 2. The **level** of a session is the mean of the lower half of what is left over the rounds: other programs only
//!    ever make a turn longer.
//! 3. How far levels of the same artifact lie apart is what opening it again changes, with whatever noise the
//!    rounds have left: the **floor**. Its variance is pooled over all artifacts, and over the two that are
//!    compared; the larger of both counts.
//! 4. The speed-up of one artifact over another is the ratio of their mean levels, and its interval Student's
//!    for the difference of two means with that variance. It is as wide as all intervals of a report need to be
//!    to hold together in 99 of 100 runs (Bonferroni), and never narrower than what the two halves of the first
//!    artifact's own sessions, its control, differ by.
//!
//! So artifacts beside their equals have intervals that hold 1, in 99 of 100 reports, however busy the machine; and
//! a word such as "faster" may be said where an interval does not.

use crate::error::{EvalError, check_length};
use crate::interval::{quantile, student};
use crate::quality::mean;
use crate::turns::Times;
use serde::{Deserialize, Serialize};

/// How many times faster one artifact is than another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The estimate: the ratio of typical times, averaged over sessions.
    pub median: f64,
    /// A quarter of the rounds lies below.
    pub q1: f64,
    /// A quarter of the rounds lies above.
    pub q3: f64,
    /// The interval that holds the true ratio, for all ratios of a report together in 99 of 100 runs. None where
    /// nothing was opened twice, so that nothing is known of what opening changes, and in reports written before
    /// there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

impl Ratio {
    /// A ratio that was taken once in each of several runs: their geometric mean, quartiles, and Student's 95 % interval
    /// where there are two or more. None without a run, or with a ratio that is not positive.
    #[must_use]
    pub fn over_runs(ratios: &[f64]) -> Option<Self> {
        let mut logs: Vec<f64> = ratios.iter().map(|r| r.ln()).collect();
        if logs.is_empty() || logs.iter().any(|x| !x.is_finite()) {
            return None;
        }
        logs.sort_unstable_by(f64::total_cmp);
        let middle = mean(&logs);
        let interval = spread(&[&logs]).map(|Spread { variance, freedom }| {
            let half = student(0.975, freedom as f64) * (variance / logs.len() as f64).sqrt();
            [(middle - half).exp(), (middle + half).exp()]
        });
        let at = |q| quantile(&logs, q).exp();
        Some(Self { median: middle.exp(), q1: at(0.25), q3: at(0.75), interval })
    }
}

/// How far an artifact, opened again, differed from itself in one kind of call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Of two sessions of the same artifact, the slower took at most so many times as long as the faster, for 95
    /// of 100 such pairs.
    pub reopened: f64,
    /// The same of the two halves of the first artifact's sessions, its control.
    pub control: f64,
    /// How many rounds were counted.
    pub rounds: usize,
}

/// The times of all contenders in one kind of call, with what they differ from themselves.
#[derive(Clone, Debug)]
pub struct Race {
    times: Vec<Times>,
    /// Logarithm of microseconds, by contender and session, without the machine's drift.
    levels: Vec<Vec<f64>>,
}

/// A variance of levels and how many differences it comes from.
#[derive(Clone, Copy, Debug)]
struct Spread {
    variance: f64,
    freedom: usize,
}

impl Race {
    /// Takes the drift out of times that were taken in the same rounds.
    ///
    /// # Errors
    /// No times, or numbers of rounds that differ.
    pub fn new(times: Vec<Times>) -> Result<Self, EvalError> {
        let rounds = times.first().and_then(|t| t.turns.first()).map_or(0, Vec::len);
        if rounds == 0 {
            return Err(EvalError::Empty("rounds"));
        }
        let logs: Vec<Vec<Vec<f64>>> = times
            .iter()
            .map(|t| t.turns.iter().map(|turns| turns.iter().map(|us| us.ln()).collect()).collect())
            .collect();
        for turns in logs.iter().flatten() {
            check_length("rounds", rounds, turns.len())?;
            if let Some(row) = turns.iter().position(|x| !x.is_finite()) {
                return Err(EvalError::NotFinite { row, value: turns[row] });
            }
        }
        let own: Vec<Vec<f64>> = logs.iter().map(|c| c.iter().map(|turns| median(turns)).collect()).collect();
        let drift: Vec<f64> = (0..rounds)
            .map(|round| {
                let of = logs.iter().flatten().zip(own.iter().flatten());
                median(&of.map(|(turns, own)| turns[round] - own).collect::<Vec<_>>())
            })
            .collect();
        let level = |turns: &Vec<f64>| lower_half(turns.iter().zip(&drift).map(|(t, d)| t - d).collect());
        let levels = logs.iter().map(|contender| contender.iter().map(level).collect()).collect();
        Ok(Self { times, levels })
    }

    /// The times of a contender.
    ///
    /// # Panics
    /// When there are not so many contenders.
    #[must_use]
    pub fn times(&self, who: usize) -> &Times {
        &self.times[who]
    }

    /// How many times faster contender `who` is than `over`, as one of `among` ratios of a report.
    #[must_use]
    pub fn speedup(&self, who: usize, over: usize, among: usize) -> Ratio {
        let difference = mean(&self.levels[over]) - mean(&self.levels[who]);
        let mut rounds: Vec<f64> =
            (0..self.rounds()).map(|r| self.of_round(over, r) / self.of_round(who, r)).collect();
        rounds.sort_unstable_by(f64::total_cmp);
        let half = self.half_width(who, over, among);
        Ratio {
            median: difference.exp(),
            q1: quantile(&rounds, 0.25),
            q3: quantile(&rounds, 0.75),
            interval: half.map(|half| [(difference - half).exp(), (difference + half).exp()]),
        }
    }

    /// How far the same artifact, opened again, differed from itself. None where nothing was opened twice.
    #[must_use]
    pub fn floor(&self) -> Option<Floor> {
        let Spread { variance, freedom } = spread(&self.levels.iter().collect::<Vec<_>>())?;
        let reopened = student(0.975, freedom as f64) * (2.0 * variance).sqrt();
        Some(Floor { reopened: reopened.exp(), control: self.control().exp(), rounds: self.rounds() })
    }

    fn rounds(&self) -> usize {
        self.times[0].turns[0].len()
    }

    /// The geometric mean over a contender's sessions in a round.
    fn of_round(&self, who: usize, round: usize) -> f64 {
        let turns = &self.times[who].turns;
        (turns.iter().map(|turns| turns[round].ln()).sum::<f64>() / turns.len() as f64).exp()
    }

    /// What the two halves of the first contender's sessions differ by, in logarithms.
    fn control(&self) -> f64 {
        let sessions = &self.levels[0];
        if sessions.len() < 2 {
            return 0.0;
        }
        let (first, second) = sessions.split_at(sessions.len() / 2);
        (mean(first) - mean(second)).abs()
    }

    /// Half the width of an interval, in logarithms.
    fn half_width(&self, who: usize, over: usize, among: usize) -> Option<f64> {
        let (mine, theirs) = (&self.levels[who], &self.levels[over]);
        let all = spread(&self.levels.iter().collect::<Vec<_>>())?;
        let pair = if who == over { spread(&[mine]) } else { spread(&[mine, theirs]) };
        let counts = match pair {
            Some(pair) if pair.variance > all.variance => pair,
            _ => all,
        };
        let error = (counts.variance * (1.0 / mine.len() as f64 + 1.0 / theirs.len() as f64)).sqrt();
        let tail = 0.005 / among.max(1) as f64;
        Some((student(1.0 - tail, counts.freedom as f64) * error).max(self.control()))
    }
}

/// The variance within groups, pooled over them; none where no group has two.
fn spread(groups: &[&Vec<f64>]) -> Option<Spread> {
    let freedom: usize = groups.iter().map(|g| g.len().saturating_sub(1)).sum();
    let squares = |group: &Vec<f64>| {
        let middle = mean(group);
        group.iter().map(|x| (x - middle).powi(2)).sum::<f64>()
    };
    (freedom > 0).then(|| Spread {
        variance: groups.iter().map(|g| squares(g)).sum::<f64>() / freedom as f64,
        freedom,
    })
}

/// The mean of the smaller half of some values.
fn lower_half(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    mean(&values[..values.len().div_ceil(2)])
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::Busy;
    use crate::turns::{Contender, Outcome, Pace, Percentiles, Reading, take_turns};
    use nlpress_core::Seed;

    fn times(turns: &[&[f64]]) -> Times {
        let turns = turns.iter().map(|t| t.to_vec()).collect();
        Times { percentiles: Percentiles::default(), turns }
    }

    #[test]
    fn drift_is_taken_out() {
        // The machine slows down tenfold half-way; the ratio does not notice.
        let parent = times(&[&[2.0, 2.0, 2.0, 20.0, 20.0, 20.0], &[2.2, 2.2, 2.2, 22.0, 22.0, 22.0]]);
        let variant = times(&[&[1.0, 1.0, 1.0, 10.0, 10.0, 10.0], &[1.1, 1.1, 1.1, 11.0, 11.0, 11.0]]);
        let race = Race::new(vec![parent, variant]).unwrap();
        let ratio = race.speedup(1, 0, 1);
        assert!((ratio.median - 2.0).abs() < 1e-9 && (ratio.q1 - 2.0).abs() < 1e-9, "{ratio:?}");
        let [low, high] = ratio.interval.unwrap();
        assert!(low > 1.0 && low < 1.9 && high > 2.1, "{ratio:?}");
        let floor = race.floor().unwrap();
        assert!((floor.control - 1.1).abs() < 1e-9 && floor.reopened > 1.1 && floor.rounds == 6, "{floor:?}");
    }

    #[test]
    fn an_interval_is_no_narrower_than_what_the_control_differs() {
        let first = times(&[&[1.0; 5], &[1.0; 5], &[1.2; 5], &[1.2; 5]]);
        let second = times(&[&[1.0; 5], &[1.0; 5]]);
        let race = Race::new(vec![first, second]).unwrap();
        let [low, high] = race.speedup(1, 0, 1).interval.unwrap();
        assert!(high / low >= 1.2 * 1.2 - 1e-9, "{low} {high}");
    }

    #[test]
    fn more_ratios_in_a_report_have_wider_intervals() {
        let first = times(&[&[1.0; 5], &[1.01; 5], &[1.0; 5], &[1.02; 5]]);
        let race = Race::new(vec![first, times(&[&[1.0; 5], &[1.01; 5]])]).unwrap();
        let width = |among| race.speedup(1, 0, among).interval.map(|[low, high]| high - low).unwrap();
        assert!(width(100) > 1.5 * width(1));
    }

    #[test]
    fn one_run_has_no_interval_and_three_have_a_wide_one() {
        assert_eq!(Ratio::over_runs(&[1.5]), Some(Ratio { median: 1.5, q1: 1.5, q3: 1.5, interval: None }));
        let three = Ratio::over_runs(&[1.4, 1.6, 1.5]).unwrap();
        let [low, high] = three.interval.unwrap();
        assert!((three.median - 1.498).abs() < 1e-3 && low > 1.2 && low < 1.3 && high > 1.7, "{three:?}");
        assert!(Ratio::over_runs(&[]).is_none() && Ratio::over_runs(&[1.0, 0.0]).is_none());
    }

    #[test]
    fn what_was_opened_once_has_no_interval() {
        let race = Race::new(vec![times(&[&[1.0; 5]]), times(&[&[2.0; 5]])]).unwrap();
        assert_eq!(race.speedup(1, 0, 1).interval, None);
        assert_eq!(race.floor(), None);
        assert!(Race::new(vec![times(&[&[1.0]]), times(&[&[1.0, 2.0]])]).is_err());
        assert!(Race::new(Vec::new()).is_err() && Race::new(vec![times(&[&[0.0]])]).is_err());
    }

    /// A run of a baseline and others on a busy machine; the speed-ups of the others over the baseline.
    fn simulate(run: u64, sessions: f64, factors: &[f64]) -> Vec<Ratio> {
        let busy = Busy::new(Seed(run).derive("machine").stream(0), sessions);
        let pace = Pace::default().with_rounds(40).unwrap();
        type Call<'a> = Box<dyn FnMut(usize) -> Outcome + 'a>;
        let mut contenders: Vec<Contender<Call<'_>>> = Vec::new();
        for (who, factor) in [1.0].iter().chain(factors).enumerate() {
            let open = |_| {
                let (busy, micros) = (&busy, busy.session(30.0 / factor));
                let call = move |_| {
                    busy.call(micros);
                    Ok(0.0_f32)
                };
                Box::new(call) as Box<dyn FnMut(usize) -> Outcome + '_>
            };
            let many = if who == 0 { 10 } else { 5 };
            contenders.push(Contender { name: who.to_string(), sessions: (0..many).map(open).collect() });
        }
        let times =
            take_turns(&mut contenders, Reading::Calls, (pace, &busy.clock), Seed(run), &mut || Ok(()))
                .unwrap();
        let race = Race::new(times).unwrap();
        (1..=factors.len()).map(|who| race.speedup(who, 0, factors.len())).collect()
    }

    #[test]
    fn equals_are_told_apart_in_fewer_than_one_run_in_a_hundred() {
        let apart = |ratio: &Ratio| {
            let [low, high] = ratio.interval.unwrap();
            (low > 1.0 && ratio.median >= 1.05) || (high < 1.0 && ratio.median <= 1.0 / 1.05)
        };
        for sessions in [0.0, 0.02, 0.06] {
            let wrong = (0..1000).filter(|run| simulate(*run, sessions, &[1.0; 6]).iter().any(apart)).count();
            assert!(wrong < 10, "{wrong} of 1000 runs where sessions differ by {sessions}");
        }
    }

    #[test]
    fn a_fifth_faster_is_found_in_nineteen_runs_of_twenty() {
        for sessions in [0.0, 0.02, 0.04] {
            let found = (0..200)
                .map(|run| simulate(run, sessions, &[1.2, 1.0, 1.0])[0])
                .filter(|ratio| ratio.median >= 1.05 && ratio.interval.unwrap()[0] > 1.0)
                .count();
            assert!(found >= 190, "{found} of 200 runs where sessions differ by {sessions}");
        }
    }
}
