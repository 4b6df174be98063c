//! Whole-job knobs: variables that NCCL reads once, raced by starting the job again with each.
//!
//! After the search per call and before the verdict, and only with restarts to spend. What the mechanisms
//! advised comes first, then what the simulator expects to save something ([`candidates`]); as many as
//! the restarts allow for are raced by [`Halving`]. A stretch of the race is half of the incumbent's
//! iterations, a restart, the candidate's, a restart back, and the other half, paired in order: a drift
//! that goes on in one direction favours neither. It cannot control for a drift that turns within a
//! stretch, nor for what differs from start to start; the winner only becomes what the final comparison
//! holds against untuned NCCL, over starts of its own.
//!
//! What an environment would make possible per call is not searched anew.

mod candidates;

use ccl_core::{Configuration, Outcome, TraceEvent};
use ccl_search::{Halving, HalvingOptions, Outcome as Winner, Standing, Stretch};

use self::candidates::Planned;
use super::blocks::RESTARTS_OF_VERDICT;
use super::restart::{Start, in_words};
use crate::tuner::{RunError, Tuner};

/// Pairs of a candidate that there are for each of its stretches: as many as it takes to be sure where all
/// but two agree. Iterations are cheap beside a restart.
const PAIRS_OF_STRETCH: u32 = 16;
/// Restarts of a stretch: there and back.
const RESTARTS_OF_STRETCH: u32 = 2;
/// Chance that the race ends with a candidate that is not faster; the verdict does not depend on it.
const RACE_ALPHA: f64 = 0.05;

/// One candidate of the race.
struct Runner {
    configuration: Configuration,
    /// Why it is out, where that is not about its times.
    out: Option<String>,
}

impl Tuner<'_> {
    /// Races environments, if there are restarts to spend; the winner is put forward for the verdict, and the
    /// job runs what it did before.
    ///
    /// # Errors
    /// A job that is no more, or a trace that cannot be written.
    pub(super) fn try_whole_job(&mut self) -> Result<(), RunError> {
        let is_over = self.is_interrupted() || self.fault.is_some();
        if self.options.restarts == 0 || is_over {
            return Ok(());
        }
        let (planned, because) = self.plan_restarts();
        self.emit(TraceEvent::EnvironmentsChosen {
            candidates: planned.iter().map(|p| p.candidate.clone()).collect(),
            because,
        })?;
        if planned.is_empty() {
            return Ok(());
        }
        self.race_environments(planned)
    }

    /// Which environments are raced, and why these; none where that is not possible.
    fn plan_restarts(&self) -> (Vec<Planned>, String) {
        let Some(terms) = self.testbed.restart_terms() else {
            return (
                Vec::new(),
                "this testbed cannot start the job again".to_owned(),
            );
        };
        if let Some(refusal) = self.guard.exhausted() {
            return (Vec::new(), refusal.to_string());
        }
        let left = self.guard.restarts_left(terms.price_us);
        let room = most_candidates(left);
        if room == 0 {
            let because = format!(
                "{left} of {} restarts can be paid for; one candidate and the final comparison take {}",
                self.options.restarts,
                RESTARTS_OF_STRETCH + RESTARTS_OF_VERDICT
            );
            return (Vec::new(), because);
        }
        let mut planned = self.environments(&terms);
        let found = planned.len();
        planned.truncate(room);
        let because = format!(
            "{left} restarts are left, {RESTARTS_OF_STRETCH} for a stretch of the race and \
             {RESTARTS_OF_VERDICT} for the final comparison: room for {room} of {found} candidates"
        );
        (planned, because)
    }

    fn race_environments(&mut self, planned: Vec<Planned>) -> Result<(), RunError> {
        let options = HalvingOptions {
            budget_iterations: 2 * PAIRS_OF_STRETCH * stretches(planned.len()),
            worst: self.guard.bounds().worst_iteration_ratio,
            alpha: RACE_ALPHA,
            minimum_effect: self.options.minimum_effect,
        };
        let runner = |p: Planned| Runner {
            configuration: p.configuration,
            out: None,
        };
        let mut runners: Vec<Runner> = planned.into_iter().map(runner).collect();
        let mut race = match Halving::new(runners.len(), &options) {
            Ok(race) => race,
            Err(error) => {
                return self.emit(TraceEvent::EnvironmentsChosen {
                    candidates: Vec::new(),
                    because: error.to_string(),
                });
            }
        };
        while let Some(stretch) = race.ask() {
            let Some(runner) = runners.get_mut(stretch.candidate) else {
                break;
            };
            let goes_on = self.stretch(&mut race, stretch, runner)?;
            if !goes_on || self.is_interrupted() || self.guard.exhausted().is_some() {
                break;
            }
        }
        let winner = match race.outcome() {
            Winner::Candidate { candidate, .. } if !self.guard.is_over() => Some(candidate),
            _ => None,
        };
        for (index, runner) in runners.iter().enumerate() {
            let standing = race.standing(index).unwrap_or(Standing::Failed);
            let event = judged(runner, standing, race.ratio(index), winner == Some(index));
            if let TraceEvent::EnvironmentJudged {
                environment,
                outcome,
                ..
            } = &event
            {
                self.raced.push((environment.clone(), *outcome));
            }
            self.emit(event)?;
            if race.ratio(index).is_some() || runner.out.is_some() {
                let environment = &runner.configuration.environment;
                self.advice
                    .retain(|a| environment.get(&a.variable) != Some(a.value.as_str()));
            }
        }
        let winner = winner.and_then(|w| runners.into_iter().nth(w));
        self.environment = winner.map(|runner| runner.configuration);
        Ok(())
    }

    /// Half of the incumbent's iterations, the candidate's, the other half; says whether the race can go on.
    /// The job is back as it came afterwards.
    fn stretch(
        &mut self,
        race: &mut Halving,
        stretch: Stretch,
        runner: &mut Runner,
    ) -> Result<bool, RunError> {
        let Stretch { candidate, pairs } = stretch;
        let pairs = pairs as usize;
        let half = pairs.div_ceil(2);
        let incumbent = self.approved_incumbent()?;
        let Some(before) = self.block(&incumbent, half)? else {
            return Ok(false);
        };
        let because = format!("to try {}", in_words(&runner.configuration.environment));
        let approved = match self.restart_with(&runner.configuration, false, &because)? {
            Start::Runs(approved) => approved,
            Start::Refused(why) | Start::Failed(why) => {
                runner.out = Some(why);
                race.tell(candidate, 1.0, f64::INFINITY);
                return Ok(!self.guard.is_over());
            }
        };
        let mut times_us = Vec::new();
        while times_us.len() < pairs && !self.is_interrupted() {
            let time_us = match self.spend(&approved)? {
                Ok(sample) => sample.iteration_us,
                Err(error) => {
                    runner.out = Some(error.to_string());
                    race.tell(candidate, 1.0, f64::INFINITY);
                    if error.is_harm() {
                        // The job was brought back as it came.
                        return Ok(!self.guard.is_over());
                    }
                    break;
                }
            };
            if let Some(&old_us) = before.get(times_us.len())
                && race.tell(candidate, old_us, time_us) != Standing::In
            {
                break;
            }
            times_us.push(time_us);
        }
        let Start::Runs(incumbent) =
            self.go_back("to hold the candidate against what ran before")?
        else {
            return Ok(false);
        };
        for &time_us in times_us.iter().skip(half) {
            if self.is_interrupted() || race.standing(candidate) != Some(Standing::In) {
                break;
            }
            let Ok(sample) = self.spend(&incumbent)? else {
                return Ok(false);
            };
            race.tell(candidate, sample.iteration_us, time_us);
        }
        Ok(true)
    }
}

/// How an environment ended.
fn judged(runner: &Runner, standing: Standing, ratio: Option<f64>, is_winner: bool) -> TraceEvent {
    let slower = |r: f64| format!("{r:.3} times the iteration time");
    let (outcome, because) = match standing {
        Standing::In if is_winner => (
            Outcome::Kept,
            "surely faster: the final comparison decides".to_owned(),
        ),
        Standing::In if ratio.is_none() => (
            Outcome::RolledBackNoDifference,
            "the race ended before it was tried".to_owned(),
        ),
        Standing::In => (
            Outcome::RolledBackNoDifference,
            "not surely faster, or less so than another".to_owned(),
        ),
        Standing::Failed => (
            Outcome::RolledBackFailed,
            runner.out.clone().unwrap_or_default(),
        ),
        Standing::TooSlow { ratio } => (Outcome::RolledBackCanary, slower(ratio)),
        Standing::Slower { ratio } => (Outcome::RolledBackSlower, slower(ratio)),
        Standing::Halved { ratio } => (
            Outcome::RolledBackNoDifference,
            format!("{}, and others gained more", slower(ratio)),
        ),
    };
    TraceEvent::EnvironmentJudged {
        environment: runner.configuration.environment.clone(),
        outcome,
        ratio: ratio.filter(|r| r.is_finite()),
        because,
    }
}

/// Stretches that a race of so many candidates takes: all of them, then the better half, and so on.
fn stretches(candidates: usize) -> u32 {
    let mut running = candidates;
    let mut stretches = running;
    while running > 2 {
        running = running.div_ceil(2);
        stretches += running;
    }
    u32::try_from(stretches).unwrap_or(u32::MAX)
}

/// Candidates that can be raced with so many restarts, the final comparison's put aside.
fn most_candidates(restarts: u32) -> usize {
    let left = restarts.saturating_sub(RESTARTS_OF_VERDICT) / RESTARTS_OF_STRETCH;
    let fits = |candidates: &usize| stretches(*candidates) <= left;
    let upper = usize::try_from(left).unwrap_or(usize::MAX);
    (1..=upper).take_while(fits).last().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_race_never_asks_for_more_stretches_than_were_counted() {
        for candidates in 1..=17 {
            let options = HalvingOptions {
                budget_iterations: 2 * PAIRS_OF_STRETCH * stretches(candidates),
                worst: 1.1,
                alpha: RACE_ALPHA,
                minimum_effect: 0.005,
            };
            let mut race = Halving::new(candidates, &options).unwrap();
            let mut asked = 0;
            while let Some(stretch) = race.ask() {
                asked += 1;
                for pair in 0..stretch.pairs {
                    // Equal but for a spread that leaves all of them in until they are halved.
                    let ratio = if pair % 2 == 0 { 0.99 } else { 1.01 };
                    race.tell(stretch.candidate, 1.0, ratio);
                }
            }
            assert!(
                asked <= stretches(candidates),
                "{candidates} candidates: {asked} stretches"
            );
        }
    }

    #[test]
    fn five_restarts_are_the_least() {
        let found: Vec<usize> = (0..=15).map(most_candidates).collect();
        assert_eq!(found, [0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 4]);
    }
}
