//! The plugin that NCCL loads in every rank: `libnccl-ccl-agent.so`.
//!
//! It runs inside other people's training jobs, so its first duty is to do no harm. Any doubt (no
//! policy, a file that cannot be read in full, a version nobody knows) means NCCL's own choices, and
//! one line through NCCL's own logger. No panic crosses the boundary; there is no thread, and
//! between init and finalize no allocation, no lock and no system call, except by a rank that waits
//! at the horizon of a live log.
//!
//! What it decides depends only on what is equal on all ranks of a communicator: the policy file,
//! ranks, nodes, communicator id, collective, bytes and aggregated operations. Never on
//! whether a buffer is registered, on the values of the cost table, or on anything measured here.
//!
//! Three interfaces in one object: the tuner v2 to v6, with a static policy file, or live from a
//! job's decision logs on one machine (wherever it can be known which communicator is which: see
//! [`identity`]), after a vendor's tuner if one is chained; the profiler v1 to v6, into a ring that
//! `ccl-agent observe` reads; the environment v1 and v2. `doc/reference/plugin.md` is the user's page.

pub mod chain;
pub mod constants;
pub mod context;
pub mod environment;
pub mod exports;
pub mod fork;
pub mod identity;
pub mod init;
pub mod kernels;
pub mod live;
pub mod log;
pub mod mode;
pub mod policy;
pub mod profiler;
pub mod text;
pub mod tuner;
pub mod version;
