//! Experimental: other constants for NCCL's own cost model, which tuner v5 and v6 may change at init.
//!
//! The file in `CCL_AGENT_MODEL_CONSTANTS` is read whole or not used. NCCL's choices follow from the
//! constants, so it must be the same on all ranks, like everything in a job's environment. Lines, with
//! names as the policy file has them:
//!
//! ```text
//! base_latency ring simple 8.4             microseconds
//! hardware_latency net ring simple 14      microseconds; nvlink, pci or net
//! ll_max_bw hopper 1 141                   GB/s; volta, ampere, hopper, blackwell; 1, 2 or 4 nodes
//! ring_ll128_max_bw, tree_ll128_max_bw, tree_max_bw, nvls_tree_max_bw: likewise, GB/s a channel
//! ```

use ccl_abi::nccl::tuner::Constants;

use crate::policy::{ALGORITHMS, PROTOCOLS};

const LINKS: [&str; 3] = ["nvlink", "pci", "net"];
const GENERATIONS: [&str; 4] = ["volta", "ampere", "hopper", "blackwell"];
const SCALES: [&str; 3] = ["1", "2", "4"];
/// Longest file, bytes.
pub const MOST_BYTES: usize = 1 << 20;
/// Latencies and bandwidths beyond this are typing errors: a second, a terabyte a second.
const MOST: f64 = 1e6;

/// One constant and its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    place: Place,
    value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    BaseLatency(usize, usize),
    HardwareLatency(usize, usize, usize),
    /// Which cap, generation, scale.
    Cap(usize, usize, usize),
}

const CAPS: [&str; 5] = [
    "ll_max_bw",
    "ring_ll128_max_bw",
    "tree_ll128_max_bw",
    "tree_max_bw",
    "nvls_tree_max_bw",
];

/// Reads the file.
///
/// # Errors
/// The first line that is something else.
pub fn parse(text: &str) -> Result<Vec<Change>, String> {
    let mut changes: Vec<Change> = Vec::new();
    for (number, line) in (1u32..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let change = change(line).map_err(|what| format!("line {number}: {what}"))?;
        if changes.iter().any(|other| other.place == change.place) {
            return Err(format!("line {number}: the constant stands here twice"));
        }
        changes.push(change);
    }
    Ok(changes)
}

fn change(line: &str) -> Result<Change, String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let (value, words) = words.split_last().ok_or("empty")?;
    let of = |names: &[&str], word: &str| {
        let found = names.iter().position(|name| *name == word);
        found.ok_or_else(|| format!("{word:?} is none of {}", names.join(", ")))
    };
    let place = match *words {
        ["base_latency", algorithm, protocol] => {
            Place::BaseLatency(of(&ALGORITHMS, algorithm)?, of(&PROTOCOLS, protocol)?)
        }
        ["hardware_latency", link, algorithm, protocol] => Place::HardwareLatency(
            of(&LINKS, link)?,
            of(&ALGORITHMS, algorithm)?,
            of(&PROTOCOLS, protocol)?,
        ),
        [cap, generation, nodes] => Place::Cap(
            of(&CAPS, cap)?,
            of(&GENERATIONS, generation)?,
            of(&SCALES, nodes)?,
        ),
        _ => return Err(format!("{line:?} is no constant")),
    };
    let value: f64 = value
        .parse()
        .map_err(|_| format!("{value:?} is no number"))?;
    let least = match place {
        Place::Cap(..) => f64::MIN_POSITIVE,
        _ => 0.0,
    };
    if !(least..=MOST).contains(&value) {
        return Err(format!("{value} is out of range"));
    }
    Ok(Change { place, value })
}

/// Writes the changes.
pub fn apply(changes: &[Change], constants: &mut Constants) {
    for Change { place, value } in changes {
        match *place {
            Place::BaseLatency(algorithm, protocol) => {
                constants.base_latencies[algorithm][protocol] = *value;
            }
            Place::HardwareLatency(link, algorithm, protocol) => {
                constants.hardware_latencies[link][algorithm][protocol] = *value;
            }
            Place::Cap(cap, generation, scale) => {
                let caps = [
                    &mut constants.ll_max_bws,
                    &mut constants.per_channel_max_ring_ll128_bws,
                    &mut constants.per_channel_max_tree_ll128_bws,
                    &mut constants.per_channel_max_tree_bws,
                    &mut constants.per_channel_max_nvls_tree_bws,
                ];
                caps.into_iter()
                    .skip(cap)
                    .take(1)
                    .for_each(|cap| cap[generation][scale] = *value);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn zeros() -> Constants {
        Constants {
            base_latencies: [[0.0; 3]; 7],
            hardware_latencies: [[[0.0; 3]; 7]; 3],
            ll_max_bws: [[0.0; 3]; 4],
            per_channel_max_ring_ll128_bws: [[0.0; 3]; 4],
            per_channel_max_tree_ll128_bws: [[0.0; 3]; 4],
            per_channel_max_tree_bws: [[0.0; 3]; 4],
            per_channel_max_nvls_tree_bws: [[0.0; 3]; 4],
        }
    }

    #[test]
    fn each_line_changes_its_constant_and_nothing_else() {
        let text = "# measured here\nbase_latency ring simple 8.4\n\
                    hardware_latency net tree ll 14\nll_max_bw hopper 2 141\n\
                    nvls_tree_max_bw blackwell 4 30.5\n";
        let mut constants = zeros();
        apply(&parse(text).unwrap(), &mut constants);
        let mut expected = zeros();
        expected.base_latencies[1][2] = 8.4;
        expected.hardware_latencies[2][0][0] = 14.0;
        expected.ll_max_bws[2][1] = 141.0;
        expected.per_channel_max_nvls_tree_bws[3][2] = 30.5;
        assert_eq!(constants, expected);
    }

    #[test]
    fn a_file_is_used_whole_or_not_at_all() {
        for (text, words) in [
            ("base_latency ring 8", "no constant"),
            ("base_latency ring simple", "no constant"),
            ("base_latency rnig simple 8", "is none of"),
            ("base_latency ring simple x", "no number"),
            ("base_latency ring simple -1", "out of range"),
            ("base_latency ring simple NaN", "out of range"),
            ("base_latency ring simple inf", "out of range"),
            ("tree_max_bw hopper 1 0", "out of range"),
            ("tree_max_bw hopper 3 9", "none of 1, 2, 4"),
            ("8", "no constant"),
            (
                "ll_max_bw volta 1 9\nll_max_bw volta 1 8",
                "line 2: the constant stands here twice",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
