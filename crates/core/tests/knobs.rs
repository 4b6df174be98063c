//! The knob catalogue: that its entries agree with each other, with the checks made from them, and
//! with what was recorded from NCCL's source.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ccl_core::knobs::{
    CheckContext, Knob, NEWEST_KNOWN, Rule, Severity, Subject, all, check_environment, find, lint,
    nearest, reference_page,
};
use ccl_core::{Environment, NcclVersion};

#[path = "knobs/recorded.rs"]
mod recorded;
#[path = "knobs/texts.rs"]
mod texts;

/// What the check says of one setting, less what it says of every pinned or dangerous choice.
fn objections(knob: &Knob, value: &str, version: NcclVersion) -> Vec<String> {
    let variables = BTreeMap::from([(knob.name.to_owned(), value.to_owned())]);
    let context = CheckContext {
        nccl_version: Some(version),
        platform: None,
    };
    check_environment(&Environment { variables }, &context)
        .into_iter()
        .filter(|f| {
            f.severity == Severity::Error || matches!(f.rule, Rule::WrongType | Rule::OutOfRange)
        })
        .map(|f| format!("{}={value} in {version}: {}", knob.name, f.reason))
        .collect()
}

/// The releases at which something about some knob changes, and the newest.
fn releases() -> BTreeSet<NcclVersion> {
    let changes = all().iter().flat_map(|k| k.defaults.iter().map(|d| d.0));
    let last = all().iter().filter_map(|k| k.removed_after);
    changes.chain(last).chain([NEWEST_KNOWN]).collect()
}

#[test]
fn names_are_unique_sorted_and_found() {
    assert!(all().len() >= 100);
    assert!(all().is_sorted_by(|a, b| a.name < b.name));
    for knob in all() {
        let rest = knob.name.strip_prefix("NCCL_").expect(knob.name);
        let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        assert!(!rest.is_empty() && rest.bytes().all(legal), "{}", knob.name);
        assert_eq!(find(knob.name).map(|k| k.name), Some(knob.name));
    }
    assert_eq!(find("NCCL_BUFSIZE").map(|k| k.name), None);
}

#[test]
fn each_subject_is_sorted_and_holds_its_share_of_the_catalogue() {
    let mut count = 0;
    for subject in Subject::all() {
        assert!(!subject.knobs.is_empty(), "{}", subject.title);
        assert!(
            subject.knobs.is_sorted_by(|a, b| a.name < b.name),
            "{}",
            subject.title
        );
        count += subject.knobs.len();
    }
    assert_eq!(count, all().len());
}

#[test]
fn every_entry_says_what_it_does_and_where_that_was_read() {
    for knob in all() {
        let name = knob.name;
        assert!(
            knob.does.ends_with('.') && !knob.does.contains('\n'),
            "{name}: {}",
            knob.does
        );
        let source = knob.source;
        assert!(
            source.starts_with("src/") || source.starts_with("NCCL user guide"),
            "{name}: {source}"
        );
        for text in knob.hazards.iter().copied().chain(knob.outside) {
            assert!(text.len() > 5 && text.trim() == text, "{name}: {text:?}");
        }
    }
}

#[test]
fn versions_ascend_and_end_after_they_begin() {
    for knob in all() {
        let since: Vec<NcclVersion> = knob.defaults.iter().map(|d| d.0).collect();
        assert!(!since.is_empty(), "{} has no default", knob.name);
        assert!(since.is_sorted_by(|a, b| a < b), "{}: {since:?}", knob.name);
        let last = knob.removed_after.unwrap_or(NEWEST_KNOWN);
        assert!(
            since.iter().all(|v| *v <= last),
            "{}: {since:?} to {last}",
            knob.name
        );
        assert!(last <= NEWEST_KNOWN, "{}", knob.name);
        // Patch 0 stands for a whole minor release; no entry may mean that by accident.
        assert!(last.patch != 0, "{}", knob.name);
        assert!(
            knob.exists_in(knob.since()) && knob.exists_in(last),
            "{}",
            knob.name
        );
        assert!(!knob.exists_in(NcclVersion::new(2, 0, 4)), "{}", knob.name);
        assert_eq!(
            knob.exists_in(NEWEST_KNOWN),
            knob.removed_after.is_none(),
            "{}",
            knob.name
        );
    }
}

#[test]
fn defaults_differ_from_one_to_the_next_and_lie_in_the_domain() {
    for knob in all() {
        for pair in knob.defaults.windows(2) {
            assert_ne!(
                pair[0].1, pair[1].1,
                "{}: no change in {}",
                knob.name, pair[1].0
            );
        }
        for (since, value) in knob.defaults {
            assert_eq!(knob.default_in(*since), *value);
            assert!(!value.is_empty(), "{}", knob.name);
            if *value != "unset" && knob.domain.kind() != "text" {
                assert_eq!(objections(knob, value, *since), Vec::<String>::new());
            }
        }
    }
}

#[test]
fn values_worth_trying_are_accepted_wherever_they_are_offered() {
    let mut tried = 0;
    for knob in all() {
        let distinct: BTreeSet<&str> = knob.search.iter().copied().collect();
        assert_eq!(distinct.len(), knob.search.len(), "{}", knob.name);
        for version in releases() {
            for value in knob.candidates(version, None) {
                assert_eq!(objections(knob, value, version), Vec::<String>::new());
                tried += 1;
            }
        }
        let newest = knob.candidates(NEWEST_KNOWN, None);
        let offered = knob.exists_in(NEWEST_KNOWN) && knob.superseded_by.is_none();
        assert_eq!(
            !newest.is_empty(),
            offered && !knob.search.is_empty(),
            "{}",
            knob.name
        );
    }
    assert!(tried > 100, "{tried}");
}

#[test]
fn numbers_just_outside_the_domain_are_refused() {
    for knob in all() {
        let Some((min, max, of)) = knob.domain.range(NEWEST_KNOWN) else {
            continue;
        };
        if !knob.exists_in(NEWEST_KNOWN) {
            continue;
        }
        assert!(
            min < max && min % of == 0 && max % of == 0,
            "{}: {min} {max} {of}",
            knob.name
        );
        for outside in [min.checked_sub(1), max.checked_add(1)]
            .into_iter()
            .flatten()
        {
            let said = objections(knob, &outside.to_string(), NEWEST_KNOWN);
            let automatic = knob.automatic == Some(outside);
            assert_eq!(
                said.is_empty(),
                automatic,
                "{}={outside}: {said:?}",
                knob.name
            );
        }
        assert!(
            !objections(knob, "True", NEWEST_KNOWN).is_empty() || reads_words(knob),
            "{}",
            knob.name
        );
    }
}

/// The knobs of NCCL's typed parser (src/include/param/parser_default.h).
fn reads_words(knob: &Knob) -> bool {
    [
        "NCCL_PARAM_DUMP_ALL",
        "NCCL_SET_THREAD_NAME",
        "NCCL_WARN_ENABLE_DEBUG_INFO",
    ]
    .contains(&knob.name)
}

#[test]
fn every_reference_to_another_knob_leads_to_one() {
    for knob in all() {
        let distinct: BTreeSet<&str> = knob.interactions.iter().copied().collect();
        assert_eq!(distinct.len(), knob.interactions.len(), "{}", knob.name);
        for other in knob.interactions.iter().copied().chain(knob.superseded_by) {
            assert_ne!(other, knob.name);
            assert!(find(other).is_some(), "{} refers to {other}", knob.name);
        }
        if let Some(better) = knob.superseded_by.and_then(find) {
            assert!(
                better.since() >= knob.since(),
                "{} is older than {}",
                better.name,
                knob.name
            );
            let last = find(knob.superseded_in(NEWEST_KNOWN).unwrap()).unwrap();
            assert_eq!(last.superseded_by, None, "{}", knob.name);
            assert_eq!(last.removed_after, None, "{}", knob.name);
            let before = NcclVersion::new(2, better.since().minor - 1, 9);
            assert_eq!(knob.superseded_in(before), None, "{}", knob.name);
        }
    }
}

#[test]
fn names_that_hazards_and_ranges_mention_exist() {
    for knob in all() {
        let texts = knob
            .hazards
            .iter()
            .copied()
            .chain(knob.outside)
            .chain([knob.does]);
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        for word in texts.flat_map(|t| t.split(move |c| !is_name(c))) {
            if word.starts_with("NCCL_")
                && !word.ends_with('_')
                && !word.starts_with("NCCL_CTA_POLICY_")
            {
                assert!(find(word).is_some(), "{} mentions {word}", knob.name);
            }
        }
    }
}

#[test]
fn a_slip_in_a_name_leads_back_to_it() {
    for (index, knob) in all().iter().enumerate() {
        assert_eq!(nearest(knob.name).0.name, knob.name);
        assert_eq!(nearest(&knob.name.to_ascii_lowercase()).0.name, knob.name);
        let short = knob.short_name();
        // One letter lost, at another place in each name.
        let at = index % short.len();
        let slip = format!("NCCL_{}{}", &short[..at], &short[at + 1..]);
        let (near, alike) = nearest(&slip);
        // Where two are equally near (MIN_CTAS and MAX_CTAS from M_CTAS), either will do.
        let one_off = 1.0 - 1.0 / near.short_name().len().max(short.len() - 1) as f64;
        assert!(
            near.name == knob.name || alike >= one_off - 1e-9,
            "{slip} -> {}",
            near.name
        );
    }
}

#[test]
fn the_reference_page_is_the_catalogue() {
    let page = include_str!("../../../doc/reference/knobs.md");
    assert!(
        page == reference_page(),
        "doc/reference/knobs.md is stale: ccl-agent knobs list --markdown > doc/reference/knobs.md"
    );
}
