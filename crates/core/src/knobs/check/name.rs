//! Names that are no variable of NCCL: those of other programs, and slips.

use super::super::catalogue;
use super::super::finding::{Finding, Place, Rule, Severity};

/// Prefixes of variables that other programs read although they start with `NCCL_`.
const FOREIGN: &[(&str, &str)] = &[
    ("NCCL_FASTRAK_", "Google's FasTrak network plugin"),
    ("NCCL_GPUDIRECTTCPX_", "Google's TCPX network plugin"),
    ("NCCL_INSPECTOR_", "NVIDIA's inspector profiler plugin"),
    ("NCCL_PROFILE_", "NVIDIA's example profiler plugin"),
    ("NCCL_PROFILER_CE_", "NVIDIA's example profiler plugin"),
    (
        "NCCL_TUNER_CONFIG_",
        "tuner plugins (NVIDIA's example, Google's)",
    ),
    ("NCCL_SHIMNET_", "Google's plugin shim"),
    ("NCCL_PLUGIN_", "the RDMA and SHARP plugins of HPC-X"),
    ("NCCL_SHARP_", "the SHARP plugin of HPC-X"),
    ("NCCL_UCX_", "the UCX plugin of HPC-X"),
    ("NCCL_TESTS_", "nccl-tests"),
    ("NCCL_EP_", "NCCL's expert-parallel library"),
];

/// PyTorch's own names of earlier releases; it now reads them with `TORCH_` in front.
const PYTORCH: &[&str] = &[
    "NCCL_ASYNC_ERROR_HANDLING",
    "NCCL_BLOCKING_WAIT",
    "NCCL_DESYNC_DEBUG",
];

/// Names that build systems and containers set.
const BUILD: &[&str] = &[
    "NCCL_HOME",
    "NCCL_ROOT",
    "NCCL_VERSION",
    "NCCL_INCLUDE_DIR",
    "NCCL_LIB_DIR",
    "NCCL_LIBRARY",
];

/// How alike two names must be for one to count as a slip of the other.
const SLIP: f64 = 0.75;

/// What to say about a name that the catalogue does not have.
pub(super) fn unknown(name: &str) -> Option<Finding> {
    let say = |severity, rule, reason: String, fix: String| {
        Some(Finding::new(severity, rule, name, Place::Name, reason, fix))
    };
    if PYTORCH.contains(&name) {
        return say(
            Severity::Warning,
            Rule::ForeignName,
            "a variable of PyTorch under its old name, not of NCCL".to_owned(),
            format!("write TORCH_{name}"),
        );
    }
    if BUILD.contains(&name) {
        return say(
            Severity::Note,
            Rule::ForeignName,
            "a variable of build systems; NCCL does not read it".to_owned(),
            "keep it if something else needs it".to_owned(),
        );
    }
    if let Some((_, owner)) = FOREIGN.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return say(
            Severity::Note,
            Rule::ForeignName,
            format!("a variable of {owner}; not checked"),
            "keep it if that is loaded".to_owned(),
        );
    }
    let (knob, alike) = catalogue::nearest(name);
    if name.starts_with("NCCL_") {
        return if alike >= SLIP {
            say(
                Severity::Error,
                Rule::UnknownName,
                "NCCL has no such variable and ignores it".to_owned(),
                format!("write {}", knob.name),
            )
        } else {
            say(
                Severity::Warning,
                Rule::UnknownName,
                "no NCCL from 2.3 to 2.30 has such a variable; a plugin may".to_owned(),
                format!("check the name; the nearest is {}", knob.name),
            )
        };
    }
    // A slip in the prefix itself: NCLL_DEBUG, nccl_debug. Other libraries have names one letter
    // away (RCCL), so the rest must be a name of ours.
    let upper = name.to_ascii_uppercase();
    let (prefix, rest) = upper.split_once(['_', '-']).unwrap_or((&upper, ""));
    let slipped = prefix != "RCCL" && strsim::damerau_levenshtein(prefix, "NCCL") <= 1;
    let (knob, alike) = catalogue::nearest(rest);
    (slipped && alike >= 0.9).then(|| {
        Finding::new(
            Severity::Error,
            Rule::UnknownName,
            name,
            Place::Name,
            "NCCL does not read this name",
            format!("write {}", knob.name),
        )
    })
}
