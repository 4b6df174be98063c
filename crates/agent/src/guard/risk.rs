//! The risk of a candidate before it runs: how dangerous its kind is, how far it is from what ran here, and
//! what is known of its time.
//!
//! The result says how the trial begins and how fast it grows. It is not about speed: a candidate that is
//! expected to be slow is not dangerous, it only gets fewer calls at a time.

use std::fmt;

use ccl_core::{Algorithm, Choice, Protocol, TaskKey};

use super::failures::Failures;

/// Largest growth of a lease from one iteration to the next, by class: what is likely harmless reaches its
/// full lease in the second iteration, the others see it on the way.
const GROWTH: [f64; 3] = [40.0, 10.0, 4.0];
/// Levels (factors of two, a changed pair counting as [`PAIR_LEVELS`]) from what ran here up to which a
/// candidate is a neighbour.
const NEAR: u32 = 3;
/// What another algorithm or protocol counts, in levels.
const PAIR_LEVELS: u32 = 2;
/// How many times as long a call may take of which nothing at all is known.
const UNKNOWN_CALL_RATIO: f64 = 3.0;
/// What the first calls of a candidate may do to the iteration, a share of it, if they take
/// [`UNKNOWN_CALL_RATIO`] times as long whatever is known of them.
const FIRST_HARM: f64 = 0.01;

/// How careful a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RiskClass {
    /// A neighbour of what ran here.
    Low,
    /// Far from it, or the first of its kind.
    Moderate,
    /// A kind that needs more than kernels: hardware or software that nothing in this job used yet.
    High,
}

/// What is known of a candidate's time before it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Foreseen {
    /// Its key's share of the iteration, 0..=1.
    pub share: f64,
    /// Time of a call as a ratio to the incumbent's: the upper end of what is expected, and who says so.
    pub call_ratio: Option<(f64, &'static str)>,
    /// Time of the iteration, as a ratio to the incumbent's, with all calls of the key running it: upper
    /// end, where a model of the whole iteration is there to say so.
    pub iteration_ratio: Option<f64>,
    /// Whether an earlier run in a context like this one found it good.
    pub was_good_before: bool,
}

/// The risk of one candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Risk {
    /// How careful its trial is.
    pub class: RiskClass,
    /// What the class rests on.
    pub because: String,
    /// Levels from the nearest choice that ran here.
    pub distance: u32,
    /// Upper end of its call's time, as a ratio to the incumbent's.
    pub call_ratio: f64,
    /// Who says so.
    pub source: &'static str,
    /// Upper bound of (iteration / incumbent's - 1) if all calls of the key ran it.
    pub harm: f64,
    /// Calls of its first iteration.
    pub first_calls: u64,
    /// Largest growth from one iteration to the next.
    pub growth: f64,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            RiskClass::Low => "low",
            RiskClass::Moderate => "moderate",
            RiskClass::High => "high",
        };
        write!(
            f,
            "{class} risk ({}); calls at most {:.2} times as long ({}), all of them at most {:.1} % of \
             the iteration; {} first, then at most {:.0} times as many",
            self.because,
            self.call_ratio,
            self.source,
            100.0 * self.harm,
            match self.first_calls {
                1 => "1 call".to_owned(),
                n => format!("{n} calls"),
            },
            self.growth,
        )
    }
}

/// What the guard knows of the key a candidate is for.
pub(super) struct Of<'a> {
    pub(super) key: TaskKey,
    pub(super) calls: u64,
    pub(super) overlapped: bool,
    pub(super) canary_calls: u64,
    pub(super) lease_calls: u64,
    /// What NCCL runs there by itself.
    pub(super) untuned: Option<Choice>,
    pub(super) ran: &'a Failures,
}

/// The risk of a choice that passed all rules.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation
)] // counts of calls, below 2^53
pub(super) fn assess(of: &Of<'_>, choice: &Choice, foreseen: &Foreseen) -> Risk {
    let nearest = of
        .ran
        .all_that_ran()
        .filter(|(k, _)| k.shape == of.key.shape && k.collective == of.key.collective)
        .map(|(k, c)| levels_between((of.key, choice), (*k, c), of.untuned))
        .min();
    let distance = nearest.unwrap_or(u32::MAX);
    let (mut class, mut because) = hazard(of, choice).unwrap_or_else(|| match nearest {
        Some(d) if d <= NEAR => (RiskClass::Low, format!("{d} levels from what ran here")),
        Some(d) => (
            RiskClass::Moderate,
            format!("{d} levels from what ran here"),
        ),
        None => (
            RiskClass::Moderate,
            "nothing of this kind is known to have run here".to_owned(),
        ),
    });
    if foreseen.was_good_before && class > RiskClass::Low {
        class = match class {
            RiskClass::High => RiskClass::Moderate,
            _ => RiskClass::Low,
        };
        because.push_str(", but it was good in an earlier run");
    }
    let (call_ratio, source) = foreseen
        .call_ratio
        .unwrap_or((UNKNOWN_CALL_RATIO, "nothing is known"));
    // Beside computation a call may take from it what it does not take itself: as if nothing overlapped.
    let of_calls = match of.overlapped {
        true => foreseen.share * call_ratio,
        false => foreseen.share * (call_ratio - 1.0),
    };
    let harm = match foreseen.iteration_ratio {
        Some(ratio) if of.overlapped => (ratio - 1.0).min(of_calls),
        _ => of_calls,
    };
    // Even if nothing that is known of it were true, its first calls cost the iteration next to nothing.
    let unforeseen = foreseen.share * (call_ratio.max(UNKNOWN_CALL_RATIO) - 1.0);
    let harmless = (FIRST_HARM / unforeseen.max(FIRST_HARM) * of.calls as f64) as u64;
    let first_calls = match class {
        RiskClass::High => 1,
        RiskClass::Low | RiskClass::Moderate => harmless.min(of.lease_calls).max(of.canary_calls),
    };
    Risk {
        class,
        because,
        distance,
        call_ratio,
        source,
        harm: harm.max(0.0),
        first_calls: first_calls.min(of.calls.max(1)),
        growth: GROWTH[class as usize],
    }
}

/// Kinds that are dangerous in themselves.
fn hazard(of: &Of<'_>, choice: &Choice) -> Option<(RiskClass, String)> {
    let on_shape = |f: &dyn Fn(&Choice) -> bool| {
        of.ran
            .all_that_ran()
            .any(|(k, c)| k.shape == of.key.shape && f(c))
    };
    let is_special = matches!(
        choice.algorithm,
        Algorithm::Pat
            | Algorithm::CollNetDirect
            | Algorithm::CollNetChain
            | Algorithm::Nvls
            | Algorithm::NvlsTree
    );
    if !on_shape(&|c| c.algorithm == choice.algorithm) {
        let class = match is_special {
            true => RiskClass::High,
            false => RiskClass::Moderate,
        };
        return Some((
            class,
            format!("the first {} on {}", choice.algorithm, of.key.shape),
        ));
    }
    let is_ll128 = choice.protocol == Protocol::Ll128;
    (is_ll128 && !on_shape(&|c| c.protocol == Protocol::Ll128)).then(|| {
        (
            RiskClass::Moderate,
            format!("the first LL128 on {}", of.key.shape),
        )
    })
}

/// How far two choices are from each other, in factors of two; what either leaves to NCCL is taken to be what
/// NCCL runs by itself.
fn levels_between(
    (key, a): (TaskKey, &Choice),
    (other, b): (TaskKey, &Choice),
    untuned: Option<Choice>,
) -> u32 {
    let pair =
        PAIR_LEVELS * (u32::from(a.algorithm != b.algorithm) + u32::from(a.protocol != b.protocol));
    pair + a.levels_from(b, untuned) + u32::from(key.bucket != other.bucket)
}
