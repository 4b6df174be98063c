//! Notices that a stream of times has changed, since when, and whether the change stays.
//!
//! Each time comes as its ratio to a baseline. The evidence is an e-detector of the CUSUM kind
//! (Shin, Ramdas and Rinaldo, "E-detectors: A Nonparametric Framework for Sequential Change
//! Detection", New England Journal of Statistics in Data Science 2024; Page, "Continuous Inspection
//! Schemes", Biometrika 1954): the product of bets that a ratio has moved, begun anew whenever it
//! falls below one. Its average run length to a false alarm is at least what is asked for. Bets
//! are on clipped values, so a spike is one bet and no more.
//!
//! What a change means, and what to do about it, is not known here.

use super::interval::median;

/// Standard deviations at which a ratio is clipped.
const CLIP: f64 = 3.0;

/// Cost of a bet of the clipped value itself: the log of the mean of exp(value) when two values in
/// a hundred are spikes of any size, all to the side that is bet on, and the others are normal:
/// ln(0.98 exp(1/2) + 0.02 exp(3)).
const COST: f64 = 0.702;

/// What to look for.
#[derive(Clone, Copy, Debug)]
pub struct Sensitivity {
    /// Standard deviation of the log of one ratio while nothing changes.
    pub noise: f64,
    /// Changes up to this share of the level are none: drift, the error of the baseline, and what
    /// is not worth acting on.
    pub tolerance: f64,
    /// Ratios until the first false alarm, on average, at least.
    pub run_length: f64,
    /// Ratios after which a change that still holds is lasting.
    pub lasting_after: usize,
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The times have moved.
    Began,
    /// They are back at their level: it was for a while.
    Passed,
    /// They have stayed away from their level, which is now where they are.
    Lasting,
}

/// A change of the level of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// How far it has come.
    pub stage: Stage,
    /// The first ratio after the change, counted from 0: an estimate.
    pub since: usize,
    /// Ratios for which it has held, or held when it has passed.
    pub held: usize,
    /// The level before, a ratio to the baseline.
    pub from: f64,
    /// The median since.
    pub to: f64,
    /// Log of the evidence that it began with; the threshold is ln(2 `run_length`).
    pub evidence: f64,
}

/// Evidence of a shift in one direction.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    /// 1 for slower, -1 for faster.
    direction: f64,
    log: f64,
    /// Where it last began anew.
    since: usize,
}

impl Evidence {
    fn new(direction: f64, since: usize) -> Self {
        Self {
            direction,
            log: 0.0,
            since,
        }
    }

    /// `distance`: log of the ratio over the level.
    fn bet(&mut self, index: usize, distance: f64, sensitivity: &Sensitivity) {
        if self.log <= 0.0 {
            *self = Self::new(self.direction, index);
        }
        let excess = self.direction * distance - sensitivity.tolerance.ln_1p();
        let noise = sensitivity.noise.max(f64::EPSILON);
        self.log += (excess / noise).clamp(-CLIP, CLIP) - COST;
    }
}

/// A shift that has begun and neither passed nor stayed long enough yet.
#[derive(Clone, Copy, Debug)]
struct Shift {
    evidence: Evidence,
    /// The evidence at the beginning.
    began_with: f64,
    /// The last ratio at which the evidence was full.
    last_held: usize,
}

/// Watches one stream.
#[derive(Clone, Debug)]
pub struct ChangeDetector {
    sensitivity: Sensitivity,
    /// Log of the level, as a ratio to the baseline.
    level: f64,
    slower: Evidence,
    faster: Evidence,
    shift: Option<Shift>,
    /// Logs of the ratios since `first_kept`: those that may turn out to be after a change.
    kept: Vec<f64>,
    first_kept: usize,
}

impl ChangeDetector {
    /// A detector for a stream that begins at the baseline.
    pub fn new(sensitivity: Sensitivity) -> Self {
        Self {
            sensitivity,
            level: 0.0,
            slower: Evidence::new(1.0, 0),
            faster: Evidence::new(-1.0, 0),
            shift: None,
            kept: Vec::new(),
            first_kept: 0,
        }
    }

    /// Takes the next time as its ratio to the baseline, and says what has changed with it. A value
    /// that is no positive, finite number is not taken and not counted.
    pub fn push(&mut self, ratio_to_baseline: f64) -> Option<Change> {
        let log_ratio = ratio_to_baseline.ln();
        if !log_ratio.is_finite() {
            return None;
        }
        let index = self.first_kept + self.kept.len();
        self.kept.push(log_ratio);
        let distance = log_ratio - self.level;
        match self.shift {
            Some(shift) => self.follow(shift, index, distance),
            None => self.look_for_a_shift(index, distance),
        }
    }

    /// Log of the evidence that is enough: two directions share the run length.
    fn enough(&self) -> f64 {
        (2.0 * self.sensitivity.run_length).ln()
    }

    fn look_for_a_shift(&mut self, index: usize, distance: f64) -> Option<Change> {
        self.slower.bet(index, distance, &self.sensitivity);
        self.faster.bet(index, distance, &self.sensitivity);
        let stronger = if self.slower.log >= self.faster.log {
            self.slower
        } else {
            self.faster
        };
        if stronger.log < self.enough() {
            let since = |e: Evidence| if e.log > 0.0 { e.since } else { index + 1 };
            self.forget_before(since(self.slower).min(since(self.faster)));
            return None;
        }
        self.forget_before(stronger.since);
        let shift = Shift {
            evidence: stronger,
            began_with: stronger.log,
            last_held: index,
        };
        self.shift = Some(shift);
        Some(self.change(Stage::Began, shift))
    }

    /// Evidence never exceeds what is enough, so that it is gone soon after the shift has passed,
    /// however long it held.
    fn follow(&mut self, mut shift: Shift, index: usize, distance: f64) -> Option<Change> {
        shift.evidence.log = shift.evidence.log.min(self.enough());
        shift.evidence.bet(index, distance, &self.sensitivity);
        if shift.evidence.log >= self.enough() {
            shift.last_held = index;
        }
        self.shift = Some(shift);
        if shift.evidence.log <= 0.0 {
            let change = self.change(Stage::Passed, shift);
            self.begin_anew(index + 1, self.level);
            return Some(change);
        }
        let change = self.change(Stage::Lasting, shift);
        let is_lasting = shift.last_held == index && change.held >= self.sensitivity.lasting_after;
        is_lasting.then(|| {
            self.begin_anew(index + 1, change.to.ln());
            change
        })
    }

    fn change(&self, stage: Stage, shift: Shift) -> Change {
        let held = shift.last_held + 1 - shift.evidence.since;
        let after = self.kept.get(..held).unwrap_or(&self.kept);
        Change {
            stage,
            since: shift.evidence.since,
            held,
            from: self.level.exp(),
            to: median(after).unwrap_or(self.level).exp(),
            evidence: shift.began_with,
        }
    }

    fn begin_anew(&mut self, index: usize, level: f64) {
        self.level = level;
        self.slower = Evidence::new(1.0, index);
        self.faster = Evidence::new(-1.0, index);
        self.shift = None;
        self.forget_before(index);
    }

    fn forget_before(&mut self, index: usize) {
        let count = index.saturating_sub(self.first_kept).min(self.kept.len());
        self.kept.drain(..count);
        self.first_kept += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::simulation::{Noise, Stream, share};

    const TYPICAL: Sensitivity = Sensitivity {
        noise: 0.006,
        tolerance: 0.02,
        run_length: 10_000.0,
        lasting_after: 40,
    };

    /// What a detector says of the simulator's noise with a factor by iteration.
    fn watch(seed: u64, count: usize, factor: impl Fn(usize) -> f64) -> Vec<(usize, Change)> {
        let mut detector = ChangeDetector::new(TYPICAL);
        let times = Noise::simulator(seed).times(count);
        (0..count)
            .filter_map(|i| Some((i, detector.push(factor(i) * times[i])?)))
            .collect()
    }

    fn stages(found: &[(usize, Change)]) -> Vec<Stage> {
        found.iter().map(|(_, change)| change.stage).collect()
    }

    #[test]
    fn a_false_alarm_takes_as_long_as_asked_for() {
        // Just tolerable noise with 2 % of spikes; it takes ten times as long as promised.
        let sensitivity = Sensitivity {
            tolerance: 0.0,
            run_length: 200.0,
            ..TYPICAL
        };
        let mut total = 0;
        for seed in 0..200 {
            let mut stream = Stream::new(seed);
            let mut detector = ChangeDetector::new(sensitivity);
            let mut quiet = || {
                let spike = if stream.uniform() < 0.02 { 1.3 } else { 1.0 };
                let time = spike * (sensitivity.noise * stream.normal()).exp();
                detector.push(time).is_none()
            };
            // Runs that go on for longer are cut off, which only shortens the average.
            total += 1 + (0..40_000).take_while(|_| quiet()).count();
        }
        let average = total / 200;
        assert!((200..8000).contains(&average), "{average}");
    }

    #[test]
    fn spikes_and_drift_are_no_change() {
        let alarms: usize = (0..60).map(|s| watch(s, 5000, |_| 1.0).len()).sum();
        // 300 000 iterations at a run length of 10 000.
        assert!(alarms <= 30, "{alarms}");
    }

    #[test]
    fn changes_are_noticed_in_a_few_iterations_and_dated() {
        for (factor, median, most) in [
            (1.3, 5, 5),
            (1.05, 6, 8),
            (1.04, 7, 20),
            (1.03, 15, 60),
            (0.95, 6, 8),
        ] {
            let mut delays: Vec<usize> = Vec::new();
            for seed in 0..200 {
                let found = watch(seed, 400, |i| if i < 100 { 1.0 } else { factor });
                let (at, change) = found[0];
                delays.push(at + 1 - 100);
                assert_eq!((change.stage, change.from), (Stage::Began, 1.0));
                assert!(
                    factor < 1.05 || change.since.abs_diff(100) <= 5,
                    "{change:?}"
                );
            }
            delays.sort_unstable();
            let found = (delays[100], delays[190]);
            assert!(
                found.0 <= median && found.1 <= most,
                "{factor}: {found:?} iterations"
            );
        }
    }

    #[test]
    fn a_neighbour_passes_and_a_slower_link_stays() {
        let right = share(300, |seed| {
            let found = watch(
                seed,
                300,
                |i| {
                    if (100..120).contains(&i) { 1.3 } else { 1.0 }
                },
            );
            stages(&found) == [Stage::Began, Stage::Passed]
                && found[1].1.held.abs_diff(20) <= 2
                && found[1].0 < 130
        });
        assert!(right >= 0.98, "{right}");
        let right = share(300, |seed| {
            let found = watch(seed, 600, |i| if i < 100 { 1.0 } else { 1.1 });
            // Said once, and the new level is one like any other.
            stages(&found) == [Stage::Began, Stage::Lasting]
                && found[1].0.abs_diff(140) <= 5
                && (found[1].1.to - 1.1).abs() < 0.02
        });
        assert!(right >= 0.98, "{right}");
    }

    #[test]
    fn what_was_lasting_may_pass_too() {
        let found = watch(3, 400, |i| if (100..200).contains(&i) { 1.3 } else { 1.0 });
        assert_eq!(
            stages(&found),
            [Stage::Began, Stage::Lasting, Stage::Began, Stage::Lasting]
        );
        let back = found[3].1;
        assert!((back.from - 1.3).abs() < 0.03 && (back.to - 1.0).abs() < 0.03);
    }

    #[test]
    fn nonsense_is_not_counted_and_no_noise_is_no_trouble() {
        let mut detector = ChangeDetector::new(Sensitivity {
            noise: 0.0,
            ..TYPICAL
        });
        for _ in 0..10 {
            assert_eq!(detector.push(1.0), None);
            assert_eq!(detector.push(f64::NAN), None);
            assert_eq!(detector.push(0.0), None);
        }
        let began = (0..5).find_map(|_| detector.push(1.03)).unwrap();
        assert_eq!((began.stage, began.since), (Stage::Began, 10));
        assert!((began.to - 1.03).abs() < 1e-12);
    }
}
