//! The three phases of a run, and the trial that the second one is made of.

mod after;
mod blocks;
mod diagnosis;
mod failure;
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

use ccl_core::{Phase, TraceEvent};

pub(crate) use self::proposals::{Proposal, Proposed};
pub(crate) use self::trial::Contender;

use crate::summary::Summary;
use crate::tuner::{RunError, Tuner};

impl Tuner<'_> {
    /// Runs all three phases.
    ///
    /// # Errors
    /// When the baseline cannot be measured, nothing can be tuned, or artifacts cannot be
    /// written. Candidates that fail are rolled back, not errors.
    pub fn run(&mut self, run_id: &str) -> Result<Summary, RunError> {
        self.run_id = run_id.to_owned();
        self.emit(TraceEvent::PhaseStarted {
            phase: Phase::Offline,
        })?;
        self.offline()?;
        self.emit(TraceEvent::PhaseStarted {
            phase: Phase::Online,
        })?;
        let stopped = self.online()?;
        self.try_whole_job()?;
        self.emit(TraceEvent::PhaseStarted {
            phase: Phase::After,
        })?;
        self.after(run_id, stopped)
    }
}
