//! What a key shows beyond its call time, where somebody can tell.
//!
//! Every field may be unknown, and what is unknown stays so: nothing is concluded from a figure
//! that nobody has.

use ccl_core::Collective;
use ccl_search::median;

use crate::observe::row::WaitShares;

/// Ranks of a call below which nothing is said about who waits for whom.
const FEWEST_RANKS: usize = 2;

/// A rank the others wait for in most calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LateRank {
    /// Its rank in the communicator.
    pub rank: u32,
    /// How much of its time inside the typical rank waits for it, 0..=1.
    pub wait_share: f64,
}

/// What is known of a key's calls under untuned NCCL besides their time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    /// How much of its time inside a call the typical rank waits for the last one, whichever that is,
    /// 0..=1.
    pub wait_for_ranks: Option<f64>,
    /// The rank that is last in most calls; `None` also where ranks were watched and none was.
    pub late_rank: Option<LateRank>,
    /// Where the time of the network transfers went.
    pub network_waits: Option<WaitShares>,
    /// The slowest hundredth of the calls over the median.
    pub tail_ratio: Option<f64>,
    /// Spread of the call time from iteration to iteration: robust standard deviation over median.
    pub iteration_spread: Option<f64>,
    /// Call time in the job over call time outside it, where computation runs beside it in the job.
    pub beside_computation: Option<f64>,
}

impl Signals {
    /// What is known, in a sentence; `None` where nothing is.
    pub fn statement(&self) -> Option<String> {
        let mut known = Vec::new();
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        if let Some(share) = self.wait_for_ranks {
            known.push(format!(
                "the typical rank waits for the last one for {} of its time inside",
                percent(share)
            ));
        }
        if let Some(late) = self.late_rank {
            known.push(format!(
                "rank {} is the last in most calls and costs the others {} of theirs",
                late.rank,
                percent(late.wait_share)
            ));
        }
        if let Some(waits) = self.network_waits {
            let shares = waits.by_size().into_iter().take(2);
            let shares: Vec<_> = shares
                .map(|(word, s)| format!("{word} {}", percent(s)))
                .collect();
            known.push(format!("its network transfers wait: {}", shares.join(", ")));
        }
        if let Some(ratio) = self.tail_ratio {
            known.push(format!(
                "the slowest hundredth takes {ratio:.1} times the median"
            ));
        }
        if let Some(spread) = self.iteration_spread {
            known.push(format!(
                "it varies by {:.1} % between iterations",
                100.0 * spread
            ));
        }
        if let Some(ratio) = self.beside_computation {
            known.push(format!(
                "beside computation it takes {ratio:.2} times as long as alone"
            ));
        }
        (!known.is_empty()).then(|| known.join("; "))
    }
}

/// How much of its time inside the typical rank waits for the last one, from the durations of
/// calls on all ranks that were seen: the one that comes last is inside for the shortest time.
/// Nothing for collectives whose ranks may leave before all have come.
pub fn wait_for_ranks(collective: Collective, calls: &[Vec<f64>]) -> Option<f64> {
    use Collective::{AllGather, AllReduce, ReduceScatter};
    if !matches!(collective, AllGather | AllReduce | ReduceScatter) {
        return None;
    }
    let shares: Vec<f64> = calls
        .iter()
        .filter(|ranks| ranks.len() >= FEWEST_RANKS)
        .filter_map(|ranks| {
            let typical = median(ranks).filter(|us| *us > 0.0)?;
            let shortest = ranks.iter().copied().fold(typical, f64::min);
            Some(1.0 - shortest / typical)
        })
        .collect();
    median(&shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_that_come_together_wait_for_nobody() {
        let together = vec![vec![100.0; 8]; 4];
        let last = vec![
            vec![40.0, 100.0, 100.0, 100.0],
            vec![100.0, 100.0, 40.0, 100.0],
        ];
        let waits = |calls: &[Vec<f64>]| wait_for_ranks(Collective::AllReduce, calls);
        assert_eq!(waits(&together), Some(0.0));
        assert!((waits(&last).unwrap() - 0.6).abs() < 1e-12);
        assert_eq!(waits(&[vec![100.0]]), None, "one rank says nothing");
        assert_eq!(wait_for_ranks(Collective::Broadcast, &last), None);
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        assert_eq!(Signals::default().statement(), None);
    }
}
