//! The words of a text as the index and a query see them.
//!
//! NCCL's variables are found by their whole name and by what its parts mean: nobody types
//! `NCHANNELS` who looks for channels. The same is done to texts and queries, so each side may use the
//! short or the long form. Stemming is left to the index. What comes out are letters, digits and
//! underscores only, so nothing a user types can be read as syntax of a query.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Most distinct words of a query that are looked for; the first count.
const MOST_QUERY_WORDS: usize = 256;
/// Longest word kept, in bytes; longer ones are no words.
const LONGEST_WORD: usize = 64;

/// Short forms and parts of variables' names, with what they stand for. Sorted.
const MEANINGS: &[(&str, &str)] = &[
    ("adapter", "nic"),
    ("adapters", "nic"),
    ("addr", "address"),
    ("ag", "allgather"),
    ("algo", "algorithm"),
    ("alltoallv", "alltoall"),
    ("amazon", "aws"),
    ("bcast", "broadcast"),
    ("buffsize", "buffer size"),
    ("busbw", "bus bandwidth"),
    ("bw", "bandwidth"),
    ("chunksize", "chunk size"),
    ("collnetchain", "collnet"),
    ("collnetdirect", "collnet"),
    ("comm", "communicator"),
    ("conf", "configuration"),
    ("cpu", "processor"),
    ("cta", "sm"),
    ("ctas", "sm"),
    ("deadlock", "hang"),
    ("deadlocked", "hang"),
    ("deadlocks", "hang"),
    ("ep", "expert"),
    ("exposed", "critical"),
    ("freeze", "hang"),
    ("freezes", "hang"),
    ("fsdp", "sharded"),
    ("gcp", "google"),
    ("gdr", "gpudirect"),
    ("gdrcopy", "gdr"),
    ("gemm", "matrix"),
    ("gemms", "matrix"),
    ("hca", "nic"),
    ("hcas", "nic"),
    ("ib", "infiniband"),
    ("ifname", "interface"),
    ("matmul", "matrix"),
    ("max", "maximum"),
    ("microsoft", "azure"),
    ("min", "minimum"),
    ("mnnvl", "multinode"),
    ("moe", "expert"),
    ("multiprocessor", "sm"),
    ("multiprocessors", "sm"),
    ("nchannels", "channels"),
    ("nics", "nic"),
    ("nrings", "rings"),
    ("nsocks", "sockets"),
    ("nthreads", "threads"),
    ("numa", "socket"),
    ("nvls", "sharp"),
    ("nvlstree", "nvls sharp tree"),
    ("oci", "oracle"),
    ("operation", "call"),
    ("operations", "call"),
    ("p2p", "peer"),
    ("pci", "pcie"),
    ("perthread", "per thread"),
    ("pp", "pipeline"),
    ("proto", "protocol"),
    ("qp", "qps"),
    ("recv", "receive"),
    ("rs", "reducescatter"),
    ("sendrecv", "send receive"),
    ("shm", "shared"),
    ("sms", "sm"),
    ("stuck", "hang"),
    ("throughput", "bandwidth"),
    ("topo", "topology"),
    ("torch", "pytorch"),
    ("tp", "tensor"),
    ("vm", "virtual"),
    ("vms", "virtual"),
];

/// Words that are written apart, with a hyphen or in one.
const JOINED: &[(&str, &str, &str)] = &[
    ("all", "gather", "allgather"),
    ("all", "reduce", "allreduce"),
    ("all", "to", "alltoall"),
    ("gpu", "direct", "gpudirect"),
    ("multi", "node", "multinode"),
    ("network", "card", "nic"),
    ("network", "cards", "nic"),
    ("queue", "pair", "qps"),
    ("queue", "pairs", "qps"),
    ("reduce", "scatter", "reducescatter"),
    ("service", "level", "sl"),
    ("switch", "off", "disable"),
    ("switched", "off", "disable"),
    ("thread", "block", "sm"),
    ("thread", "blocks", "sm"),
    ("traffic", "class", "tc"),
    ("turn", "off", "disable"),
    ("turned", "off", "disable"),
];

/// Words of questions that say nothing about their subject.
static EMPTY: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    "a about after again all also always am an and another any are as at be because been \
     being best better both but by can come comes could did do does down each either else \
     ever every everything few find for found from get gets give given gives go goes going \
     good had happen happens has have having he her here hers him his how i idea if in \
     instead into is it its just keep know known let lets like long look looks made make \
     makes making many may me mean meaning means might more most much must my name named need \
     needs no not now of old on one only or other our out over own please put quite really \
     same say says see seen set sets setting settings shall she should since so some \
     something still such take taken takes tell than that the their them then there these \
     they thing things think this through to too until up upon us use used using variable \
     variables very want wants was way we well went were what when where whether which while \
     who whose why will with within work works would yet you your"
        .split(' ')
        .collect()
});

/// The words of a text, in order, with the meanings of short forms beside them.
pub(super) fn of_text(text: &str) -> String {
    let mut all: Vec<String> = Vec::new();
    for token in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
        let token = american(token.trim_matches('_').to_lowercase());
        if token.is_empty() || token.len() > LONGEST_WORD {
            continue;
        }
        if token.contains('_') {
            all.push(token.clone());
            for part in token.split('_').filter(|p| !p.is_empty() && *p != "nccl") {
                push(&mut all, part);
            }
        } else if let Some(joined) = all.last().and_then(|last| join(last, &token)) {
            all.pop();
            all.push(joined.to_owned());
        } else {
            push(&mut all, &token);
        }
    }
    all.join(" ")
}

/// The words a query asks for, each once, without those that say nothing.
pub(super) fn of_query(query: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let words = of_text(query);
    words
        .split(' ')
        .filter(|w| !w.is_empty() && !EMPTY.contains(w))
        .filter(|w| seen.insert(*w))
        .take(MOST_QUERY_WORDS)
        .map(str::to_owned)
        .collect()
}

/// One spelling for `utilisation` and `utilization`; real words never need to come out of it.
fn american(word: String) -> String {
    if word.contains("isation") || word.ends_with("ise") || word.ends_with("ised") {
        word.replace("is", "iz")
    } else {
        word
    }
}

/// What two neighbouring words are in one.
fn join(before: &str, word: &str) -> Option<&'static str> {
    let found = JOINED.iter().find(|(a, b, _)| *a == before && *b == word);
    found.map(|(_, _, joined)| *joined)
}

/// Adds a word, what it means, and for NCCL's functions (`ncclSend`) what they do.
fn push(all: &mut Vec<String>, word: &str) {
    all.push(word.to_owned());
    if let Ok(found) = MEANINGS.binary_search_by(|(short, _)| short.cmp(&word)) {
        all.push(MEANINGS[found].1.to_owned());
    }
    if let Some(function) = word.strip_prefix("nccl").filter(|f| f.len() > 2) {
        push(all, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_the_search_in_it() {
        assert!(MEANINGS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_name_is_kept_whole_and_in_parts() {
        assert_eq!(
            of_text("`NCCL_MAX_NCHANNELS=8`"),
            "nccl_max_nchannels max maximum nchannels channels 8"
        );
        assert_eq!(of_text("an all-reduce"), "an allreduce");
        assert_eq!(of_query("What is the, the MTU?"), ["mtu"]);
    }

    #[test]
    fn a_query_is_words_and_nothing_else() {
        for word in of_query("title:x NEAR(a b) \"q\" -c * ^d AND \u{0} {e} ' ; drop table _ __") {
            assert!(word.chars().all(char::is_alphanumeric), "{word:?}");
        }
        let long: String = (0..10_000).map(|n| format!("w{n} ")).collect();
        assert_eq!(of_query(&long).len(), MOST_QUERY_WORDS);
        assert!(of_query(&"x".repeat(1 << 20)).is_empty());
    }
}
