//! Tells what a change is of: the candidate, the incumbent, or the machine around both.
//!
//! A pair says it: what hits both halves moves the times and not their ratio, and a candidate moves
//! the ratio. While nothing is tried there is no pair, and only time tells: what passes was
//! interference. What stays is the incumbent's, whether anything was tried or not.

use super::change_point::{Change, ChangeDetector, Sensitivity, Stage};

/// What a change is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Both halves of the pairs moved together, or the incumbent moved and came back: a neighbour,
    /// or drift.
    Interference,
    /// The ratio of candidate to incumbent moved, in whichever direction the change says.
    Candidate,
    /// The incumbent moved and stays away: what it was tuned for is no more.
    Incumbent,
    /// The incumbent has just moved while nothing was tried: interference if it passes, the
    /// incumbent if it lasts.
    Open,
}

/// A change and what it is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// What it is of.
    pub cause: Cause,
    /// The change: of candidate over incumbent if the cause is the candidate, its indices counting
    /// that candidate's pairs; else of the incumbent's time, its indices counting all its times.
    pub change: Change,
}

/// Watches the incumbent's times, and the pairs while a candidate is tried.
#[derive(Clone, Debug)]
pub struct CauseFinder {
    pairs: Sensitivity,
    incumbent: ChangeDetector,
    ratio: ChangeDetector,
}

impl CauseFinder {
    /// `times` is the sensitivity to the incumbent's time over its baseline, `pairs` that to the
    /// candidate's time over the incumbent's.
    pub fn new(times: Sensitivity, pairs: Sensitivity) -> Self {
        Self {
            pairs,
            incumbent: ChangeDetector::new(times),
            ratio: ChangeDetector::new(pairs),
        }
    }

    /// Forgets the last candidate's pairs.
    pub fn begin_candidate(&mut self) {
        self.ratio = ChangeDetector::new(self.pairs);
    }

    /// A time of the incumbent over its baseline, taken while nothing is tried.
    pub fn push_alone(&mut self, incumbent: f64) -> Option<Finding> {
        let change = self.incumbent.push(incumbent)?;
        let cause = match change.stage {
            Stage::Began => Cause::Open,
            Stage::Passed => Cause::Interference,
            Stage::Lasting => Cause::Incumbent,
        };
        Some(Finding { cause, change })
    }

    /// A pair of times, both over the incumbent's baseline. Both may be found to have changed, the
    /// ratio first.
    pub fn push_pair(&mut self, incumbent: f64, candidate: f64) -> Vec<Finding> {
        let ratio = self.ratio.push(candidate / incumbent);
        let time = self.incumbent.push(incumbent);
        let of_ratio = ratio.map(|change| Finding {
            cause: Cause::Candidate,
            change,
        });
        let of_time = time.map(|change| Finding {
            cause: match change.stage {
                Stage::Began | Stage::Passed => Cause::Interference,
                Stage::Lasting => Cause::Incumbent,
            },
            change,
        });
        of_ratio.into_iter().chain(of_time).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::simulation::{Noise, share};

    const TIMES: Sensitivity = Sensitivity {
        noise: 0.006,
        tolerance: 0.02,
        run_length: 10_000.0,
        lasting_after: 40,
    };
    const PAIRS: Sensitivity = Sensitivity {
        noise: 0.0085,
        tolerance: 0.005,
        ..TIMES
    };

    /// Everything found in pairs of which `machine` disturbs both halves, and the second half has
    /// another factor.
    fn pairs(
        seed: u64,
        count: u32,
        machine: impl Fn(u32) -> f64,
        candidate: impl Fn(u32) -> f64,
    ) -> Vec<Finding> {
        let mut noise = Noise::simulator(seed);
        let mut finder = CauseFinder::new(TIMES, PAIRS);
        let found = (0..count).flat_map(|index| {
            let (old, new) = noise.pair(index, candidate(index));
            finder.push_pair(machine(index) * old, machine(index) * new)
        });
        found.collect()
    }

    fn alone(seed: u64, count: usize, machine: impl Fn(usize) -> f64) -> Vec<Finding> {
        let mut finder = CauseFinder::new(TIMES, PAIRS);
        let times = Noise::simulator(seed).times(count);
        (0..count)
            .filter_map(|i| finder.push_alone(machine(i) * times[i]))
            .collect()
    }

    fn causes(found: &[Finding]) -> Vec<(Cause, Stage)> {
        found.iter().map(|f| (f.cause, f.change.stage)).collect()
    }

    #[test]
    fn a_neighbour_beside_a_trial_is_not_the_candidate() {
        let right = share(500, |seed| {
            let neighbour = |i| if (10..30).contains(&i) { 1.3 } else { 1.0 };
            causes(&pairs(seed, 48, neighbour, |_| 1.0))
                == [
                    (Cause::Interference, Stage::Began),
                    (Cause::Interference, Stage::Passed),
                ]
        });
        assert!(right >= 0.98, "{right}");
        // Nor does a machine that slows down for good make a candidate bad: it is another machine now.
        let right = share(500, |seed| {
            let found = pairs(seed, 60, |i| if i < 5 { 1.0 } else { 1.2 }, |_| 1.0);
            causes(&found)
                == [
                    (Cause::Interference, Stage::Began),
                    (Cause::Incumbent, Stage::Lasting),
                ]
        });
        assert!(right >= 0.98, "{right}");
    }

    #[test]
    fn a_bad_candidate_is_not_a_neighbour() {
        for (factor, most) in [(1.05, 0.02), (1.3, 0.02)] {
            let wrong = share(500, |seed| {
                let found = pairs(seed, 12, |_| 1.0, |_| factor);
                causes(&found) != [(Cause::Candidate, Stage::Began)] || found[0].change.to < 1.02
            });
            assert!(wrong <= most, "{factor}: {wrong}");
        }
        // One that turns bad under way is dated.
        let found = pairs(1, 40, |_| 1.0, |i| if i < 20 { 0.999 } else { 1.2 });
        assert_eq!(causes(&found)[0], (Cause::Candidate, Stage::Began));
        assert!(found[0].change.since.abs_diff(20) <= 1, "{found:?}");
    }

    #[test]
    fn a_bad_candidate_beside_a_neighbour_is_both() {
        let right = share(300, |seed| {
            let found = pairs(seed, 12, |_| 1.3, |_| 1.2);
            let began = |cause| causes(&found).contains(&(cause, Stage::Began));
            began(Cause::Candidate) && began(Cause::Interference)
        });
        assert!(right >= 0.98, "{right}");
    }

    #[test]
    fn nothing_is_found_in_noise() {
        let found = share(500, |seed| !pairs(seed, 200, |_| 1.0, |_| 1.0).is_empty());
        // 100 000 pairs at a run length of 10 000 in each of two detectors.
        assert!(found <= 0.04, "{found}");
    }

    #[test]
    fn alone_only_time_tells() {
        let right = share(300, |seed| {
            let passing = alone(seed, 200, |i| if (50..70).contains(&i) { 1.3 } else { 1.0 });
            let staying = alone(seed, 200, |i| if i < 50 { 1.0 } else { 1.1 });
            causes(&passing)
                == [
                    (Cause::Open, Stage::Began),
                    (Cause::Interference, Stage::Passed),
                ]
                && causes(&staying)
                    == [
                        (Cause::Open, Stage::Began),
                        (Cause::Incumbent, Stage::Lasting),
                    ]
        });
        assert!(right >= 0.98, "{right}");
    }

    #[test]
    fn the_next_candidate_begins_with_a_clean_slate() {
        let mut finder = CauseFinder::new(TIMES, PAIRS);
        let first: Vec<Finding> = (0..10).flat_map(|_| finder.push_pair(1.0, 1.3)).collect();
        assert_eq!(causes(&first), [(Cause::Candidate, Stage::Began)]);
        finder.begin_candidate();
        let second: Vec<Finding> = (0..10).flat_map(|_| finder.push_pair(1.0, 1.0)).collect();
        assert_eq!(causes(&second), []);
    }
}
