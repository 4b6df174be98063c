//! The calls that ranks make over and over, and the orders that are given meanwhile.

use ccl_abi::shared::{Presence, Rule};
use ccl_core::{Algorithm, Collective, Protocol};
use serde::{Deserialize, Serialize};

use crate::nccl::Datatype;

/// The collectives that NCCL asks a tuner about.
pub const COLLECTIVES: [Collective; 5] = [
    Collective::AllReduce,
    Collective::AllGather,
    Collective::ReduceScatter,
    Collective::Broadcast,
    Collective::Reduce,
];
/// Channels of one pair's orders, in turn; 0 leaves them to NCCL. The largest is more than a
/// communicator over one socket has, so that NCCL has something to cut.
const CHANNELS: [u8; 4] = [1, 2, 16, 0];
/// Protocols of NCCL; pairs are numbered `algorithm * PROTOCOLS + protocol`.
const PROTOCOLS: u8 = 3;
const PAIRS: u8 = 7 * PROTOCOLS;

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// The collective.
    pub collective: Collective,
    /// Bytes, as NCCL tells a tuner.
    pub bytes: u64,
    /// The type of the elements.
    pub datatype: Datatype,
}

impl Cell {
    /// Elements as NCCL counts them, for so many ranks.
    pub fn count(&self, ranks: u32) -> u64 {
        let sharers = match self.collective {
            Collective::AllGather | Collective::ReduceScatter => u64::from(ranks),
            _ => 1,
        };
        self.bytes / self.datatype.bytes() as u64 / sharers
    }
}

/// Every collective with every size, whole elements for all ranks; types change with both.
pub fn cells(sizes: &[u64], ranks: u32) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (row, size) in sizes.iter().enumerate() {
        for (column, collective) in COLLECTIVES.into_iter().enumerate() {
            let datatype = Datatype::ALL[(row + column) % Datatype::ALL.len()];
            let whole = datatype.bytes() as u64 * u64::from(ranks);
            cells.push(Cell {
                collective,
                bytes: size / whole * whole,
                datatype,
            });
        }
    }
    cells
}

/// What is ordered from some call on: a pair where it is legal, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Name of it, for people.
    pub name: String,
    /// The rules; none leaves everything to NCCL.
    pub rules: Vec<Rule>,
}

/// The pairs of a collective that no rank says NCCL cannot run, as bits.
fn legal(collective: u8, ranks: &[Presence]) -> u32 {
    let all = (1 << PAIRS) - 1;
    ranks.iter().fold(all, |legal, rank| {
        let impossible = rank
            .impossible
            .get(usize::from(collective))
            .copied()
            .flatten();
        // Where a rank has not been asked, nothing is known to be possible.
        impossible.map_or(0, |impossible| legal & !impossible)
    })
}

/// Orders that pass from each legal pair to each other, and to and from NCCL's own choice, once each:
/// with `n` of them `n * (n - 1)` switches. The first and the last are NCCL's own choice. Channels of
/// a pair change from visit to visit.
pub fn orders(ranks: &[Presence]) -> Vec<Order> {
    let ids = COLLECTIVES.map(|c| c.nccl_id().and_then(|id| u8::try_from(id).ok()));
    let legal: Vec<(u8, u32)> = ids
        .into_iter()
        .flatten()
        .map(|id| (id, legal(id, ranks)))
        .collect();
    let pairs: Vec<u8> = (0..PAIRS)
        .filter(|pair| legal.iter().any(|(_, pairs)| pairs & (1 << pair) != 0))
        .collect();
    let mut visits = vec![0; pairs.len()];
    let mut next = |node: usize| {
        let Some((index, &pair)) = node
            .checked_sub(1)
            .and_then(|index| Some((index, pairs.get(index)?)))
        else {
            return Order {
                name: "NCCL's own".to_owned(),
                rules: Vec::new(),
            };
        };
        let channels = CHANNELS[visits[index] % CHANNELS.len()];
        visits[index] += 1;
        let rules = legal
            .iter()
            .filter(|(_, pairs)| pairs & (1 << pair) != 0)
            .map(|(collective, _)| Rule {
                collective: *collective,
                min_bytes: 0,
                max_bytes: u64::MAX,
                algorithm: pair / PROTOCOLS,
                protocol: pair % PROTOCOLS,
                channels,
                chunk_bytes: 0,
            });
        Order {
            name: name(pair / PROTOCOLS, pair % PROTOCOLS, channels),
            rules: rules.collect(),
        }
    };
    walk(pairs.len() + 1).into_iter().map(&mut next).collect()
}

/// A walk through `nodes` nodes that takes each way from one to another once and ends where it begins.
fn walk(nodes: usize) -> Vec<usize> {
    fn from(node: usize, nodes: usize, steps: &mut Vec<usize>) {
        steps.push(node);
        for other in node + 1..nodes {
            if other == node + 1 {
                from(other, nodes, steps);
            } else {
                steps.push(other);
            }
            steps.push(node);
        }
    }
    let mut steps = Vec::new();
    if nodes > 0 {
        from(0, nodes, &mut steps);
    }
    steps
}

/// A choice in NCCL's words.
pub fn name(algorithm: u8, protocol: u8, channels: u8) -> String {
    let algorithm = Algorithm::ALL
        .into_iter()
        .find(|a| a.nccl_id() == u32::from(algorithm))
        .map_or("?", Algorithm::name);
    let protocol = Protocol::ALL
        .into_iter()
        .find(|p| p.nccl_id() == u32::from(protocol))
        .map_or("?", Protocol::name);
    match channels {
        0 => format!("{algorithm} {protocol}"),
        channels => format!("{algorithm} {protocol} {channels}ch"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ccl_abi::shared::Process;

    use super::*;

    #[test]
    fn a_walk_takes_every_way_once() {
        for nodes in 0..9 {
            let steps = walk(nodes);
            let ways: Vec<_> = steps.windows(2).map(|way| (way[0], way[1])).collect();
            let different: BTreeSet<_> = ways.iter().copied().collect();
            assert_eq!(ways.len(), nodes * nodes.saturating_sub(1));
            assert_eq!(different.len(), ways.len());
            assert!(ways.iter().all(|(from, to)| from != to));
        }
    }

    #[test]
    fn cells_are_whole_elements_and_types_meet_every_collective() {
        let cells = cells(&[1 << 10, 3 << 10, 1 << 16, 1 << 20, 1 << 24], 3);
        assert_eq!(cells.len(), 25);
        let kinds: BTreeSet<_> = cells.iter().map(|c| (c.collective, c.datatype)).collect();
        assert_eq!(kinds.len(), 25);
        for cell in cells {
            let parts = match cell.collective {
                Collective::AllGather | Collective::ReduceScatter => 3,
                _ => 1,
            };
            let bytes = cell.count(3) * cell.datatype.bytes() as u64 * parts;
            assert!(bytes == cell.bytes && bytes > 0, "{cell:?}");
        }
    }

    #[test]
    fn only_what_is_legal_on_all_ranks_is_ordered() {
        // Tree for AllReduce only, and one rank without Ring LL128.
        let presence = |all_reduce: u32, others: u32| Presence {
            process: Process { pid: 1, started: 1 },
            calls: 25,
            has_left: false,
            declined: 0,
            impossible: [others, others, others, others, all_reduce].map(Some),
        };
        let ring_and_tree = !0b11_1111;
        let ring = !0b11_1000;
        let ranks = [
            presence(ring_and_tree, ring),
            presence(ring_and_tree | 1 << 4, ring | 1 << 4),
        ];
        let orders = orders(&ranks);
        // Three of Tree, two of Ring, and NCCL's own.
        assert_eq!(orders.len(), 6 * 5 + 1);
        for rule in orders.iter().flat_map(|order| &order.rules) {
            assert!(rule.algorithm == 1 || rule.collective == 4, "{rule:?}");
            assert!((rule.algorithm, rule.protocol) != (1, 1), "{rule:?}");
        }
        let channels: BTreeSet<u8> = orders
            .iter()
            .flat_map(|order| &order.rules)
            .map(|rule| rule.channels)
            .collect();
        assert_eq!(channels, BTreeSet::from(CHANNELS));
        let unasked = Presence {
            impossible: [None; 5],
            ..ranks[0]
        };
        let none = super::orders(&[ranks[0], unasked]);
        assert_eq!(none.len(), 1);
    }
}
