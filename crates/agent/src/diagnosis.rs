//! What holds a key's calls back: a class, from figures that were seen or computed.
//!
//! Every limit is named and sourced, in [`claims`]. A class that needs a figure nobody has is not
//! claimed; several may hold, and the one that would mislead most if it were overlooked comes first.
//! What is wrong with the whole job is in [`fault`]. Nothing here decides what is tried.

mod claims;
pub mod fault;
#[cfg(test)]
mod tests;

use ccl_core::{Bottleneck, Diagnosis};

use self::claims::{
    Claim, broken, bytes_or_latency, contention, flush, late_rank, overruled, proxy, skew,
};
use crate::expectation::Expectation;
use crate::situation::{KeyState, Situation};

/// Where somebody may overrule NCCL's choice, in the order in which NCCL lets them (its user guide,
/// "Environment Variables": the process, then the user's file, then the machine's).
const WHO_OVERRULES: [&str; 3] = [
    "variables of the job: NCCL_ALGO, NCCL_PROTO, NCCL_MAX_CTAS, NCCL_MAX_NCHANNELS, NCCL_MIN_CTAS, \
     NCCL_MIN_NCHANNELS, NCCL_NVLS_ENABLE",
    "the same in the file of NCCL_CONF_FILE, ~/.nccl.conf and /etc/nccl.conf",
    "another tuner: NCCL_TUNER_PLUGIN, or one that a network plugin brings",
];

/// What holds a key's calls back under the choice that untuned NCCL runs.
pub fn classify(
    situation: &Situation,
    key: &KeyState,
    expectation: Option<&Expectation>,
) -> Diagnosis {
    let machine = [
        expectation.and_then(|e| broken(key, e)),
        expectation.and_then(|e| overruled(key, e)),
    ];
    let ranks = [late_rank(key), skew(key)];
    let shared = [contention(situation, key)];
    let path = [flush(key), expectation.and_then(|e| proxy(key, e))];
    let bytes = bytes_or_latency(key, expectation);
    let claims: Vec<Claim> = machine
        .into_iter()
        .chain(ranks)
        .chain(shared)
        .chain(path)
        .chain(bytes)
        .flatten()
        .collect();
    let mut classes: Vec<Bottleneck> = Vec::new();
    for claim in &claims {
        if !classes.contains(&claim.class) {
            classes.push(claim.class);
        }
    }
    let mut classes = classes.into_iter();
    let confidence = claims.first().map_or(0.0, |c| c.margin / (1.0 + c.margin));
    let mut sentences: Vec<&str> = claims.iter().map(|c| c.because.as_str()).collect();
    sentences.dedup();
    Diagnosis {
        key: Some(key.facts.key),
        class: classes.next().unwrap_or(Bottleneck::Unclear),
        also: classes.collect(),
        because: if sentences.is_empty() {
            "no figure says what its time goes to".to_owned()
        } else {
            sentences.join("; ")
        },
        figures: claims.iter().map(|c| c.figure.clone()).collect(),
        evidence: vec![key.evidence],
        confidence,
        checks: if claims
            .iter()
            .any(|c| c.class == Bottleneck::Misconfiguration)
        {
            WHO_OVERRULES.map(str::to_owned).into()
        } else {
            Vec::new()
        },
    }
}
