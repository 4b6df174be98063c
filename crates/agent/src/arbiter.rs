//! Which lane goes next: whatever is expected to save most per iteration of the job it costs.
//!
//! Every candidate of either lane comes with what it is expected to save, as a share of the
//! iteration, and with the iterations its trial will take. What a lane promised and what it then
//! saved is kept, and a lane that promises more than it keeps is trusted less here. Nothing that
//! was tried is offered again; when nothing is left that is expected to save more than it is worth
//! looking for, the search is over, and [`Arbiter::why`] says so with figures.

use std::collections::BTreeMap;

use ccl_core::Lane;

/// Expected saving, a share of the iteration per iteration of its trial, below which a candidate is not
/// tried.
pub const WORTH_TRYING: f64 = 0.0001;
/// The same of everything on offer together, below which the search is over.
pub const WORTH_GOING_ON: f64 = 0.000_25;
/// What a lane has promised and kept before anything was tried, as a share of the iteration: how
/// much it takes to change an opinion.
const BENEFIT_OF_DOUBT: f64 = 0.02;
/// A lane is neither silenced nor believed without limit by what it kept.
const TRUST: [f64; 2] = [0.2, 2.0];

/// What a candidate is expected to bring and to cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// The lane it comes from.
    pub lane: Lane,
    /// Expected saving, a share of the iteration, never negative: chance and size of an
    /// improvement together.
    pub saves: f64,
    /// Iterations its trial takes.
    pub iterations: f64,
}

/// What a lane promised, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Payoff {
    /// Candidates tried.
    pub tried: u32,
    /// Candidates kept.
    pub kept: u32,
    /// Sum of what they were expected to save, shares of the iteration.
    pub promised: f64,
    /// Sum of what they saved.
    pub saved: f64,
}

impl Payoff {
    /// How much its promises are worth: what it kept of them, drawn towards 1 while there are few.
    pub fn trust(&self) -> f64 {
        let ratio = (self.saved + BENEFIT_OF_DOUBT) / (self.promised + BENEFIT_OF_DOUBT);
        ratio.clamp(TRUST[0], TRUST[1])
    }
}

/// Weighs the lanes against each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arbiter {
    payoffs: BTreeMap<Lane, Payoff>,
}

impl Arbiter {
    /// What a lane promised and kept so far.
    pub fn payoff(&self, lane: Lane) -> Payoff {
        self.payoffs.get(&lane).copied().unwrap_or_default()
    }

    /// Books the end of a trial: what was expected of it, and what it saved (nothing unless it was
    /// kept), shares of the iteration.
    pub fn book(&mut self, lane: Lane, promised: f64, saved: Option<f64>) {
        let payoff = self.payoffs.entry(lane).or_default();
        payoff.tried += 1;
        payoff.promised += promised;
        if let Some(saved) = saved {
            payoff.kept += 1;
            payoff.saved += saved.max(0.0);
        }
    }

    /// What an offer is worth here: its saving, as far as its lane is trusted.
    pub fn worth(&self, offer: &Offer) -> f64 {
        offer.saves * self.payoff(offer.lane).trust()
    }

    /// The same per iteration it costs: what offers are ranked by.
    pub fn value(&self, offer: &Offer) -> f64 {
        self.worth(offer) / offer.iterations.max(1.0)
    }

    /// Why these offers were chosen, in one sentence with figures.
    pub fn why(&self, chosen: &[Offer], regret_left_iterations: f64) -> String {
        let of = |lane: Lane| {
            let mine: Vec<&Offer> = chosen.iter().filter(|o| o.lane == lane).collect();
            let best = mine.iter().map(|o| self.worth(o)).fold(0.0, f64::max);
            (mine.len(), best)
        };
        let part = |name: &str, lane: Lane| {
            let (count, best) = of(lane);
            let payoff = self.payoff(lane);
            (count > 0).then(|| {
                format!(
                    "{count} {name} (the best is expected to save {:.2} % of the iteration; the lane \
                     kept {} of {} so far, trust {:.2})",
                    100.0 * best,
                    payoff.kept,
                    payoff.tried,
                    payoff.trust()
                )
            })
        };
        let parts: Vec<String> = [
            part("explained", Lane::Hypothesis),
            part("found by the search", Lane::Numeric),
        ]
        .into_iter()
        .flatten()
        .collect();
        let iterations = chosen.iter().map(|o| o.iterations).fold(0.0, f64::max);
        format!(
            "{}; about {iterations:.0} iterations, {regret_left_iterations:.2} of regret left",
            parts.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(lane: Lane, saves: f64, iterations: f64) -> Offer {
        Offer {
            lane,
            saves,
            iterations,
        }
    }

    #[test]
    fn a_lane_that_does_not_keep_its_promises_loses_its_say() {
        let mut arbiter = Arbiter::default();
        let explained = offer(Lane::Hypothesis, 0.02, 3.0);
        let numeric = offer(Lane::Numeric, 0.015, 3.0);
        assert!(arbiter.value(&explained) > arbiter.value(&numeric));
        for _ in 0..4 {
            arbiter.book(Lane::Hypothesis, 0.02, None);
        }
        assert!(arbiter.value(&explained) < arbiter.value(&numeric));
        // And gets it back by keeping them.
        for _ in 0..8 {
            arbiter.book(Lane::Hypothesis, 0.02, Some(0.03));
        }
        assert!(arbiter.value(&explained) > arbiter.value(&numeric));
    }

    #[test]
    fn what_costs_less_goes_first() {
        let arbiter = Arbiter::default();
        let cheap = offer(Lane::Numeric, 0.01, 3.0);
        let dear = offer(Lane::Numeric, 0.02, 20.0);
        assert!(arbiter.value(&cheap) > arbiter.value(&dear));
    }

    #[test]
    fn the_reason_has_figures() {
        let mut arbiter = Arbiter::default();
        arbiter.book(Lane::Numeric, 0.01, Some(0.02));
        let why = arbiter.why(
            &[
                offer(Lane::Numeric, 0.01, 3.0),
                offer(Lane::Hypothesis, 0.002, 3.0),
            ],
            0.7,
        );
        assert!(
            why.contains("1 explained") && why.contains("kept 1 of 1"),
            "{why}"
        );
        assert!(why.contains("0.70 of regret left"), "{why}");
    }
}
