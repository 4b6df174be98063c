//! The catalogue against `nccl_env_vars.csv`: what a line-by-line search of NCCL's source found at
//! each tag from 2.18.1 on. Skipped, visibly, where the data is not at hand.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use super::{Path, all, find};
use ccl_core::NcclVersion;

type Row = BTreeMap<String, String>;

/// Where the line-by-line search errs and the catalogue is right, each looked up at the tags:
/// several `NCCL_PARAM` on one line, of which it saw the first, and variables that 2.28 to 2.30
/// moved to the typed parameters of src/debug.cc.
const NOT_REMOVED: [&str; 12] = [
    "NCCL_COMM_SPLIT_SHARE_RESOURCES",
    "NCCL_CONNECT_ROUND_MAX_PEERS",
    "NCCL_DEBUG",
    "NCCL_DEBUG_FILE",
    "NCCL_DEBUG_SUBSYS",
    "NCCL_DEBUG_TIMESTAMP_FORMAT",
    "NCCL_DEBUG_TIMESTAMP_LEVELS",
    "NCCL_IB_DISABLE",
    "NCCL_L1_SHARED_MEMORY_CARVEOUT",
    "NCCL_NO_CACHE",
    "NCCL_SET_THREAD_NAME",
    "NCCL_WARN_ENABLE_DEBUG_INFO",
];

/// The same for first releases; NCCL_NET_MERGE_POLICY is dated by the user guide.
const SEEN_LATE: [&str; 2] = ["NCCL_LAUNCH_RACE_FATAL", "NCCL_NET_MERGE_POLICY"];

/// The rows, or `None` with a line that says why not.
fn rows() -> Option<Vec<Row>> {
    let shared = std::env::var_os("CCL_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let file = shared.join("nccl/nccl_env_vars.csv");
    let Ok(mut reader) = csv::ReaderBuilder::new().flexible(true).from_path(&file) else {
        // Past the test harness, which keeps what passing tests print to itself.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: {} is not there",
            file.display()
        );
        return None;
    };
    let rows: Vec<Row> = reader.deserialize().map(Result::unwrap).collect();
    assert!(rows.len() > 200, "{} rows", rows.len());
    Some(rows)
}

fn version(text: &str) -> Option<NcclVersion> {
    text.parse().ok()
}

#[test]
fn every_recorded_variable_is_in_the_catalogue() {
    let Some(rows) = rows() else { return };
    let missing: Vec<&str> = rows
        .iter()
        .map(|row| row["env_var"].as_str())
        .filter(|name| find(name).is_none())
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn first_and_last_releases_agree_with_the_record() {
    let Some(rows) = rows() else { return };
    let first_tag = NcclVersion::new(2, 18, 1);
    let (mut removed, mut dated) = (0, 0);
    for row in &rows {
        let name = row["env_var"].as_str();
        let knob = find(name).unwrap();
        // What only the user guide names has no tags.
        let Some(first) = version(&row["first_tag_seen"]) else {
            continue;
        };
        if SEEN_LATE.contains(&name) {
            assert!(
                knob.since() < first,
                "{name}: the exception is no longer one"
            );
        } else if first == first_tag {
            assert!(knob.since() <= first, "{name} since {}", knob.since());
        } else {
            assert_eq!(knob.since(), first, "{name}");
            dated += 1;
        }
        let last = version(&row["last_tag_seen"]).filter(|_| row["in_2.30.7"] == "removed");
        if NOT_REMOVED.contains(&name) {
            assert!(last.is_some(), "{name}: the exception is no longer one");
            assert_eq!(knob.removed_after, None, "{name}");
        } else {
            assert_eq!(knob.removed_after, last, "{name}");
            removed += usize::from(last.is_some());
        }
    }
    assert!(
        removed >= 5 && dated >= 50,
        "{removed} removed, {dated} dated"
    );
}

#[test]
fn defaults_agree_with_the_record() {
    let Some(rows) = rows() else { return };
    let mut compared = 0;
    for row in &rows {
        let knob = find(&row["env_var"]).unwrap();
        // Expressions and names of C are left out.
        let Ok(recorded) = row["default_latest"].trim().parse::<i64>() else {
            continue;
        };
        let last = knob.removed_after.unwrap_or(ccl_core::knobs::NEWEST_KNOWN);
        let ours = knob.default_in(last);
        // NCCL writes -1 or -2 for "decide yourself"; the catalogue says what it then decides.
        let decides = knob.automatic == Some(recorded);
        assert!(
            decides || ours.parse() == Ok(recorded),
            "{}: {ours}, recorded {recorded}",
            knob.name
        );
        compared += 1;
    }
    assert!(compared > 120, "{compared} of {}", all().len());
}

#[test]
fn what_the_user_guide_lists_is_marked_so() {
    let Some(rows) = rows() else { return };
    for row in &rows {
        let knob = find(&row["env_var"]).unwrap();
        assert_eq!(knob.documented, row["documented"] == "yes", "{}", knob.name);
    }
}
