//! Our own loop, whole and as it ships, on a testbed that keeps the true books beside it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ccl_core::{Choice, ContextSignature, Policy, TaskKey};
use ccl_llm::Provider;
use ccl_memory::{Knowledge, Lessons, Memory, SqliteMemory};
use jiff::civil::Date;

use super::course::Course;
use super::machine::{Machine, noise_free_us};
use super::method::Method;
use super::scripted::Scripted;
use super::suite::Task;
use super::{Clock, CompareError, CompareOptions};
use crate::expectation::Expectation;
use crate::guard::{Approved, ApprovedProbe, ApprovedRestart};
use crate::mind::llm::LlmMind;
use crate::remembered::Remembered;
use crate::testbed::{
    IterationSample, KeyFacts, RestartTerms, Signals, SimulatedTestbed, Testbed, TestbedError,
    TestbedInfo,
};
use crate::trace::Tracer;
use crate::tuner::{TuneOptions, Tuner};

/// What a run leaves.
pub struct Ran {
    /// How it went.
    pub course: Course,
    /// What a later run may remember of it: rules, and what was measured of keys' choices.
    pub left: Lessons,
}

/// Runs the loop on a machine of a task, with what earlier runs remember.
///
/// # Errors
/// A run that ended without a result.
pub fn run(
    method: Method,
    task: &Task,
    machine: &Machine,
    seed: u64,
    earlier: Option<&Lessons>,
    knowledge: &Knowledge,
    options: &CompareOptions,
) -> Result<Ran, CompareError> {
    let (budget, clock) = (options.budget, options.clock);
    let mut books = Books {
        inner: machine.testbed()?,
        default_us: machine.default_us(),
        course: Course::default(),
        in_testbed: Duration::ZERO,
        clock,
    };
    let nominal = &task.cluster;
    let expectation =
        Expectation::new(nominal, books.keys()).with_workload(&task.workload, nominal);
    let options = TuneOptions {
        budget,
        seed,
        hypothesis_lane: method != Method::OursNoHypotheses,
        numeric_lane: !matches!(
            method,
            Method::OursNoNumeric | Method::OursWithLlmNoNumeric | Method::LlmOnly
        ),
        mechanisms: method != Method::LlmOnly,
        knowledge: method != Method::OursWithLlmNoCards,
        expectation: method != Method::OursNoWarmStart,
        ..TuneOptions::default()
    };
    let job = &task.workload;
    let context = ContextSignature::of(nominal, &job.name, job.nodes, job.gpus_per_node);
    let (mut trace, mut nobody, no_time) = (Vec::new(), (), || Duration::ZERO);
    let interrupted = AtomicBool::new(false);
    let began = clock();
    let today = Date::default();
    let remembered = match earlier {
        Some(earlier) => {
            let mut memory = SqliteMemory::in_memory()?;
            memory.learn(earlier)?;
            let keys = books.keys().iter().map(|k| k.key);
            Remembered::recall(&mut memory, earlier.source, &context, keys, today)?
        }
        None => Remembered::default(),
    };
    let model = method.model().map(|script| {
        let model: Arc<dyn Provider> = Arc::new(Scripted::new(script, seed));
        model
    });
    let llm_mind = LlmMind::new(model, Box::new(|_, _| Ok(())));
    let mut tuner = Tuner::new(
        &mut books,
        nominal,
        context,
        Tracer::new(&mut trace, &mut nobody, &no_time),
        options,
        llm_mind,
        knowledge,
        remembered,
        &interrupted,
    )
    .expecting(expectation);
    let summary = tuner.run("compare")?;
    let mut left = tuner.lessons("compare", Some(&summary), today);
    // Predictions of another machine's mechanisms are no part of what is compared.
    left.scores.clear();
    drop(tuner);
    let mut course = books.course;
    course.thinking = clock().saturating_sub(began + books.in_testbed);
    course.candidates = u64::from(summary.trials);
    course.suggestions = course.candidates;
    course.verdict = Some(summary.verdict);
    Ok(Ran { course, left })
}

/// A testbed that passes everything on and notes what it truly cost.
struct Books<'a> {
    inner: SimulatedTestbed,
    default_us: f64,
    course: Course,
    in_testbed: Duration,
    clock: Clock<'a>,
}

impl Books<'_> {
    fn recommend(&mut self, policy: &Policy) -> Result<(), TestbedError> {
        let us = noise_free_us(&self.inner, policy)?;
        self.course.recommend(us);
        Ok(())
    }

    /// Does something without counting its time as thinking.
    fn aside<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let began = (self.clock)();
        let result = work(self);
        self.in_testbed += (self.clock)().saturating_sub(began);
        result
    }
}

impl Testbed for Books<'_> {
    fn describe(&self) -> &TestbedInfo {
        self.inner.describe()
    }

    fn keys(&self) -> &[KeyFacts] {
        self.inner.keys()
    }

    fn untuned_choice(&self, key: TaskKey) -> Option<Choice> {
        self.inner.untuned_choice(key)
    }

    fn signals(&self, key: TaskKey) -> Signals {
        self.inner.signals(key)
    }

    fn probes_alone(&self) -> bool {
        self.inner.probes_alone()
    }

    fn recover(&mut self, approved: &Approved) -> Result<f64, TestbedError> {
        self.inner.recover(approved)
    }

    fn restart_terms(&self) -> Option<RestartTerms> {
        self.inner.restart_terms()
    }

    fn restart(&mut self, approved: &ApprovedRestart) -> Result<f64, TestbedError> {
        self.inner.restart(approved)
    }

    fn run_iteration(&mut self, approved: &Approved) -> Result<IterationSample, TestbedError> {
        self.aside(|books| {
            let us = books.inner.noise_free_iteration_us(approved)?;
            books.course.ratios.push(us / books.default_us);
            books.inner.run_iteration(approved)
        })
    }

    fn probe(
        &mut self,
        approved: &ApprovedProbe,
        repetitions: u32,
    ) -> Result<Vec<f64>, TestbedError> {
        self.aside(|books| {
            let samples_us = books.inner.probe(approved, repetitions)?;
            books.course.probes += samples_us.iter().sum::<f64>() / books.default_us;
            Ok(samples_us)
        })
    }

    fn settle(&mut self, approved: &Approved) -> Result<(), TestbedError> {
        self.aside(|books| {
            books.recommend(&approved.configuration().policy)?;
            books.inner.settle(approved)
        })
    }

    fn leave(&mut self, approved: &Approved) -> Result<(), TestbedError> {
        self.aside(|books| {
            books.recommend(&approved.configuration().policy)?;
            books.inner.leave(approved)
        })
    }

    fn oracle_iteration_us(&self, choices: &[(TaskKey, Choice)]) -> Result<f64, TestbedError> {
        self.inner.oracle_iteration_us(choices)
    }
}
