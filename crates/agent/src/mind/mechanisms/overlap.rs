//! Beside computation: a call that takes less of the GPU may be worth more than a faster one.

use ccl_core::{Algorithm, Bottleneck, Protocol, format_bytes};

use super::channels::scaled;
use super::{Mechanism, Proposal};

pub(super) const SM_CONTENTION: Mechanism = Mechanism {
    name: "sm-contention",
    speaks_to: &[Bottleneck::SmContention],
    explains: "Channels are thread blocks: beside computation they take its SMs, so a faster \
               call can make a slower iteration.",
    source: "AutoCCL (NSDI 2025) section 2 and figure 10; NCCL_MAX_CTAS documentation",
    risk: "the call itself becomes slower and may no longer hide behind the computation",
    refuted_by: "iteration time does not fall when channels fall",
    propose: |view| {
        if !view.key.facts.overlapped {
            return None;
        }
        let (now, to) = scaled(view, 0.5).filter(|(now, _)| *now >= 8)?;
        let share = 100.0 * f64::from(now) / f64::from(view.cluster.gpu.sms.max(1));
        let choice = view.running_as_rule().with_channels(to);
        let because = format!(
            "{now} channels hold {share:.0} % of the {} SMs while computation runs beside \
                 the call; {to} leave it more",
            view.cluster.gpu.sms
        );
        Some(Proposal::per_call(choice, because, [0.9, 1.3]))
    },
};

pub(super) const SWITCH_FREES_SMS: Mechanism = Mechanism {
    name: "switch-frees-sms",
    speaks_to: &[Bottleneck::SmContention],
    explains: "A switch that reduces and multicasts does the work of thread blocks: NVLink SHARP fills \
               the links with a few channels and leaves the SMs to computation.",
    source: "NVIDIA, Enabling Fast Inference and Resilient Training with NCCL 2.27 (2025): SHARP takes 6 \
             SMs where rings take 16 and more",
    risk: "slow to start; fewer channels than the switch needs on older machines",
    refuted_by: "iteration time does not fall with NVLS on few channels",
    propose: |view| {
        let switched = matches!(
            view.running.algorithm,
            Algorithm::Nvls | Algorithm::NvlsTree
        );
        if !view.key.facts.overlapped || switched || view.bytes() < 16 << 20 {
            return None;
        }
        let now = view.running.channels.filter(|n| *n >= 8)?;
        let algorithm = if view.crosses_nodes() {
            Algorithm::NvlsTree
        } else {
            Algorithm::Nvls
        };
        let pair = view.pair(algorithm, Protocol::Simple)?;
        let choice = match view.channels_at_most(8) {
            Some(few) => pair.with_channels(few),
            None => pair,
        };
        let because = format!(
            "{now} channels of {} beside computation; the switch needs fewer for {}",
            view.running.algorithm,
            format_bytes(view.bytes())
        );
        Some(Proposal::per_call(choice, because, [0.8, 1.2]))
    },
};

pub(super) const FLAGS_COST_MEMORY: Mechanism = Mechanism {
    name: "flags-cost-memory",
    speaks_to: &[Bottleneck::SmContention],
    explains: "LL writes and reads twice the bytes through the GPU's memory, which computation beside it \
               wants as well; Simple moves them once.",
    source: "NCCL src/device/prims_ll.h (4 bytes of flag for 4 of data); memory contention of AutoCCL \
             (NSDI 2025) section 2",
    risk: "more latency per call",
    refuted_by: "iteration time does not fall with Simple",
    propose: |view| {
        let ll = view.running.protocol == Protocol::Ll;
        if !view.key.facts.overlapped || !ll || view.bytes() < 128 << 10 {
            return None;
        }
        let choice = view.pair(view.running.algorithm, Protocol::Simple)?;
        let because = format!(
            "{} with LL beside computation is {} through memory",
            format_bytes(view.bytes()),
            format_bytes(2 * view.bytes())
        );
        Some(Proposal::per_call(choice, because, [0.8, 1.2]))
    },
};

pub(super) const FEWER_LARGER_CHUNKS: Mechanism = Mechanism {
    name: "fewer-larger-chunks",
    speaks_to: &[Bottleneck::SmContention],
    explains: "Half the channels with twice the chunk keep as many bytes in flight on half the SMs: the \
               call loses little where the links and not the thread blocks limit it.",
    source: "AutoCCL (NSDI 2025) section 4: channels and chunk act together through the bytes in flight",
    risk: "thread blocks may be the limit after all, and then the call takes twice as long",
    refuted_by: "iteration time does not fall",
    propose: |view| {
        if !view.key.facts.overlapped || view.running.protocol != Protocol::Simple {
            return None;
        }
        let chunk = view.running.chunk_bytes?;
        let (now, to) = scaled(view, 0.5).filter(|(now, _)| *now >= 8)?;
        let larger = view.chunk_near(2 * chunk).filter(|n| *n > chunk)?;
        let because = format!(
            "{now} channels with {} in flight each; {to} with {} hold fewer SMs",
            format_bytes(chunk),
            format_bytes(larger)
        );
        let choice = view
            .running_as_rule()
            .with_channels(to)
            .with_chunk_bytes(larger);
        Some(Proposal::per_call(choice, because, [0.9, 1.3]))
    },
};
