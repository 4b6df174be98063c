//! The slice: all entries, sorted by name, from one file per subject.

mod bootstrap;
mod buffers;
mod channels;
mod device_api;
mod diagnosis;
mod infiniband;
mod launch;
mod memory;
mod network;
mod nvlink;
mod peer_to_peer;
mod resiliency;
mod retired;
mod selection;
mod sockets;

use std::sync::LazyLock;

use super::Knob;

/// A group of entries, one file each.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// What they are about.
    pub title: &'static str,
    /// Its entries, sorted by name.
    pub knobs: &'static [Knob],
}

/// The groups, in the order a reader wants them.
const SUBJECTS: &[Subject] = &[
    Subject {
        title: "Choice of algorithm and protocol",
        knobs: selection::KNOBS,
    },
    Subject {
        title: "Channels, CTAs and threads",
        knobs: channels::KNOBS,
    },
    Subject {
        title: "Buffers and chunks",
        knobs: buffers::KNOBS,
    },
    Subject {
        title: "Inside a node",
        knobs: peer_to_peer::KNOBS,
    },
    Subject {
        title: "NVLink domains",
        knobs: nvlink::KNOBS,
    },
    Subject {
        title: "Network",
        knobs: network::KNOBS,
    },
    Subject {
        title: "InfiniBand and RoCE",
        knobs: infiniband::KNOBS,
    },
    Subject {
        title: "InfiniBand and RoCE: failover",
        knobs: resiliency::KNOBS,
    },
    Subject {
        title: "Sockets",
        knobs: sockets::KNOBS,
    },
    Subject {
        title: "Memory",
        knobs: memory::KNOBS,
    },
    Subject {
        title: "Launch and ordering",
        knobs: launch::KNOBS,
    },
    Subject {
        title: "Bootstrap and topology",
        knobs: bootstrap::KNOBS,
    },
    Subject {
        title: "Device API",
        knobs: device_api::KNOBS,
    },
    Subject {
        title: "Diagnosis",
        knobs: diagnosis::KNOBS,
    },
    Subject {
        title: "Retired long ago",
        knobs: retired::KNOBS,
    },
];

static ALL: LazyLock<Vec<Knob>> = LazyLock::new(|| {
    let mut knobs: Vec<Knob> = SUBJECTS.iter().flat_map(|s| s.knobs).copied().collect();
    knobs.sort_by_key(|k| k.name);
    knobs
});

/// Every entry, sorted by name.
pub fn all() -> &'static [Knob] {
    &ALL
}

impl Subject {
    /// Every group.
    pub fn all() -> &'static [Self] {
        SUBJECTS
    }
}

/// The entry of a variable, by its exact name.
pub fn find(name: &str) -> Option<&'static Knob> {
    all()
        .binary_search_by(|k| k.name.cmp(name))
        .ok()
        .map(|index| &all()[index])
}

/// The entry whose name is nearest to this one, and how near: 1 is equal, 0 has nothing in common.
/// Case and a missing `NCCL_` do not count.
pub fn nearest(name: &str) -> (&'static Knob, f64) {
    let wanted = name.to_ascii_uppercase().replace('-', "_");
    let wanted = wanted.strip_prefix("NCCL_").unwrap_or(&wanted);
    let similarity = |k: &Knob| strsim::normalized_damerau_levenshtein(wanted, k.short_name());
    let mut best = (&all()[0], similarity(&all()[0]));
    for knob in all() {
        let found = similarity(knob);
        if found > best.1 {
            best = (knob, found);
        }
    }
    best
}

/// What the files of entries need.
mod prelude {
    pub(super) use super::super::PlatformWord::{
        Arm, Blackwell, Efa, Hopper, Infiniband, MultiNodeNvLink, NvLink, NvSwitch, Pcie, Roce,
        Slingshot, Tcp,
    };
    pub(super) use super::super::{Domain, Knob, KnobClass};
    use crate::NcclVersion;

    /// `NCCL_CONFIG_UNDEF_INT`, INT_MIN (src/nccl.h.in): the field of a communicator decides.
    pub(super) const UNDEFINED: i64 = i32::MIN as i64;

    /// No upper end but that of NCCL's int.
    pub(super) const ANY: i64 = i32::MAX as i64;

    pub(super) const fn v(major: u16, minor: u16, patch: u16) -> NcclVersion {
        NcclVersion::new(major, minor, patch)
    }

    pub(super) const fn integer(min: i64, max: i64) -> Domain {
        Domain::Integer { min, max }
    }

    pub(super) const fn bytes(min: i64, max: i64) -> Domain {
        Domain::Bytes { min, max }
    }

    pub(super) const fn multiple(of: i64, min: i64, max: i64) -> Domain {
        Domain::Multiple { of, min, max }
    }

    pub(super) const fn word(words: &'static [&'static str]) -> Domain {
        Domain::Word {
            words,
            exact_case: false,
        }
    }

    pub(super) const fn exact_word(words: &'static [&'static str]) -> Domain {
        Domain::Word {
            words,
            exact_case: true,
        }
    }

    pub(super) const fn words(separator: char, words: &'static [&'static str]) -> Domain {
        Domain::Words { separator, words }
    }
}
