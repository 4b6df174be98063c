//! The trace: one typed event for every arrow of the loop.
//!
//! The dashboard, the report and the replay read nothing but these. An event carries facts that
//! were decided or seen; the time of day belongs to the envelope ([`TraceLine`]), so that the
//! decisions of two runs with one seed can be compared byte for byte.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Advice, Bottleneck, Choice, ChoicePattern, Configuration, Diagnosis, Environment, Evidence,
    EvidenceId, Hypothesis, Source, TaskKey,
};

/// The three phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Cheap thinking before the job is touched.
    Offline,
    /// Trials in the running job.
    Online,
    /// Distilling and exporting.
    After,
}

/// Which lane a candidate came from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Knowledge-guided and explained.
    Hypothesis,
    /// Search in the pruned space.
    Numeric,
}

/// Who proposed a candidate.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Proposer {
    /// The language model.
    Llm,
    /// The mechanisms of the rule mind.
    Rules,
    /// The numeric search.
    Search,
    /// A rule remembered from an earlier run.
    Memory,
    /// A person, or another program.
    Person,
}

/// Who calls a tool.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Caller {
    /// The language model.
    Llm,
    /// The rule mind.
    Rules,
    /// A person.
    Person,
    /// Another program.
    Client,
}

/// One change to try: a key and what it would run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Number of the candidate within the run, from 1.
    pub id: u32,
    /// The key it changes.
    pub key: TaskKey,
    /// What the key would run.
    pub choice: Choice,
    /// The lane it came from.
    pub lane: Lane,
    /// Who proposed it.
    pub proposer: Proposer,
    /// One sentence.
    pub because: String,
    /// The hypothesis behind it, in the hypothesis lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypothesis: Option<Hypothesis>,
}

/// How a candidate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Better beyond the noise; it is the key's incumbent now.
    Kept,
    /// Worse; the incumbent runs again.
    RolledBackSlower,
    /// Not distinguishable from the incumbent.
    RolledBackNoDifference,
    /// The first few calls were so slow that no more were spent.
    RolledBackCanary,
    /// The call became faster but the iteration did not.
    RolledBackIteration,
    /// The trial failed; failed runs never win.
    RolledBackFailed,
}

impl Outcome {
    /// Whether the candidate became the incumbent.
    pub fn is_kept(self) -> bool {
        self == Self::Kept
    }
}

/// Verdict on a whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// The interval of the speed-up lies above 1.
    #[serde(rename = "faster")]
    Faster,
    /// The interval holds 1, or the difference is below what matters.
    #[serde(rename = "no difference")]
    NoDifference,
    /// The interval lies below 1.
    #[serde(rename = "slower")]
    Slower,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoppedBecause {
    /// No promising candidate above the noise.
    Plateau,
    /// The budget is spent.
    Budget,
    /// The job's service level would be broken.
    Sla,
    /// Somebody asked to stop.
    Interrupted,
}

/// What a job goes back to after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolledBackTo {
    /// The configuration it had kept, which ran well before.
    Kept,
    /// NCCL's own choices.
    Defaults,
    /// Nothing: the job is no more.
    Nothing,
}

/// What a change of the job's pace is of, while a locked configuration is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeOf {
    /// Not known yet: interference if it passes, what is locked if it stays.
    Open,
    /// The machine around the job, for a while: a neighbour, or drift.
    Interference,
    /// What is locked: it takes another time than when it was locked, and stays there.
    Incumbent,
    /// What is locked beside NCCL's own choices: the ratio of the two.
    Candidate,
}

/// A choice that may have done the job harm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SuspectChoice {
    /// The key.
    pub key: TaskKey,
    /// The choice.
    pub choice: Choice,
    /// What nobody may try again: what is new about it.
    pub refused: Vec<ChoicePattern>,
}

/// A median with its 95 % interval, in the unit the field's name says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// Lower and upper bound, 95 % confidence.
    pub ci95: [f64; 2],
}

/// One key as the observation found it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyObservation {
    /// The key.
    pub key: TaskKey,
    /// Calls in one iteration.
    pub calls: u64,
    /// Bytes of one call.
    pub bytes: u64,
    /// Median time of one call, microseconds.
    pub call_us: f64,
    /// Bus bandwidth, GB/s.
    pub bus_gbs: f64,
    /// Time of all its calls as a share of the iteration, 0..=1.
    pub share: f64,
    /// Whether computation runs beside it.
    pub overlapped: bool,
    /// What ran, where the testbed can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
}

/// An environment that may be worth a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentCandidate {
    /// What is set beside the job's own variables.
    pub environment: Environment,
    /// Why.
    pub because: String,
    /// The mechanism that advised it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
    /// Iteration time that the simulator expects, candidate / what runs now; `None` where it cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_ratio: Option<f64>,
}

/// What happened, one variant per arrow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TraceEvent {
    /// A run begins.
    RunStarted {
        /// The run.
        run_id: String,
        /// The workload's name.
        workload: String,
        /// The cluster's name.
        cluster: String,
        /// NCCL's version there.
        nccl_version: String,
        /// The testbed.
        testbed: String,
        /// Where every figure of this run comes from.
        source: Source,
        /// The seed of every random decision.
        seed: u64,
        /// Most candidates that may be tried.
        budget: u32,
        /// What the reader must know about this testbed.
        notes: Vec<String>,
    },
    /// A phase begins.
    PhaseStarted {
        /// The phase.
        phase: Phase,
    },
    /// Workload and cluster gave these units of tuning.
    TaskKeys {
        /// With their observed share, largest first.
        keys: Vec<KeyObservation>,
    },
    /// Something was seen.
    EvidenceGathered {
        /// What.
        evidence: Evidence,
    },
    /// Part of the space was set aside, on evidence.
    Pruned {
        /// The key.
        key: TaskKey,
        /// What is no longer tried.
        dropped: String,
        /// Why.
        because: String,
        /// The evidence.
        evidence: Vec<EvidenceId>,
        /// Points of the space before.
        before: u64,
        /// Points of the space after.
        after: u64,
    },
    /// What had been set aside is searched again.
    TakenBack {
        /// The key.
        key: TaskKey,
        /// What is tried again.
        restored: String,
        /// Why.
        because: String,
        /// Points of the space before.
        before: u64,
        /// Points of the space after.
        after: u64,
    },
    /// Points of the search were timed outside the job and are not tried in it.
    ScreenedOut {
        /// The key.
        key: TaskKey,
        /// Each choice with its time ratio to the incumbent, outside the job.
        choices: Vec<String>,
        /// Why they are not tried.
        because: String,
    },
    /// Cards and rules were retrieved.
    Retrieved {
        /// Ids of the passages.
        cards: Vec<String>,
        /// Ids of remembered rules.
        rules: Vec<String>,
    },
    /// The first plan.
    Planned {
        /// One line per intended step.
        steps: Vec<String>,
    },
    /// The baseline: untuned NCCL.
    BaselineMeasured {
        /// Iteration time, milliseconds.
        iteration_ms: Interval,
        /// Iterations behind it.
        samples: u32,
        /// Relative noise of one iteration (robust standard deviation / median).
        noise: f64,
    },
    /// What holds the calls of a key back, or the whole job.
    Diagnosed {
        /// With its figures.
        diagnosis: Diagnosis,
    },
    /// Something to set before the job starts again; nothing was changed.
    Advised {
        /// What, and why.
        advice: Advice,
    },
    /// A language model is consulted; measuring goes on meanwhile where a job is running.
    LlmAsked {
        /// Number of the consultation.
        call: u32,
        /// The provider.
        provider: String,
        /// The model.
        model: String,
        /// What for.
        purpose: String,
    },
    /// It came to a decision, and that was valid.
    LlmAnswered {
        /// Number of the consultation.
        call: u32,
        /// What it decided.
        proposal: String,
        /// Numbers of the exchanges with the model, which are those of their files in the run directory.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exchanges: Vec<u32>,
    },
    /// It did not answer, or not validly; the rule mind acts.
    LlmFailed {
        /// Number of the consultation.
        call: u32,
        /// Why.
        reason: String,
        /// Numbers of the exchanges with the model, which are those of their files in the run directory.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        exchanges: Vec<u32>,
    },
    /// Somebody called a tool.
    ToolCalled {
        /// Who.
        by: Caller,
        /// The tool.
        tool: String,
        /// What it was called with.
        arguments: serde_json::Value,
        /// What it answered, or why it did not.
        answer: serde_json::Value,
        /// Whether it did what was asked.
        done: bool,
    },
    /// The supervisor chose whose decision is carried out.
    MindChosen {
        /// Number of the consultation that it is about.
        call: u32,
        /// Whose: the language model's or the rules'.
        mind: Proposer,
        /// Why.
        because: String,
    },
    /// A mind chose candidates to try together.
    Decided {
        /// Number of the round, from 1.
        round: u32,
        /// The candidates, at most one per key.
        candidates: Vec<Candidate>,
        /// Why these, now.
        because: String,
    },
    /// A candidate did not pass compile, validation or guard.
    Refused {
        /// The candidate.
        candidate: Candidate,
        /// The rule it broke.
        reason: String,
    },
    /// The guard let candidates through.
    Approved {
        /// Number of the round.
        round: u32,
        /// Candidate ids.
        candidates: Vec<u32>,
        /// Bounds that hold for this trial.
        bounds: String,
        /// How risky each candidate is, and how its trial therefore begins and grows, in their order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        risks: Vec<String>,
    },
    /// Candidates run in the job.
    Applied {
        /// Number of the round.
        round: u32,
        /// Candidate ids.
        candidates: Vec<u32>,
        /// How: how many calls, how many iterations.
        how: String,
    },
    /// What a candidate's trial showed.
    Measured {
        /// Candidate id.
        candidate: u32,
        /// Time ratio, candidate / incumbent (below 1 is faster), paired.
        ratio: Interval,
        /// Pairs behind it.
        pairs: u32,
        /// What was compared: `call` or `iteration`.
        metric: String,
    },
    /// The judgement on a candidate.
    Judged {
        /// Candidate id.
        candidate: u32,
        /// How it ended.
        outcome: Outcome,
        /// One sentence with figures.
        because: String,
        /// Whether the measured ratio fell into the predicted interval; hypothesis lane only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        as_predicted: Option<bool>,
    },
    /// The job came to harm, and went back at once.
    RolledBack {
        /// To what.
        to: RolledBackTo,
        /// What that is.
        configuration: Configuration,
        /// What may have caused it; none where it was the environment.
        suspects: Vec<SuspectChoice>,
        /// What was seen, and who is suspected of it how surely.
        reason: String,
        /// What it took the job, iterations.
        lost_iterations: f64,
    },
    /// The job's pace changed while a locked configuration was watched.
    ChangeSeen {
        /// Watched iterations until it was seen.
        iteration: u64,
        /// What it is of.
        of: ChangeOf,
        /// Median iteration time before, milliseconds; of a ratio to NCCL's own choices, at the pace that
        /// those had when the configuration was locked.
        before_ms: f64,
        /// The same since, milliseconds.
        since_ms: f64,
        /// What follows from it.
        because: String,
    },
    /// The locked configuration was compared with NCCL's own choices again.
    DefaultMeasured {
        /// Time ratio, locked / untuned (below 1 is faster), paired.
        ratio: f64,
        /// Pairs behind it.
        pairs: u32,
        /// What follows from it.
        because: String,
    },
    /// Tuning begins again.
    Reopened {
        /// Why.
        because: String,
        /// Watched iterations before it may happen again.
        not_before: u64,
    },
    /// A hypothesis was held against what was measured.
    MechanismScored {
        /// The mechanism that made it.
        mechanism: String,
        /// The key.
        key: TaskKey,
        /// What held the key's calls back when it was made.
        bottleneck: Bottleneck,
        /// The share of the predicted gain that was measured, 0..=1.
        realised: f64,
        /// What the mechanism's word is worth there from now on: the share to expect next time.
        trust: f64,
    },
    /// The incumbent changed or was confirmed.
    Incumbent {
        /// The whole configuration.
        configuration: Configuration,
        /// Iteration time ratio to the baseline, put together from the trials; for progress only,
        /// the verdict comes from fresh pairs.
        estimated_ratio: Interval,
        /// Iterations spent so far.
        iterations: u64,
        /// Regret so far, iterations.
        regret_iterations: f64,
    },
    /// The search stopped.
    Stopped {
        /// Why.
        because: StoppedBecause,
        /// One sentence with figures.
        explanation: String,
    },
    /// Best against untuned NCCL on fresh pairs.
    FinalComparison {
        /// Untuned / best; above 1 is faster.
        speedup: Interval,
        /// The verdict.
        verdict: Verdict,
        /// Pairs behind it.
        pairs: u32,
    },
    /// A rule was distilled.
    RuleDistilled {
        /// Its id.
        id: String,
        /// `positive` or `avoid`.
        kind: String,
        /// The rule in words.
        statement: String,
    },
    /// A language model said a rule in a sentence.
    RulePhrased {
        /// Number of the consultation.
        call: u32,
        /// Id of the rule.
        rule: String,
        /// Its words, and no more than that.
        words: String,
    },
    /// Rules were carried further than they were measured; nobody came to that yet.
    RuleGeneralised {
        /// Its id.
        id: String,
        /// Who did: the model.
        by: String,
        /// Ids of the rules it rests on, whose effect it has.
        rests_on: Vec<String>,
        /// The rule in words.
        statement: String,
    },
    /// A sentence or a generalisation of a language model that is not founded in the rules.
    GeneralisationRefused {
        /// Number of the consultation.
        call: u32,
        /// What it was about.
        what: String,
        /// Why it is not taken.
        reason: String,
    },
    /// An artifact was written.
    Exported {
        /// Path relative to the run directory.
        file: String,
    },
    /// The environment a trial ran with, where it differs from the job's own.
    EnvironmentSet {
        /// The variables.
        environment: Environment,
    },
    /// Environments that will be raced, one restart there and one back each time; none where that is not
    /// possible or not worth it.
    EnvironmentsChosen {
        /// In the order of the race.
        candidates: Vec<EnvironmentCandidate>,
        /// Why these.
        because: String,
    },
    /// The job was started again.
    Restarted {
        /// What is set from now on beside the job's own variables; nothing is the job as it came.
        environment: Environment,
        /// How long the job was down, microseconds.
        lost_us: f64,
        /// What for.
        because: String,
    },
    /// The judgement on an environment.
    EnvironmentJudged {
        /// What was set.
        environment: Environment,
        /// How it ended.
        outcome: Outcome,
        /// Median of iteration time, candidate / incumbent (below 1 is faster); `None` before the first
        /// pair.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ratio: Option<f64>,
        /// One sentence with figures.
        because: String,
    },
    /// The run ended.
    RunFinished {
        /// The verdict.
        verdict: Verdict,
        /// Counts by name.
        counts: BTreeMap<String, u64>,
    },
}

impl TraceEvent {
    /// Whether this event is a decision: part of what one seed must reproduce byte for byte.
    /// Everything that may depend on the wall clock, on a run's name or on somebody else's
    /// server is not.
    pub fn is_decision(&self) -> bool {
        !matches!(
            self,
            Self::RunStarted { .. }
                | Self::LlmAsked { .. }
                | Self::LlmAnswered { .. }
                | Self::LlmFailed { .. }
                | Self::ToolCalled { .. }
                | Self::MindChosen { .. }
                | Self::RuleDistilled { .. }
                | Self::RulePhrased { .. }
                | Self::RuleGeneralised { .. }
                | Self::GeneralisationRefused { .. }
                | Self::Exported { .. }
        )
    }
}

/// One line of `trace.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceLine {
    /// Number of the line, from 0.
    pub sequence: u64,
    /// Milliseconds since the run began.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: TraceEvent,
}
