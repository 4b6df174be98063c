//! Methods that search blindly, driven as their authors drive them.
//!
//! Those for the whole job are told the time of one noisy iteration; AutoCCL's, one for each key,
//! is told that key's mean call time in it while all keys move at once, which is kinder to it than
//! its own procedure of one task after the other. The job's first iteration is its cold one and
//! the second the default; both are NCCL as it comes, count like any other, and only the second is
//! told. What a method recommends is what it believes best, the default included.

use ccl_core::{Policy, TaskKey};
use ccl_search::peers::{Afnfa, AutoCcl, AutoCclSteps, RandomSearch, Smac, Tpe};
use ccl_search::surrogate::{BayesianSearch, Settings};
use ccl_search::{MixedSpace, Optimiser};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::course::Course;
use super::encoding::Encoding;
use super::machine::{Machine, configuration};
use super::method::Method;
use super::{Clock, CompareError};
use crate::guard::{Bounds, Guard};
use crate::testbed::{IterationSample, KeyFacts, Testbed};

/// Iterations before the first suggestion.
const BEFORE: u32 = 2;
/// Most random evaluations of AFNFA before its forest; half the budget where that is less.
const MOST_SAMPLED: usize = 50;

/// One search and what it is told.
struct Player {
    encoding: Encoding,
    search: Box<dyn Optimiser>,
    reads: Reads,
}

enum Reads {
    /// Wall time of the iteration.
    Iteration,
    /// Mean time of this key's calls.
    Calls(TaskKey),
}

impl Reads {
    fn of(&self, sample: &IterationSample) -> f64 {
        match self {
            Self::Iteration => sample.iteration_us,
            Self::Calls(key) => {
                let found = sample.keys.iter().find(|k| k.key == *key);
                found
                    .and_then(|k| k.calls_us.first().copied())
                    .unwrap_or(f64::INFINITY)
            }
        }
    }
}

/// The searches of a method; none for NCCL's default.
fn players(
    method: Method,
    testbed: &dyn Testbed,
    keys: &[KeyFacts],
    budget: u32,
    seed: u64,
) -> Vec<Player> {
    let whole = |of: &dyn Fn(MixedSpace) -> Box<dyn Optimiser>, encoding: Encoding| {
        vec![Player {
            search: of(encoding.space().clone()),
            encoding,
            reads: Reads::Iteration,
        }]
    };
    let per_key = || Encoding::per_key(testbed, keys);
    match method {
        Method::Random => whole(&|s| Box::new(RandomSearch::new(s, seed)), per_key()),
        Method::Tpe => whole(&|s| Box::new(Tpe::new(s, seed)), per_key()),
        Method::Smac => whole(&|s| Box::new(Smac::new(s, seed)), per_key()),
        Method::Gp => {
            let search = |space| -> Box<dyn Optimiser> {
                let rng = ChaCha8Rng::seed_from_u64(seed);
                Box::new(BayesianSearch::new(
                    space,
                    Vec::new(),
                    Settings::default(),
                    rng,
                ))
            };
            whole(&search, per_key())
        }
        Method::Afnfa => {
            let sample = MOST_SAMPLED.min(budget as usize / 2);
            let encoding = Encoding::one_for_all(testbed, keys);
            whole(&|s| Box::new(Afnfa::new(s, sample, seed)), encoding)
        }
        Method::AutoCcl => (0_u64..)
            .zip(keys)
            .map(|(number, facts)| {
                let encoding = Encoding::per_key(testbed, std::slice::from_ref(facts));
                // The pair is the implementation; channels and chunk are its resources.
                let space = encoding.space().clone();
                let steps = AutoCclSteps::default();
                let seed = seed.wrapping_add(number << 32);
                Player {
                    search: Box::new(AutoCcl::new(space, &[0], steps, seed)),
                    encoding,
                    reads: Reads::Calls(facts.key),
                }
            })
            .collect(),
        // Ours is no blind search; the default does nothing.
        _ => Vec::new(),
    }
}

/// Runs a method for a budget of iterations.
///
/// # Errors
/// A job that does not run.
pub fn run(
    method: Method,
    machine: &Machine,
    keys: &[KeyFacts],
    budget: u32,
    seed: u64,
    clock: Clock,
) -> Result<Course, CompareError> {
    let mut testbed = machine.testbed()?;
    let guard = Guard::new(Bounds::default(), testbed.keys());
    let mut players = players(method, &testbed, keys, budget, seed);
    let mut course = Course::default();
    for iteration in 0..budget {
        let began = clock();
        let points: Vec<_> = players
            .iter_mut()
            .map(|player| match iteration < BEFORE {
                true => player.encoding.default_point().clone(),
                false => player.search.ask(),
            })
            .collect();
        let mut thinking = clock().saturating_sub(began);
        let each = players.iter().zip(&points);
        let policy = joined(each.map(|(player, point)| player.encoding.policy(point)));
        let approved = guard.approve(&configuration(policy.clone()))?;
        let sample = testbed.run_iteration(&approved);
        course
            .ratios
            .push(machine.noise_free_us(&policy) / machine.default_us());
        let began = clock();
        for (player, point) in players.iter_mut().zip(&points) {
            if iteration > 0 {
                let value = sample
                    .as_ref()
                    .map_or(f64::INFINITY, |s| player.reads.of(s));
                player.search.tell(point, value);
            }
        }
        thinking += clock().saturating_sub(began);
        let best = players.iter().map(|player| {
            let best = player.search.best();
            best.map_or_else(Policy::default, |point| player.encoding.policy(&point))
        });
        let best = joined(best);
        course.recommend(machine.noise_free_us(&best));
        if iteration >= BEFORE && !players.is_empty() {
            course.candidates += players.len() as u64;
            course.suggestions += 1;
            course.thinking += thinking;
        }
    }
    Ok(course)
}

/// Policies for different keys as one.
fn joined(policies: impl Iterator<Item = Policy>) -> Policy {
    Policy {
        rules: policies.flat_map(|policy| policy.rules).collect(),
    }
}
