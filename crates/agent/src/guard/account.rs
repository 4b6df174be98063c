//! What ran, what failed, what it cost, and whether the run may go on.

use ccl_core::{Choice, TaskKey};

use super::{Approved, Failure, Guard, Refusal, Suspect};

/// Iterations of a trial that may be as harmful as a trial may be: what the regret budget must still have
/// before one begins.
const HARMFUL_ITERATIONS: f64 = 12.0;
/// Failures of the environment in a row after which the job is not coming back.
const MOST_ENVIRONMENT_FAILURES: u32 = 3;

impl Guard {
    /// Books an iteration that ran.
    pub fn book(&mut self, approved: &Approved, iteration_us: f64) {
        self.books.book(iteration_us, approved.is_untuned());
        for (key, choice) in approved.on_trial() {
            let calls = match approved.leased_calls_of(key, &choice) {
                0 => self.calls(key),
                leased => leased,
            };
            if let Some(exposure) = self.exposures.get_mut(&(key, choice)) {
                exposure.ran_calls = exposure.ran_calls.max(calls);
            }
        }
        let untuned = self.untuned.iter().map(|(key, choice)| (*key, *choice));
        let all = approved.on_trial().chain(approved.kept()).chain(untuned);
        self.failures.ran_well(all);
    }

    /// Files an iteration that failed, and gives whom that makes suspect.
    pub fn fail(&mut self, approved: &Approved, symptom: &str) -> Failure {
        self.failures.file(approved, symptom)
    }

    /// Nothing like this is tried again, though the job did not fail.
    pub fn suspect(&mut self, blamed: &[(TaskKey, Choice)], symptom: &str) -> Vec<Suspect> {
        self.failures.suspect(blamed, symptom)
    }

    /// Books time in which the job did nothing, microseconds; gives it in iterations.
    pub fn book_lost(&mut self, lost_us: f64) -> f64 {
        self.books.book_lost(lost_us)
    }

    /// Whether this ran without failing.
    pub fn has_run(&self, key: TaskKey, choice: &Choice) -> bool {
        self.failures.has_run(key, choice)
    }

    /// Whether the job failed so often that nothing but NCCL's own choices may run any more.
    pub fn is_over(&self) -> bool {
        self.failures.count >= self.bounds.most_failures
    }

    /// Whether the environment failed so often that the job is not coming back.
    pub fn is_job_lost(&self) -> bool {
        self.failures.environment_in_a_row >= MOST_ENVIRONMENT_FAILURES
    }

    /// Iterations booked.
    pub fn iterations(&self) -> u64 {
        self.books.iterations
    }

    /// Regret booked, iterations: slow ones and what failures took.
    pub fn regret_iterations(&self) -> f64 {
        self.books.regret_iterations()
    }

    /// What is left of the regret budget, iterations; below zero where it was overdrawn.
    pub fn regret_left_iterations(&self) -> f64 {
        self.books.left(&self.bounds)
    }

    /// What is spent of the regret budget, in words.
    pub fn budget_in_words(&self) -> String {
        self.books.budget_in_words(&self.bounds)
    }

    /// The slowest iteration booked, as a ratio to the baseline; at least 1.
    pub fn worst_iteration_ratio(&self) -> f64 {
        self.books.worst_ratio.max(1.0)
    }

    /// Whether the job's service level is broken, or the regret budget would be by one more trial.
    pub fn exhausted(&self) -> Option<Refusal> {
        let (count, allowed) = (self.failures.count, self.bounds.most_failures);
        if self.is_over() {
            return Some(Refusal::TooManyFailures { count, allowed });
        }
        let more = HARMFUL_ITERATIONS * self.harm_allowed();
        self.books.afford(&self.bounds, more).err()
    }
}
