//! The words of a text as the index and a query see them.
//!
//! NCCL's variables are found by their whole name and by what its parts mean: nobody types
//! `NCHANNELS` who looks for channels. The same is done to texts and queries, so each side may use the
//! short or the long form. Stemming is left to the index. What comes out are letters, digits and
//! underscores only, so nothing a user types can be read as syntax of a query.

use std::collections::BTreeSet;

/// Most distinct words of a query that are looked for; the first count.
const MOST_QUERY_WORDS: usize = 256;
/// Longest word kept, in bytes; longer ones are no words.
const LONGEST_WORD: usize = 64;

/// Short forms and parts of variables' names, with what they stand for. Sorted.
const MEANINGS: &[(&str, &str)] = &[
    ("ack", "acknowledgement"),
    ("addr", "address"),
    ("ag", "allgather"),
    ("algo", "algorithm"),
    ("alltoallv", "alltoall"),
    ("ar", "adaptive routing"),
    ("bcast", "broadcast"),
    ("buffsize", "buffer size"),
    ("busbw", "bus bandwidth"),
    ("bw", "bandwidth"),
    ("cc", "congestion control"),
    ("cga", "thread block cluster"),
    ("chunksize", "chunk size"),
    ("collnetchain", "collnet chain"),
    ("collnetdirect", "collnet direct"),
    ("comm", "communicator"),
    ("conf", "configuration file"),
    ("cpu", "processor"),
    ("cta", "thread block sm"),
    ("ctas", "cta thread blocks sm"),
    ("ddp", "data parallel"),
    ("dma", "direct memory access"),
    ("ep", "expert parallel"),
    ("fsdp", "sharded data parallel"),
    ("gdr", "gpudirect rdma"),
    ("gdrcopy", "gdr copy"),
    ("gid", "global identifier"),
    ("hca", "adapter nic"),
    ("hcas", "hca adapter nic"),
    ("ib", "infiniband"),
    ("ifname", "interface name"),
    ("lag", "bond"),
    ("ll", "low latency"),
    ("mnnvl", "multi node nvlink"),
    ("moe", "mixture of experts"),
    ("mtu", "packet size"),
    ("ncclconf", "configuration file"),
    ("nchannels", "channels"),
    ("nic", "network adapter card"),
    ("nics", "nic network adapter card"),
    ("nrings", "rings"),
    ("nsocks", "sockets"),
    ("nthreads", "threads"),
    ("numa", "socket memory node"),
    ("nvls", "nvlink sharp"),
    ("nvlstree", "nvls nvlink sharp tree"),
    ("nvswitch", "nvlink switch"),
    ("p2p", "peer to peer send receive"),
    ("pci", "pcie"),
    ("pcie", "pci"),
    ("perthread", "per thread"),
    ("pp", "pipeline parallel"),
    ("proto", "protocol"),
    ("pxn", "proxy nvlink"),
    ("qp", "queue pair"),
    ("qps", "qp queue pairs"),
    ("recv", "receive"),
    ("rs", "reducescatter"),
    ("shm", "shared memory"),
    ("sl", "service level"),
    ("sm", "multiprocessor cta"),
    ("sms", "sm multiprocessor cta"),
    ("tc", "traffic class"),
    ("threadthreshold", "thread threshold"),
    ("topo", "topology"),
    ("tp", "tensor parallel"),
    ("vm", "virtual machine"),
    ("vms", "vm virtual machine"),
];

/// Words that are written apart, with a hyphen or in one.
const JOINED: &[(&str, &str, &str)] = &[
    ("all", "gather", "allgather"),
    ("all", "reduce", "allreduce"),
    ("all", "to", "alltoall"),
    ("queue", "pairs", "qps"),
    ("reduce", "scatter", "reducescatter"),
    ("traffic", "class", "tc"),
];

/// Words of questions that say nothing about their subject. Sorted.
const EMPTY: &[&str] = &[
    "a", "about", "after", "also", "am", "an", "and", "any", "are", "as", "at", "be", "been",
    "but", "by", "can", "could", "did", "do", "does", "for", "from", "get", "gets", "had", "has",
    "have", "how", "i", "if", "in", "into", "is", "it", "its", "just", "me", "much", "my", "no",
    "not", "of", "on", "one", "only", "or", "our", "out", "should", "so", "some", "still", "than",
    "that", "the", "their", "them", "then", "there", "these", "they", "this", "to", "us", "use",
    "used", "using", "was", "we", "were", "what", "when", "where", "which", "while", "who", "why",
    "will", "with", "would", "you", "your",
];

/// The words of a text, in order, with the meanings of short forms beside them.
pub(super) fn of_text(text: &str) -> String {
    let mut all = Vec::new();
    let mut before = String::new();
    for token in text.split(|c: char| !c.is_alphanumeric() && c != '_') {
        let token = token.trim_matches('_').to_lowercase();
        if token.is_empty() || token.len() > LONGEST_WORD {
            continue;
        }
        if token.contains('_') {
            all.push(token.clone());
            for part in token.split('_').filter(|p| !p.is_empty() && *p != "nccl") {
                push(&mut all, part);
            }
        } else {
            if let Some((_, _, joined)) =
                JOINED.iter().find(|(a, b, _)| *a == before && *b == token)
            {
                all.push((*joined).to_owned());
            }
            push(&mut all, &token);
        }
        before = token;
    }
    all.join(" ")
}

/// The words a query asks for, each once, without those that say nothing.
pub(super) fn of_query(query: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let words = of_text(query);
    words
        .split(' ')
        .filter(|w| !w.is_empty() && EMPTY.binary_search(w).is_err())
        .filter(|w| seen.insert(*w))
        .take(MOST_QUERY_WORDS)
        .map(str::to_owned)
        .collect()
}

fn push(all: &mut Vec<String>, word: &str) {
    all.push(word.to_owned());
    if let Ok(found) = MEANINGS.binary_search_by(|(short, _)| short.cmp(&word)) {
        all.push(MEANINGS[found].1.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_for_the_search_in_them() {
        assert!(MEANINGS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(EMPTY.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_name_is_kept_whole_and_in_parts() {
        assert_eq!(
            of_text("`NCCL_MAX_NCHANNELS=8`"),
            "nccl_max_nchannels max nchannels channels 8"
        );
        assert_eq!(of_text("an all-reduce"), "an all allreduce reduce");
        assert_eq!(of_query("What is the, the MTU?"), ["mtu", "packet", "size"]);
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
