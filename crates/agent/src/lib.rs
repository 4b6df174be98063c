//! The agent: testbeds, the guard, the minds, and the three phases that use them.
//!
//! ```text
//!   testbed --probe--> evidence --> minds --> candidates --> guard --approved--> testbed
//!                          ^                                                        |
//!                          +------------- judged pairs <--------- iterations ------+
//! ```
//!
//! [`tuner`] holds the state of one run, [`phases`](crate::tuner::Tuner::run) what happens to it;
//! [`run_dir`] is the only place that knows how a run lies on disk.

pub mod arbiter;
pub mod compare;
pub mod diagnosis;
pub mod expectation;
pub mod guard;
mod key_model;
mod lessons;
pub mod live;
pub mod mind;
pub mod observe;
pub mod oracle;
mod phases;
pub mod remembered;
pub mod run_dir;
pub mod situation;
pub mod summary;
pub mod supervisor;
pub mod testbed;
pub mod tools;
pub mod trace;
pub mod training;
pub mod tuner;
