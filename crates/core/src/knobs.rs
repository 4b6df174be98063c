//! The knob catalogue: every variable of NCCL that changes speed or results, as data.
//!
//! One slice of entries ([`all`]) with class, domain, defaults, version range, platforms, hazards
//! and interactions. Validation ([`check_environment`]), the linter for files ([`lint`]), the
//! search space ([`Knob::candidates`]), the cards for retrieval ([`card`]) and the reference page
//! ([`reference_page`]) are all made from it. Reading files and environments of processes is the
//! business of the crates above.
//!
//! Facts come from NCCL's source, tags v2.3.5-1 to v2.30.7-1, and from its user guide; each entry
//! names its file.

mod candidates;
mod card;
mod catalogue;
mod check;
mod choice_list;
mod combinations;
mod domain;
mod finding;
mod knob;
mod lint;
mod number;
mod platform;
mod shape;

pub use card::{card, reference_page};
pub use catalogue::{Subject, all, find, nearest};
pub use check::{CheckContext, check_environment};
pub use domain::{Domain, Misfit};
pub use finding::{Finding, Place, Rule, Severity};
pub use knob::{Knob, KnobClass, NEWEST_KNOWN};
pub use lint::{Located, Report, Syntax, lint};
pub use number::{CInteger, read_c_integer};
pub use platform::{ParsePlatformError, Platform, PlatformWord};
