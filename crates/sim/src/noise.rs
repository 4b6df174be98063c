//! What disturbs a run: noise that grows with load, spikes, drift, a cold start, and events.
//!
//! A pure function of (seed, iteration, stream): the same question gives the same answer in
//! whatever order it is asked, and no state can carry a gain from one configuration to another.
//! Drift is shared by everything that runs in the same iteration, so a paired comparison never
//! sees it.

use ccl_core::{Choice, ChoicePattern, TaskKey};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How noisy a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoiseModel {
    /// The seed of everything below.
    pub seed: u64,
    /// Standard deviation of an iteration, as a share.
    pub iteration: f64,
    /// Standard deviation of one call, as a share; a mean over many calls is quieter.
    pub call: f64,
    /// Chance of a spike in an iteration.
    pub spike_rate: f64,
    /// Mean size of a spike, as a share.
    pub spike_size: f64,
    /// Amplitude of the slow drift, as a share.
    pub drift: f64,
    /// Period of the drift, iterations.
    pub drift_period: f64,
    /// How much longer the first iteration takes, as a share.
    pub cold_start: f64,
}

impl NoiseModel {
    /// A quiet cluster: iterations within 0.6 %, calls within 5 %, a 30 % spike in a hundred
    /// iterations, 1 % drift, and a first iteration that takes 1.4 times as long.
    pub fn typical(seed: u64) -> Self {
        Self {
            seed,
            iteration: 0.006,
            call: 0.05,
            spike_rate: 0.01,
            spike_size: 0.3,
            drift: 0.01,
            drift_period: 60.0,
            cold_start: 0.4,
        }
    }

    /// No noise at all.
    pub fn none() -> Self {
        Self {
            seed: 0,
            iteration: 0.0,
            call: 0.0,
            spike_rate: 0.0,
            spike_size: 0.0,
            drift: 0.0,
            drift_period: 1.0,
            cold_start: 0.0,
        }
    }

    fn stream(&self, iteration: u64, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        // Each iteration has 64 words of its own in each stream.
        rng.set_word_pos(u128::from(iteration) * 64);
        rng
    }

    /// Factor on the time of a whole iteration.
    pub fn iteration_factor(&self, iteration: u64) -> f64 {
        let mut rng = self.stream(iteration, 0);
        let spike = if rng.random_range(0.0..1.0) < self.spike_rate {
            // Exponential with the mean asked for.
            -self.spike_size * (1.0 - rng.random_range(0.0..1.0_f64)).ln()
        } else {
            0.0
        };
        let cold = if iteration == 0 { self.cold_start } else { 0.0 };
        (self.iteration * normal(&mut rng)).exp()
            * (1.0 + spike + cold)
            * self.drift_factor(iteration)
    }

    /// The drift alone.
    #[allow(clippy::cast_precision_loss)] // iteration numbers
    pub fn drift_factor(&self, iteration: u64) -> f64 {
        let phase = std::f64::consts::TAU * iteration as f64 / self.drift_period.max(1.0);
        1.0 + self.drift * phase.sin()
    }

    /// Factor on the mean time of `calls` calls; `stream` tells one group of calls from another.
    #[allow(clippy::cast_precision_loss)] // call counts
    pub fn calls_factor(&self, iteration: u64, stream: u64, calls: u64) -> f64 {
        let mut rng = self.stream(iteration, stream.wrapping_add(1));
        let spread = self.call / (calls.max(1) as f64).sqrt();
        (spread * normal(&mut rng)).exp() * self.drift_factor(iteration)
    }
}

/// A standard normal value (Box and Muller, Annals of Mathematical Statistics 1958).
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
    let angle: f64 = rng.random_range(0.0..std::f64::consts::TAU);
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

/// Something that happens to a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ScenarioEvent {
    /// Another job shares the machine for a while.
    Neighbour {
        /// First iteration.
        from: u64,
        /// Iterations.
        lasts: u64,
        /// Factor on iteration time.
        factor: f64,
    },
    /// A link loses speed for good.
    DegradedLink {
        /// First iteration.
        from: u64,
        /// Factor on iteration time.
        factor: f64,
    },
    /// One rank is late now and then.
    Straggler {
        /// First iteration.
        from: u64,
        /// Every so many iterations.
        every: u64,
        /// Factor on iteration time.
        factor: f64,
    },
    /// No progress at one iteration.
    Hang {
        /// The iteration.
        at: u64,
    },
    /// The job dies at one iteration.
    Failure {
        /// The iteration.
        at: u64,
    },
    /// Some choices do harm wherever they run, were it in a single call. What NCCL chooses by itself is
    /// never among them.
    Culprit {
        /// Which choices, on which keys.
        runs: ChoicePattern,
        /// What they do.
        effect: Effect,
        /// The first iteration in which they do.
        after: u64,
    },
}

/// What a culprit does to the iteration it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// No progress.
    Hang,
    /// The job dies.
    Crash,
    /// Its calls take so many times as long.
    SlowCalls {
        /// How many times.
        factor: f64,
    },
    /// The whole iteration takes so many times as long: one rank is late and all wait for it.
    SlowIteration {
        /// How many times.
        factor: f64,
    },
}

/// What becomes of an iteration under a scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It runs, so many times as long.
    Runs(f64),
    /// It hangs.
    Hangs,
    /// It fails.
    Fails,
}

/// Events of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// In no particular order.
    pub events: Vec<ScenarioEvent>,
}

impl Scenario {
    /// What becomes of one iteration in which nothing but NCCL's own choices run.
    pub fn fate(&self, iteration: u64) -> Fate {
        self.fate_with(iteration, &[])
    }

    /// What becomes of one iteration in which these choices run besides.
    pub fn fate_with(&self, iteration: u64, running: &[(TaskKey, Choice)]) -> Fate {
        let mut factor = 1.0;
        for event in &self.events {
            match *event {
                ScenarioEvent::Hang { at } if at == iteration => return Fate::Hangs,
                ScenarioEvent::Failure { at } if at == iteration => return Fate::Fails,
                ScenarioEvent::Neighbour {
                    from,
                    lasts,
                    factor: f,
                } if (from..from.saturating_add(lasts)).contains(&iteration) => {
                    factor *= f;
                }
                ScenarioEvent::DegradedLink { from, factor: f } if iteration >= from => factor *= f,
                ScenarioEvent::Straggler {
                    from,
                    every,
                    factor: f,
                } if iteration >= from && (iteration - from).is_multiple_of(every.max(1)) => {
                    factor *= f;
                }
                ScenarioEvent::Culprit { runs, effect, .. }
                    if event.is_active(iteration)
                        && running
                            .iter()
                            .any(|(key, choice)| runs.matches(*key, choice)) =>
                {
                    match effect {
                        Effect::Hang => return Fate::Hangs,
                        Effect::Crash => return Fate::Fails,
                        Effect::SlowIteration { factor: f } => factor *= f,
                        Effect::SlowCalls { .. } => {}
                    }
                }
                _ => {}
            }
        }
        Fate::Runs(factor)
    }

    /// How many times as long the calls of a key take that run this choice.
    pub fn calls_factor(&self, iteration: u64, key: TaskKey, choice: &Choice) -> f64 {
        let slow = self.events.iter().filter_map(|event| match event {
            ScenarioEvent::Culprit {
                runs,
                effect: Effect::SlowCalls { factor },
                ..
            } if event.is_active(iteration) && runs.matches(key, choice) => Some(*factor),
            _ => None,
        });
        slow.product()
    }
}

impl ScenarioEvent {
    fn is_active(&self, iteration: u64) -> bool {
        matches!(self, Self::Culprit { after, .. } if iteration >= *after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_does_not_depend_on_the_order_of_questions() {
        let noise = NoiseModel::typical(7);
        let forward: Vec<f64> = (0..50).map(|i| noise.iteration_factor(i)).collect();
        let backward: Vec<f64> = (0..50).rev().map(|i| noise.iteration_factor(i)).collect();
        assert_eq!(forward, backward.into_iter().rev().collect::<Vec<_>>());
        assert_ne!(noise.calls_factor(3, 1, 10), noise.calls_factor(3, 2, 10));
        assert_ne!(
            NoiseModel::typical(8).iteration_factor(1),
            noise.iteration_factor(1)
        );
    }

    #[test]
    fn the_median_stays_where_it_is_and_means_are_quieter() {
        let noise = NoiseModel {
            drift: 0.0,
            cold_start: 0.0,
            ..NoiseModel::typical(1)
        };
        let mut factors: Vec<f64> = (0..4001).map(|i| noise.iteration_factor(i)).collect();
        let spikes = factors.iter().filter(|f| **f > 1.05).count();
        factors.sort_by(f64::total_cmp);
        assert!((factors[2000] - 1.0).abs() < 0.001, "{}", factors[2000]);
        assert!((20..=70).contains(&spikes), "{spikes}");
        let spread = |calls| {
            let squares: f64 = (0..2000)
                .map(|i| noise.calls_factor(i, 0, calls).ln().powi(2))
                .sum();
            (squares / 2000.0).sqrt()
        };
        assert!((spread(1) / 0.05 - 1.0).abs() < 0.1, "{}", spread(1));
        assert!((spread(100) / 0.005 - 1.0).abs() < 0.1, "{}", spread(100));
    }

    #[test]
    fn events_happen_when_they_should() {
        let scenario = Scenario {
            events: vec![
                ScenarioEvent::Neighbour {
                    from: 5,
                    lasts: 2,
                    factor: 1.5,
                },
                ScenarioEvent::Straggler {
                    from: 10,
                    every: 3,
                    factor: 2.0,
                },
                ScenarioEvent::Hang { at: 20 },
            ],
        };
        assert_eq!(scenario.fate(4), Fate::Runs(1.0));
        assert_eq!(scenario.fate(6), Fate::Runs(1.5));
        assert_eq!(scenario.fate(13), Fate::Runs(2.0));
        assert_eq!(scenario.fate(14), Fate::Runs(1.0));
        assert_eq!(scenario.fate(20), Fate::Hangs);
    }

    #[test]
    fn a_culprit_does_its_harm_where_it_runs_and_nowhere_else() {
        use ccl_core::{Algorithm, Collective, CommShape, Protocol};
        let culprit = |effect| Scenario {
            events: vec![ScenarioEvent::Culprit {
                runs: ChoicePattern {
                    protocol: Some(Protocol::Ll),
                    ..ChoicePattern::default()
                },
                effect,
                after: 5,
            }],
        };
        let key = TaskKey::of(CommShape::new(8, 1), Collective::AllReduce, 1 << 20);
        let ll = (key, Choice::new(Algorithm::Ring, Protocol::Ll));
        let simple = (key, Choice::new(Algorithm::Ring, Protocol::Simple));
        let hang = culprit(Effect::Hang);
        assert_eq!(hang.fate_with(4, &[ll]), Fate::Runs(1.0));
        assert_eq!(hang.fate_with(5, &[simple, ll]), Fate::Hangs);
        assert_eq!(hang.fate_with(5, &[simple]), Fate::Runs(1.0));
        assert_eq!(culprit(Effect::Crash).fate_with(9, &[ll]), Fate::Fails);
        let late = culprit(Effect::SlowIteration { factor: 3.0 });
        assert_eq!(late.fate_with(9, &[ll]), Fate::Runs(3.0));
        let slow = culprit(Effect::SlowCalls { factor: 3.0 });
        assert_eq!(slow.fate_with(9, &[ll]), Fate::Runs(1.0));
        assert_eq!(slow.calls_factor(9, key, &ll.1), 3.0);
        assert_eq!(slow.calls_factor(9, key, &simple.1), 1.0);
    }
}
