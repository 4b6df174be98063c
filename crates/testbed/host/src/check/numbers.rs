//! Buffers whose right contents are known exactly: small integers, so that a sum of any ranks in any order
//! has no rounding.

use ccl_core::Collective;

/// What rank `rank` sends as its `element`-th number in call `call`.
pub fn sent(rank: u32, call: u64, element: usize) -> f32 {
    let mixed = element as u64 * 7 + u64::from(rank) * 13 + call * 31;
    #[allow(clippy::cast_precision_loss)] // below 64
    let value = (mixed % 61) as f32;
    value
}

/// A rank's whole send buffer.
pub fn send_buffer(rank: u32, call: u64, elements: usize) -> Vec<f32> {
    (0..elements)
        .map(|element| sent(rank, call, element))
        .collect()
}

/// Elements a rank sends and receives in a call of that many bytes, as nccl-tests counts them.
pub fn elements(collective: Collective, bytes: u64, ranks: u32) -> (usize, usize) {
    let all = usize::try_from(bytes / 4).unwrap_or(0);
    let part = all / ranks.max(1) as usize;
    match collective {
        Collective::AllGather => (part, part * ranks as usize),
        Collective::ReduceScatter => (part * ranks as usize, part),
        _ => (all, all),
    }
}

/// What rank `rank` must have received; `None` where its buffer is not written (Reduce, but for the
/// root).
pub fn expected(
    collective: Collective,
    (rank, ranks): (u32, u32),
    call: u64,
    elements: usize,
) -> Option<Vec<f32>> {
    let sum = |element: usize| {
        (0..ranks)
            .map(|rank| sent(rank, call, element))
            .sum::<f32>()
    };
    let all = 0..elements;
    match collective {
        Collective::Broadcast => Some(send_buffer(0, call, elements)),
        Collective::Reduce if rank != 0 => None,
        Collective::Reduce | Collective::AllReduce => Some(all.map(sum).collect()),
        Collective::ReduceScatter => {
            let first = rank as usize * elements;
            Some(all.map(|element| sum(first + element)).collect())
        }
        Collective::AllGather => {
            let part = elements / ranks.max(1) as usize;
            let of = |rank: u32| send_buffer(rank, call, part);
            Some((0..ranks).flat_map(of).collect())
        }
        Collective::AllToAll | Collective::SendRecv => None,
    }
}

/// How many numbers are wrong, bit for bit.
pub fn wrong(received: &[f32], expected: &[f32]) -> u64 {
    let pairs = received.iter().zip(expected);
    let differing = pairs.filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    (differing + received.len().abs_diff(expected.len())) as u64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const RANKS: u32 = 4;

    /// What NCCL does, in the plainest way.
    fn run(collective: Collective, call: u64, elements: usize) -> Vec<Vec<f32>> {
        let sends: Vec<Vec<f32>> = (0..RANKS).map(|r| send_buffer(r, call, elements)).collect();
        let sums: Vec<f32> = (0..elements)
            .map(|e| sends.iter().map(|s| s[e]).sum())
            .collect();
        (0..RANKS as usize)
            .map(|rank| match collective {
                Collective::Broadcast => sends[0].clone(),
                Collective::AllGather => sends.concat(),
                Collective::ReduceScatter => {
                    let part = elements / RANKS as usize;
                    sums[rank * part..(rank + 1) * part].to_vec()
                }
                _ => sums.clone(),
            })
            .collect()
    }

    #[test]
    fn right_results_are_right_and_wrong_ones_are_seen() {
        for collective in super::super::COLLECTIVES {
            let (send, receive) = elements(collective, 256, RANKS);
            for call in [0, 3, 1000] {
                let results = run(collective, call, send);
                for (rank, result) in (0..RANKS).zip(results) {
                    let expected = expected(collective, (rank, RANKS), call, receive);
                    let Some(expected) = expected else {
                        assert!(collective == Collective::Reduce && rank > 0);
                        continue;
                    };
                    assert_eq!(wrong(&result, &expected), 0, "{collective} {rank}");
                    let mut torn = result.clone();
                    torn[receive / 2] += 1.0;
                    assert_eq!(wrong(&torn, &expected), 1);
                    assert_eq!(wrong(&result[1..], &expected[1..]), 0);
                    assert!(wrong(&result[1..], &expected) > 0);
                    // Another call's, and nothing at all.
                    let stale = super::expected(collective, (rank, RANKS), call + 1, receive);
                    assert!(wrong(&stale.unwrap(), &expected) > 0);
                    assert!(wrong(&vec![0.0; receive], &expected) > 0);
                }
            }
        }
    }
}
