//! A knob as text: the card that retrieval reads, and the reference page.

use std::fmt::Write;

use super::{Knob, KnobClass, NEWEST_KNOWN, Subject, all};
use crate::NcclVersion;

/// A short text about a knob in a release, for retrieval and for prompts.
pub fn card(knob: &Knob, version: NcclVersion) -> String {
    let mut text = format!("{} ({}): {}\n", knob.name, knob.class.word(), knob.does);
    let mut line = |label: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{label}: {value}");
        }
    };
    line("accepts", &knob.domain.to_string());
    line(
        "default",
        &format!("{} in NCCL {version}", knob.default_in(version)),
    );
    line("versions", &versions(knob));
    line("means something with", &platforms(knob));
    line("outside", knob.outside.unwrap_or_default());
    for hazard in knob.hazards {
        line("hazard", hazard);
    }
    line("think of", &knob.interactions.join(", "));
    line(
        "use instead",
        knob.superseded_in(version).unwrap_or_default(),
    );
    line("worth trying", &knob.candidates(version, None).join(", "));
    line("source", &source(knob));
    text
}

/// `since 2.17.1`, or `2.13.4 to 2.21.5`.
pub(super) fn versions(knob: &Knob) -> String {
    match knob.removed_after {
        Some(last) => format!("{} to {last}", knob.since()),
        None => format!("since {}", knob.since()),
    }
}

fn platforms(knob: &Knob) -> String {
    let words: Vec<&str> = knob.platforms.iter().map(|w| w.word()).collect();
    words.join(", ")
}

fn source(knob: &Knob) -> String {
    let guide = if knob.documented {
        "; NCCL user guide, Environment Variables"
    } else {
        "; not in NCCL's user guide"
    };
    format!(
        "{}{}",
        knob.source,
        if knob.source.starts_with("src/") {
            guide
        } else {
            ""
        }
    )
}

fn defaults(knob: &Knob) -> String {
    match knob.defaults {
        [(_, only)] => format!("`{only}`"),
        many => {
            let all: Vec<String> = many
                .iter()
                .map(|(since, value)| format!("`{value}` from {since}"))
                .collect();
            all.join(", ")
        }
    }
}

/// `doc/reference/knobs.md`: the whole catalogue for people, made from the slice.
pub fn reference_page() -> String {
    let mut page = format!(
        "# NCCL's knobs\n\n\
         Made by `ccl-agent knobs list --markdown`; do not edit. {} variables of NCCL 2.3 to {NEWEST_KNOWN}: \
         what they do, what they accept, and what to watch for. Facts are from NCCL's source at the tags of these \
         releases and from its user guide. A first release of 2.3.5 means 2.3.5 or earlier.\n\n\
         A knob is {}. `unset` means that NCCL decides.\n",
        all().len(),
        KnobClass::ALL
            .map(|c| format!("**{}** ({})", c.word(), price(c)))
            .join(", "),
    );
    for subject in Subject::all() {
        let _ = writeln!(page, "\n## {}", subject.title);
        for knob in subject.knobs {
            let _ = writeln!(page, "\n### {}\n\n{}\n", knob.name, knob.does);
            let _ = writeln!(
                page,
                "* {}; {}; {}",
                knob.class.word(),
                versions(knob),
                knob.domain
            );
            let _ = writeln!(page, "* default {}", defaults(knob));
            let mut line = |label: &str, value: String| {
                if !value.is_empty() {
                    let _ = writeln!(page, "* {label}{value}");
                }
            };
            line("means something with: ", platforms(knob));
            line(
                "outside the range: ",
                knob.outside.unwrap_or_default().to_owned(),
            );
            for hazard in knob.hazards {
                line("**hazard**: ", (*hazard).to_owned());
            }
            line(
                "think of: ",
                knob.interactions
                    .iter()
                    .map(|n| format!("`{n}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
            );
            line(
                "use instead: ",
                knob.superseded_by
                    .map(|n| format!("`{n}`"))
                    .unwrap_or_default(),
            );
            line(
                "worth trying: ",
                knob.search
                    .iter()
                    .map(|n| format!("`{n}`"))
                    .collect::<Vec<_>>()
                    .join(", "),
            );
            line("source: ", source(knob));
        }
    }
    page
}

fn price(class: KnobClass) -> &'static str {
    match class {
        KnobClass::PerCall => "a tuner plugin decides it per call, a change is free",
        KnobClass::PerCommunicator => "a change costs a new communicator",
        KnobClass::PerProcess => "a change costs a restart",
    }
}
