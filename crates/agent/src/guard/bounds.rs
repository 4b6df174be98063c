//! How much harm a run may do: the figures that its user sets.

/// How much harm the run may do to the job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Largest share of one key's calls in an iteration that one untried choice may get, 0..=1.
    pub lease_share: f64,
    /// Largest share of one key's calls in an iteration that all untried choices together may
    /// get, 0..=1.
    pub leased_share: f64,
    /// Largest share of one key's calls that the very first trial of a choice may get, 0..=1; one
    /// call at least.
    pub canary_share: f64,
    /// Call-time ratio of those first calls at which no more are spent.
    pub canary_ratio: f64,
    /// Largest share of the calls of a key with computation beside it that one choice may get before it
    /// gets all: it takes a share that the iteration shows.
    pub overlapped_share: f64,
    /// Largest iteration time, as a ratio to the incumbent's, that a trial may be predicted to cause, by
    /// the upper bound of what is known.
    pub trial_iteration_ratio: f64,
    /// Largest iteration time, as a ratio to the incumbent's, that a trial may cause before it is stopped
    /// (the job's service level).
    pub worst_iteration_ratio: f64,
    /// Failures of the job, as far as a choice may have caused them, at which the run ends on NCCL's own
    /// choices.
    pub most_failures: u32,
    /// Share of the job's iterations that the run may spend in regret, where their number is known.
    pub regret_share: f64,
    /// Where it is not: sum over the tuning iterations of (time / baseline - 1), where positive, that the
    /// run may spend.
    pub regret_budget_iterations: f64,
}

impl Default for Bounds {
    /// A first trial of a choice of which nothing is known gets 0.05 % of its key's calls, an untried choice
    /// 2 %, all untried choices of a key half. Out goes what takes 1.5 times as long on its first calls.
    /// Beside computation, half of the calls before all. No trial may be predicted to make an iteration more
    /// than 5 % slower, none be seen to make it 10 % slower. The second failure ends the run. Regret of 1 %
    /// of the job, or of five iterations.
    fn default() -> Self {
        Self {
            lease_share: 0.02,
            leased_share: 0.5,
            canary_share: 0.0005,
            canary_ratio: 1.5,
            overlapped_share: 0.5,
            trial_iteration_ratio: 1.05,
            worst_iteration_ratio: 1.10,
            most_failures: 2,
            regret_share: 0.01,
            regret_budget_iterations: 5.0,
        }
    }
}
