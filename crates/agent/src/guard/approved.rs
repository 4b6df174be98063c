//! What the guard lets through: made here alone, and read by testbeds.

use ccl_core::{Choice, Configuration, Environment, TaskKey};

/// Some calls of one key run another choice within an iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lease {
    /// The key.
    pub key: TaskKey,
    /// What the leased calls run.
    pub choice: Choice,
    /// Leased calls per iteration.
    pub calls: u64,
}

/// A configuration, with its leases, that passed the guard.
#[derive(Clone, Debug, PartialEq)]
pub struct Approved {
    configuration: Configuration,
    leases: Vec<Lease>,
    on_all_calls: Vec<(TaskKey, Choice)>,
    /// What the configuration asks for, by the keys of the job.
    asked: Vec<(TaskKey, Choice)>,
    deadline_us: f64,
}

impl Approved {
    pub(super) fn new(
        configuration: Configuration,
        leases: Vec<Lease>,
        on_all_calls: Vec<(TaskKey, Choice)>,
        asked: Vec<(TaskKey, Choice)>,
        deadline_us: f64,
    ) -> Self {
        Self {
            configuration,
            leases,
            on_all_calls,
            asked,
            deadline_us,
        }
    }

    /// The configuration all other calls run.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The leases, at most one per key and choice.
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// How long the iteration is waited for, microseconds: one that takes longer hangs.
    pub fn deadline_us(&self) -> f64 {
        self.deadline_us
    }

    /// What is on trial in it: leased, or on all calls of its key.
    pub fn on_trial(&self) -> impl Iterator<Item = (TaskKey, Choice)> {
        let leased = self.leases.iter().map(|l| (l.key, l.choice));
        leased.chain(self.on_all_calls.iter().copied())
    }

    /// What it asks for besides: choices that were kept before.
    pub fn kept(&self) -> impl Iterator<Item = (TaskKey, Choice)> {
        let kept = |asked: &&(TaskKey, Choice)| !self.on_all_calls.contains(asked);
        self.asked.iter().filter(kept).copied()
    }

    /// Whether nothing but NCCL's own choices run.
    pub fn is_untuned(&self) -> bool {
        self.configuration.is_untuned() && self.leases.is_empty()
    }

    /// Leased calls of a key.
    pub fn leased_calls(&self, key: TaskKey) -> u64 {
        let of_key = self.leases.iter().filter(|l| l.key == key);
        of_key.map(|l| l.calls).sum()
    }

    /// Calls of a key leased to a choice.
    pub fn leased_calls_of(&self, key: TaskKey, choice: &Choice) -> u64 {
        let of_choice = self
            .leases
            .iter()
            .filter(|l| l.key == key && l.choice == *choice);
        of_choice.map(|l| l.calls).sum()
    }
}

/// An environment that the job may be started again with.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovedRestart {
    environment: Environment,
}

impl ApprovedRestart {
    pub(super) fn new(environment: Environment) -> Self {
        Self { environment }
    }

    /// What is set beside the job's own variables; nothing is the job as it came.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// One key and choice that may be timed outside the job; `None` is NCCL's own choice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ApprovedProbe {
    key: TaskKey,
    choice: Option<Choice>,
}

impl ApprovedProbe {
    pub(super) fn new(key: TaskKey, choice: Option<Choice>) -> Self {
        Self { key, choice }
    }

    /// The key.
    pub fn key(&self) -> TaskKey {
        self.key
    }

    /// The choice; `None` is NCCL's own.
    pub fn choice(&self) -> Option<Choice> {
        self.choice
    }
}
