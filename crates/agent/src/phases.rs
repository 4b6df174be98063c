//! The three phases of a run, and the trial that the second one is made of.

mod after;
mod blocks;
mod diagnosis;
mod failure;
mod generalise;
mod knowledge;
mod models;
mod offline;
mod online;
mod proposals;
mod restart;
mod risk;
mod screen;
mod trial;
mod verdict;
mod watch;
mod whole_job;

use ccl_core::{Phase, StoppedBecause, TraceEvent};

pub(crate) use self::proposals::{Proposal, Proposed};
pub(crate) use self::trial::Contender;

use self::online::Asks;
use crate::summary::Summary;
use crate::tuner::{RunError, Tuner};

impl Tuner<'_> {
    fn enter(&mut self, phase: Phase) -> Result<(), RunError> {
        self.emit(TraceEvent::PhaseStarted { phase })
    }

    /// Runs all three phases.
    ///
    /// # Errors
    /// When the baseline cannot be measured, nothing can be tuned, or artifacts cannot be
    /// written. Candidates that fail are rolled back, not errors.
    pub fn run(&mut self, run_id: &str) -> Result<Summary, RunError> {
        self.run_id = run_id.to_owned();
        self.enter(Phase::Offline)?;
        self.offline()?;
        self.enter(Phase::Online)?;
        let stopped = self.online()?;
        self.try_whole_job()?;
        self.enter(Phase::After)?;
        self.after(run_id, stopped)
    }

    /// Begins a run that somebody else steers, by [tools](crate::tools): everything before the first round.
    /// Nothing is tried unless somebody asks for it.
    ///
    /// # Errors
    /// As [`Tuner::run`]. A machine that is broken is none: `explain` tells what was found, and nothing can be
    /// applied.
    pub fn begin(&mut self, run_id: &str) -> Result<(), RunError> {
        self.run_id = run_id.to_owned();
        self.enter(Phase::Offline)?;
        self.offline()?;
        self.enter(Phase::Online)?;
        self.broken = self.open(Asks::Nobody)?;
        Ok(())
    }

    /// Ends such a run as any other: with a verdict on fresh pairs.
    ///
    /// # Errors
    /// As [`Tuner::run`].
    pub fn finish(&mut self) -> Result<Summary, RunError> {
        let asked = self.asked_to_stop.take();
        let broken = self.broken.take();
        let stop = broken.or_else(|| self.must_stop()).unwrap_or_else(|| {
            let because = asked.unwrap_or_else(|| "whoever steered the run has left".to_owned());
            (StoppedBecause::Plateau, because)
        });
        let stopped = self.stop(stop)?;
        self.enter(Phase::After)?;
        let run_id = self.run_id.clone();
        self.after(&run_id, stopped)
    }
}
