//! The words of the domain, and nothing that does I/O.
//!
//! Everything here is pure data with its rules: what NCCL can be asked for ([`Choice`]), where
//! a choice applies ([`TaskKey`], [`Policy`]), what a whole setting of a job is
//! ([`Configuration`]), and what was seen of it ([`Measurement`]). Files, clocks, processes and
//! networks belong to the crates above.

mod bytes;
mod catalogue;
mod choice;
mod cluster;
mod collective;
mod configuration;
mod context;
mod diagnosis;
mod event;
mod evidence;
mod export;
mod hypothesis;
pub mod knobs;
mod measurement;
mod pattern;
mod place;
mod policy;
mod schema;
mod sweep;
mod task;
mod tuner_csv;
mod version;
mod workload;

pub use bytes::{ByteSizeError, format_bytes, parse_bytes};
pub use catalogue::{CLUSTERS, cluster_text};
pub use choice::{Choice, ChoiceError};
pub use cluster::{
    ClusterError, ClusterSpec, CpuSpec, CpuVendor, Fabric, GpuSpec, HardwareSpec, IntraLink,
    IntraSpec, NcclGraphSpec, NetworkSpec, PcieSpec,
};
pub use collective::{Algorithm, Collective, ParseNameError, Protocol};
pub use configuration::{Configuration, Environment};
pub use context::ContextSignature;
pub use diagnosis::{Bottleneck, Diagnosis, Figure};
pub use event::{
    Caller, Candidate, ChangeOf, EnvironmentCandidate, Interval, KeyObservation, Lane, Outcome,
    Phase, Proposer, RolledBackTo, StoppedBecause, SuspectChoice, TraceEvent, TraceLine, Verdict,
};
pub use evidence::{Evidence, EvidenceId};
pub use export::{ExportError, ExportFormat, export};
pub use hypothesis::{Advice, Hypothesis};
pub use measurement::{Measurement, Source};
pub use pattern::ChoicePattern;
pub use policy::{DecisionTable, Policy, PolicyError, Rule};
pub use schema::{SchemaOf, schema_of};
pub use sweep::{
    Asked, BufferPlacement, Cell, Conditions, Finding, NcclTestsOptions, NotMeasured, Sweep,
    SweepError, SweepFormat, SweepPoint, UnknownFormat, busbw_from_time, detect_format,
    read_measured_csv, read_nccl_tests, read_sweep, read_tuner_example_csv, time_from_busbw,
};
pub use task::{CommShape, SizeBucket, TaskKey};
pub use tuner_csv::{
    TUNER_CSV_HEADER, TunerCsvError, TunerRow, policy_of_rows, read_tuner_csv, write_policy_csv,
    write_tuner_csv,
};
pub use version::{NcclVersion, ParseVersionError};
pub use workload::{
    Compute, Overlap, Placement, Scaling, Traffic, TrafficCall, TrafficPhase, WorkloadError,
    WorkloadSpec,
};
