use std::path::Path;

use ccl_core::knobs::{CheckContext, Severity, check_environment};
use ccl_core::{Algorithm, Bottleneck, Choice, Collective, Environment, Protocol};

use super::{MECHANISMS, Mechanism, Said, process, reference_page};
use crate::situation::made_up::MadeUp;
use crate::testbed::Signals;

const NODE: (u32, u32) = (8, 1);
const TWO: (u32, u32) = (16, 2);
const EIGHT: (u32, u32) = (64, 8);

const RING: Choice = Choice::new(Algorithm::Ring, Protocol::Simple);
const TREE: Choice = Choice::new(Algorithm::Tree, Protocol::Simple);
const NVLS: Choice = Choice::new(Algorithm::Nvls, Protocol::Simple);

fn wide(choice: Choice) -> Choice {
    choice.with_channels(16).with_chunk_bytes(512 << 10)
}

fn narrow(choice: Choice) -> Choice {
    choice.with_channels(2).with_chunk_bytes(1 << 20)
}

fn reduce(cluster: &str, shape: (u32, u32), bytes: u64, running: Choice) -> MadeUp {
    MadeUp::new(cluster, shape, Collective::AllReduce, bytes, running)
}

fn gather(cluster: &str, shape: (u32, u32), bytes: u64, running: Choice) -> MadeUp {
    MadeUp::new(cluster, shape, Collective::AllGather, bytes, running)
}

fn h100(bytes: u64, running: Choice) -> MadeUp {
    reduce("dgx-h100", NODE, bytes, running)
}

fn h100s(bytes: u64, running: Choice) -> MadeUp {
    reduce("dgx-h100", TWO, bytes, running)
}

fn skewed(made_up: MadeUp) -> MadeUp {
    made_up.signals(Signals {
        wait_for_ranks: Some(0.4),
        ..Signals::default()
    })
}

/// For every mechanism a situation made for it, and one in which it has nothing to say.
#[allow(clippy::too_many_lines)] // one table
fn cases() -> Vec<(&'static str, MadeUp, MadeUp)> {
    let ll = Choice::new(Algorithm::Ring, Protocol::Ll);
    let ll128 = Choice::new(Algorithm::Ring, Protocol::Ll128);
    let large = 256 << 20;
    let pcie = |m: MadeUp| m.on(|c| c.pcie.peer_to_peer = true);
    let forced = || h100(large, RING.with_channels(1));
    vec![
        (
            "starved-link",
            h100(large, narrow(RING)),
            h100(large, wide(RING)),
        ),
        (
            "nic-underused",
            h100s(large, narrow(RING)),
            h100(large, narrow(RING)),
        ),
        (
            "nic-parity",
            h100s(large, RING.with_channels(12)),
            h100s(large, RING.with_channels(16)),
        ),
        (
            "proxy-queue",
            h100s(64 << 10, wide(RING)),
            h100(64 << 10, wide(RING)),
        ),
        (
            "channel-overhead",
            h100(64 << 10, wide(RING)),
            h100(large, wide(RING)),
        ),
        (
            "sm-contention",
            h100(large, wide(RING)).beside_computation(),
            h100(large, wide(RING)),
        ),
        (
            "switch-frees-sms",
            h100(large, wide(RING)).beside_computation(),
            h100(large, wide(NVLS)).beside_computation(),
        ),
        (
            "flags-cost-memory",
            h100(1 << 20, wide(ll)).beside_computation(),
            h100(1 << 20, wide(RING)).beside_computation(),
        ),
        (
            "fewer-larger-chunks",
            h100(large, wide(RING)).beside_computation(),
            h100(large, narrow(RING)).beside_computation(),
        ),
        (
            "pipeline-fill",
            h100(64 << 20, RING.with_channels(16).with_chunk_bytes(2 << 20)),
            h100(2 << 30, RING.with_channels(16).with_chunk_bytes(64 << 10)),
        ),
        (
            "staging-cache",
            gather("a40-pcie-8gpu", NODE, 64 << 20, narrow(RING)),
            h100(64 << 20, narrow(RING)),
        ),
        (
            "chunk-overhead",
            h100(2 << 30, RING.with_channels(8).with_chunk_bytes(32 << 10)),
            h100(64 << 20, wide(RING)),
        ),
        (
            "tree-fill",
            h100s(16 << 20, wide(TREE)),
            h100s(16 << 20, wide(RING)),
        ),
        (
            "chain-fill",
            MadeUp::new(
                "dgx-h100",
                NODE,
                Collective::Broadcast,
                64 << 20,
                wide(RING),
            ),
            gather("dgx-h100", NODE, 64 << 20, wide(RING)),
        ),
        (
            "channels-and-chunk",
            h100(64 << 20, RING.with_channels(8).with_chunk_bytes(512 << 10)),
            h100(64 << 20, RING.with_channels(32).with_chunk_bytes(512 << 10)),
        ),
        (
            "bandwidth-delay",
            reduce(
                "p5",
                TWO,
                large,
                RING.with_channels(8).with_chunk_bytes(32 << 10),
            ),
            reduce(
                "p5",
                TWO,
                large,
                RING.with_channels(8).with_chunk_bytes(2 << 20),
            ),
        ),
        (
            "latency-bound-ring",
            h100(1 << 20, wide(RING)),
            h100(large, wide(RING)),
        ),
        (
            "many-nodes-tree",
            reduce("dgx-h100", EIGHT, 64 << 20, wide(RING)),
            h100s(64 << 20, wide(RING)),
        ),
        (
            "bandwidth-bound-tree",
            h100(large, wide(TREE)),
            h100(large, wide(RING)),
        ),
        (
            "switch-reduction",
            h100(large, wide(RING)),
            h100(1 << 20, wide(RING)),
        ),
        (
            "switch-per-node",
            h100s(large, wide(RING)),
            h100(large, wide(RING)),
        ),
        (
            "switch-startup",
            h100(16 << 20, wide(NVLS)),
            h100(large, wide(NVLS)),
        ),
        (
            "parallel-trees",
            gather("gh200-alps", (8, 8), 64 << 10, wide(RING)),
            gather("gh200-alps", (8, 8), large, wide(RING)),
        ),
        (
            "forced-choice",
            forced().classified(),
            h100(large, wide(RING)).held_back_by(Bottleneck::Unclear),
        ),
        (
            "low-latency-protocol",
            h100(32 << 10, wide(RING)),
            h100(large, wide(RING)),
        ),
        (
            "ll128-middle",
            h100(1 << 20, wide(RING)),
            h100(large, wide(RING)),
        ),
        (
            "ll-past-crossover",
            h100(large, wide(ll)),
            h100(32 << 10, wide(ll)),
        ),
        (
            "ll128-past-crossover",
            h100(large, wide(ll128)),
            h100(1 << 20, wide(ll128)),
        ),
        (
            "rendezvous-step",
            reduce("polaris", (64, 16), 16 << 20, wide(ll)),
            reduce("dgx-h100", EIGHT, 16 << 20, wide(ll)),
        ),
        (
            "fine-handover",
            skewed(h100(large, wide(RING))),
            h100(large, wide(RING)),
        ),
        (
            "credits",
            h100s(large, wide(RING)).waiting("send-peer", 0.6),
            h100s(large, wide(RING)),
        ),
        (
            "one-queue-pair",
            h100s(large, wide(RING)).reaching(0.5),
            h100s(large, wide(RING)),
        ),
        (
            "switch-unused",
            h100(large, wide(RING)).with(|k| {
                k.facts.legal.pairs.retain(|(a, _)| *a != Algorithm::Nvls);
            }),
            h100(large, wide(RING)),
        ),
        (
            "gpu-direct-distance",
            h100s(large, wide(RING)).reaching(0.5),
            reduce("p5", TWO, large, wide(RING)).reaching(0.5),
        ),
        (
            "flush-by-copy",
            h100s(large, wide(RING)).waiting("recv-flush", 0.6),
            h100s(large, wide(RING)).waiting("recv", 0.6),
        ),
        (
            "peers-across-root",
            pcie(gather("a40-pcie-8gpu", NODE, large, wide(RING))).reaching(0.5),
            h100(large, wide(RING)).reaching(0.5),
        ),
        (
            "socket-threads",
            reduce("polaris-tcp", (8, 2), large, wide(RING)),
            reduce("polaris", (8, 2), large, wide(RING)),
        ),
        (
            "proxy-affinity",
            h100s(large, wide(RING))
                .waiting("recv-flush", 0.6)
                .classified(),
            h100s(large, wide(RING)).waiting("recv-flush", 0.6),
        ),
    ]
}

fn say(mechanism: &Mechanism, made_up: &MadeUp) -> Option<Said> {
    let with = Some(&made_up.expectation);
    mechanism.say(&made_up.situation, made_up.key(), with)
}

#[test]
fn every_mechanism_speaks_where_it_should_and_is_silent_where_it_should() {
    let cases = cases();
    for mechanism in &MECHANISMS {
        let case = cases.iter().find(|(name, ..)| *name == mechanism.name);
        let (name, made_for_it, not) = case.unwrap_or_else(|| panic!("{}", mechanism.name));
        let said = say(mechanism, made_for_it);
        let Some(said) = said else {
            panic!("{name} has nothing to say where it should");
        };
        assert_eq!(
            say(mechanism, not),
            None,
            "{name} speaks where it should not"
        );
        match said {
            Said::Hypothesis(h) => {
                assert!(made_for_it.key().is_open(&h.choice), "{name}: {}", h.choice);
                assert_ne!(Some(h.choice), made_for_it.key().running(), "{name}");
                let [low, high] = h.predicted_ratio;
                assert!(0.0 < low && low < 1.0 && low < high, "{name}");
                assert!(!process::NAMES.contains(name), "{name}");
            }
            Said::Advice(_) => assert!(process::NAMES.contains(name), "{name}"),
        }
    }
    assert_eq!(cases.len(), MECHANISMS.len());
}

#[test]
fn advice_is_something_this_nccl_accepts() {
    for (name, made_for_it, _) in cases() {
        let mechanism = MECHANISMS.iter().find(|m| m.name == name).unwrap();
        let Some(Said::Advice(advice)) = say(mechanism, &made_for_it) else {
            continue;
        };
        let environment = Environment {
            variables: [(advice.variable.clone(), advice.value.clone())].into(),
        };
        let context = CheckContext {
            nccl_version: Some(made_for_it.situation.cluster.nccl_version),
            platform: None,
        };
        let findings = check_environment(&environment, &context);
        let errors: Vec<_> = findings
            .iter()
            .filter(|f| f.severity == Severity::Error)
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}

#[test]
fn what_cannot_be_told_is_not_guessed() {
    let unknown = h100(256 << 20, wide(RING)).with(|k| k.observed.choice = None);
    assert!(MECHANISMS.iter().all(|m| say(m, &unknown).is_none()));
}

#[test]
fn every_mechanism_is_named_once_and_sourced() {
    let mut names: Vec<_> = MECHANISMS.iter().map(|m| m.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), MECHANISMS.len());
    for m in &MECHANISMS {
        for text in [m.explains, m.source, m.risk, m.refuted_by] {
            assert!(text.len() > 10, "{}", m.name);
        }
        assert!(!m.speaks_to.is_empty(), "{}", m.name);
        for class in [
            Bottleneck::Fault,
            Bottleneck::Straggler,
            Bottleneck::Unclear,
        ] {
            assert!(!m.speaks_to.contains(&class), "{} acts on {class}", m.name);
        }
    }
    let per_call = MECHANISMS.len() - process::NAMES.len();
    assert!(per_call >= 20, "{per_call} mechanisms that can be tried");
}

#[test]
fn the_reference_page_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../doc/reference/mechanisms.md");
    if std::env::var_os("CCL_BLESS").is_some() {
        std::fs::write(&path, reference_page()).unwrap();
    }
    let on_disk = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        on_disk == reference_page(),
        "doc/reference/mechanisms.md is stale: run with CCL_BLESS=1"
    );
}
