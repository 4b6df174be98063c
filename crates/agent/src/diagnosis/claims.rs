//! Each figure against its limit: what it claims where it lies beyond.
//!
//! One function per figure. A figure nobody has claims nothing.

use ccl_core::{Bottleneck, Choice, Figure};

use super::fault::{BROKEN, reached};
use crate::expectation::Expectation;
use crate::situation::{KeyState, Situation};

/// A call is bound by bytes where they take half of its time or more, by latency where they take
/// less: the half-performance length (Hockney, Parallel Computing 20, 1994).
const HALF: f64 = 0.5;
/// On either side of it both hold.
const MIXED: f64 = 0.15;
/// How much longer than NCCL's own choice the running one must be expected to take before somebody
/// is said to interfere: beyond the ninth decile of the model's error (doc/model-validation.md).
const OVERRULED: f64 = 1.5;
/// Share of its time inside a call that a rank must wait for others before that counts more than the
/// call: above what `observe` calls late at all (a twentieth), below half.
const WAITING: f64 = 0.2;
/// How much longer a call takes beside computation before they contend: AutoCCL (NSDI 2025),
/// section 2, against noise of a few percent.
const CONTENDED: f64 = 1.15;
/// Share of the SMs that channels hold beside computation from which they matter to it: 8 of an
/// A40's 84 make up the difference of AutoCCL (NSDI 2025) figure 10.
const SMS_HELD: f64 = 0.05;
/// Share of network time that one kind of wait must take to be called the reason; as in `observe`.
const NOTABLE_WAIT: f64 = 0.4;
/// Share of a call's time that the proxy must take, as the model has it.
const PROXY: f64 = 0.3;
/// Largest margin below a limit: that of a figure of nothing.
const MOST_BELOW: f64 = 1e3;

/// One class that holds, and the figure that says so.
pub(super) struct Claim {
    pub(super) class: Bottleneck,
    pub(super) because: String,
    pub(super) figure: Figure,
    /// How far the figure lies beyond its limit, 1 at the limit.
    pub(super) margin: f64,
}

/// From where on a figure speaks for a class.
enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Claim {
    /// What a figure claims, where it lies beyond its limit.
    fn new(
        class: Bottleneck,
        name: &str,
        value: f64,
        limit: Limit,
        because: String,
    ) -> Option<Self> {
        let (is_beyond, limit, margin) = match limit {
            Limit::AtLeast(limit) => (value >= limit, limit, value / limit),
            Limit::AtMost(limit) => {
                let margin = limit / value.max(limit / MOST_BELOW);
                (value <= limit, limit, margin)
            }
        };
        is_beyond.then(|| Self {
            class,
            because,
            figure: Figure {
                name: name.to_owned(),
                value,
                limit,
            },
            margin,
        })
    }
}

/// The running choice itself should be far faster on bytes.
pub(super) fn broken(key: &KeyState, expectation: &Expectation) -> Option<Claim> {
    let found = reached(key, expectation)?;
    Claim::new(
        Bottleneck::Fault,
        "share of the expected speed of the running choice",
        found.share(),
        Limit::AtMost(BROKEN),
        format!(
            "it takes {:.0} us where this machine should take {:.0} us with what it runs",
            found.observed_us, found.expected_us
        ),
    )
}

/// Untuned NCCL does not run what NCCL chooses: a variable, a file or another tuner does.
pub(super) fn overruled(key: &KeyState, expectation: &Expectation) -> Option<Claim> {
    let running = key.observed.choice?;
    let own = expectation.own_choice(&key.facts)?;
    let pair = |c: &Choice| (c.algorithm, c.protocol);
    let is_far = |a: u32, b: u32| a >= 2 * b || b >= 2 * a;
    let differs = pair(&running) != pair(&own)
        || running
            .channels
            .zip(own.channels)
            .is_some_and(|(a, b)| is_far(a, b));
    if !differs {
        return None;
    }
    let running_us = expectation.call_us(&key.facts, Some(running))?;
    let own_us = expectation.call_us(&key.facts, Some(own))?;
    Claim::new(
        Bottleneck::Misconfiguration,
        "expected time of the running choice over that of NCCL's own",
        running_us / own_us,
        Limit::AtLeast(OVERRULED),
        format!("{running} runs where NCCL by itself would choose {own}"),
    )
}

pub(super) fn late_rank(key: &KeyState) -> Option<Claim> {
    let late = key.signals.late_rank?;
    Claim::new(
        Bottleneck::Straggler,
        "share of a rank's time spent waiting for one rank",
        late.wait_share,
        Limit::AtLeast(WAITING),
        format!(
            "rank {} comes late: the others wait for it for {:.0} % of their time inside",
            late.rank,
            100.0 * late.wait_share
        ),
    )
}

/// Ranks wait, and for no one in particular.
pub(super) fn skew(key: &KeyState) -> Option<Claim> {
    let waiting = key.signals.wait_for_ranks?;
    if key.signals.late_rank.is_some() {
        return None;
    }
    Claim::new(
        Bottleneck::Skew,
        "share of a rank's time spent waiting for the last",
        waiting,
        Limit::AtLeast(WAITING),
        format!(
            "ranks wait for the last one for {:.0} % of their time inside, and no one rank is it",
            100.0 * waiting
        ),
    )
}

pub(super) fn contention(situation: &Situation, key: &KeyState) -> Option<Claim> {
    if !key.facts.overlapped {
        return None;
    }
    let slower = key.signals.beside_computation.and_then(|ratio| {
        Claim::new(
            Bottleneck::SmContention,
            "call time beside computation over alone",
            ratio,
            Limit::AtLeast(CONTENDED),
            format!("it takes {ratio:.2} times as long beside computation as alone"),
        )
    });
    let held = || {
        let channels = key.observed.choice?.channels?;
        let share = f64::from(channels) / f64::from(situation.cluster.gpu.sms.max(1));
        Claim::new(
            Bottleneck::SmContention,
            "share of the SMs held beside computation",
            share,
            Limit::AtLeast(SMS_HELD),
            format!(
                "{channels} channels hold {:.0} % of the SMs beside computation",
                100.0 * share
            ),
        )
    };
    slower.or_else(held)
}

/// The host side of the network, as transfers tell it.
pub(super) fn flush(key: &KeyState) -> Option<Claim> {
    let waits = key.signals.network_waits?;
    Claim::new(
        Bottleneck::ProxyCpu,
        "share of network time spent waiting for flushes",
        waits.recv_flush,
        Limit::AtLeast(NOTABLE_WAIT),
        format!(
            "receivers wait for the flush into the GPU's memory for {:.0} % of the network time",
            100.0 * waits.recv_flush
        ),
    )
}

pub(super) fn proxy(key: &KeyState, expectation: &Expectation) -> Option<Claim> {
    let running = key.observed.choice?;
    let share = expectation.proxy_share(&key.facts, Some(running))?;
    Claim::new(
        Bottleneck::ProxyCpu,
        "share of the call that serving its channels takes",
        share,
        Limit::AtLeast(PROXY),
        format!(
            "serving the channels of {running} one after the other should take {:.0} % of the call",
            100.0 * share
        ),
    )
}

/// Whether steps or bytes cost the time, and on which links. Transfers that wait for the GPU speak
/// against the network.
pub(super) fn bytes_or_latency(
    key: &KeyState,
    expectation: Option<&Expectation>,
) -> Vec<Option<Claim>> {
    let crosses_nodes = key.facts.key.shape.nodes > 1;
    let link = if crosses_nodes {
        Bottleneck::Network
    } else {
        Bottleneck::IntraNodeLink
    };
    if let Some(waits) = key.signals.network_waits.filter(|_| crosses_nodes) {
        let gpu = waits.send_gpu + waits.recv_gpu;
        let wire = waits.send + waits.recv + waits.send_peer;
        let share = gpu.max(wire);
        let (class, what) = if gpu > wire {
            (Bottleneck::IntraNodeLink, "the GPU")
        } else {
            (Bottleneck::Network, "the network or the peer")
        };
        let claim = Claim::new(
            class,
            "share of network time spent on one side",
            share,
            Limit::AtLeast(NOTABLE_WAIT),
            format!(
                "its transfers wait for {what} for {:.0} % of their time",
                100.0 * share
            ),
        );
        if claim.is_some() {
            return vec![claim];
        }
    }
    let share = expectation
        .zip(key.observed.choice)
        .and_then(|(e, running)| e.byte_share(&key.facts, Some(running)));
    let Some(share) = share else {
        return Vec::new();
    };
    let name = "share of the call's time that grows with its bytes";
    let because = format!("{:.0} % of its time grows with its bytes", 100.0 * share);
    let latency = Claim::new(
        Bottleneck::LatencyBound,
        name,
        share,
        Limit::AtMost(HALF + MIXED),
        because.clone(),
    );
    let bytes = Claim::new(link, name, share, Limit::AtLeast(HALF - MIXED), because);
    if share < HALF {
        vec![latency, bytes]
    } else {
        vec![bytes, latency]
    }
}
