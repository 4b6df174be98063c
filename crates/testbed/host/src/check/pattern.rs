//! What ranks put in, what has to come out, and how the two are compared: exactly.
//!
//! Elements are small whole numbers that depend on the rank, the call and the place, so that a part of
//! another rank, of another call or of another place does not pass for the right one. Sums of them are
//! exact in every type and any order: at most 7 from each of at most [`MOST_RANKS`] ranks is 224, and
//! bfloat16, which has the least room, holds whole numbers up to 256.

use ccl_core::Collective;

use crate::nccl::Datatype;

/// Most ranks of which sums are exact.
pub const MOST_RANKS: u32 = 32;
/// The root of Broadcast and Reduce.
const ROOT: u32 = 0;
/// What result buffers are filled with before: no element is that, and behind a result it stays.
pub const POISON: u8 = 0xee;
/// Bytes behind a result that must stay as they were.
pub const GUARD_BYTES: usize = 256;

/// One call, as its buffers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// The collective.
    pub collective: Collective,
    /// The type of the elements.
    pub datatype: Datatype,
    /// Elements as NCCL counts them: for AllGather and ReduceScatter one rank's part.
    pub count: usize,
    /// Ranks.
    pub ranks: u32,
    /// Which call it is.
    pub call: u64,
}

/// How a result differs from what it has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Elements that were compared.
    pub elements: u64,
    /// Those of them that were wrong.
    pub mismatches: u64,
    /// The first of them.
    pub first_mismatch: Option<u64>,
    /// Whether something behind the result was written to.
    pub is_overrun: bool,
}

/// The element of a rank at a place: 0 to 7.
fn element(rank: u32, call: u64, place: usize) -> u8 {
    let mixed = (place as u64)
        .wrapping_add(u64::from(rank) << 40)
        .wrapping_add(call.wrapping_mul(0x0001_0000_0001))
        .wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 61) as u8
}

/// A whole number of at most 224 as bytes of a type.
fn encode(datatype: Datatype, number: u8, bytes: &mut [u8]) {
    match datatype {
        Datatype::Uint8 => bytes.copy_from_slice(&[number]),
        Datatype::Int32 => bytes.copy_from_slice(&i32::from(number).to_le_bytes()),
        Datatype::Float32 => bytes.copy_from_slice(&f32::from(number).to_le_bytes()),
        Datatype::Float64 => bytes.copy_from_slice(&f64::from(number).to_le_bytes()),
        // The upper half of a float32; the lower is zero for numbers this small.
        Datatype::Bfloat16 => bytes.copy_from_slice(&f32::from(number).to_le_bytes()[2..]),
    }
}

impl Numbers {
    /// Elements a rank puts in.
    fn sent(&self, rank: u32) -> usize {
        match self.collective {
            Collective::ReduceScatter => self.count * self.ranks as usize,
            Collective::Broadcast if rank != ROOT => 0,
            _ => self.count,
        }
    }

    /// Elements that a rank has to get.
    fn received(&self, rank: u32) -> usize {
        match self.collective {
            Collective::AllGather => self.count * self.ranks as usize,
            // What others than the root find in their buffer is not said.
            Collective::Reduce if rank != ROOT => 0,
            _ => self.count,
        }
    }

    /// Bytes that a rank gets.
    pub fn received_bytes(&self, rank: u32) -> usize {
        self.received(rank) * self.datatype.bytes()
    }

    /// Bytes that either of a rank's buffers has to have room for.
    pub fn buffer_bytes(&self) -> usize {
        let parts = match self.collective {
            Collective::AllGather | Collective::ReduceScatter => self.ranks as usize,
            _ => 1,
        };
        self.count * parts * self.datatype.bytes()
    }

    /// What a rank puts in.
    pub fn input(&self, rank: u32) -> Vec<u8> {
        let mut bytes = vec![0; self.sent(rank) * self.datatype.bytes()];
        for (place, slot) in bytes.chunks_exact_mut(self.datatype.bytes()).enumerate() {
            encode(self.datatype, element(rank, self.call, place), slot);
        }
        bytes
    }

    /// The number that has to be at a place of a rank's result.
    fn expected(&self, rank: u32, place: usize) -> u8 {
        let sum = |place| {
            (0..self.ranks)
                .map(|from| element(from, self.call, place))
                .sum()
        };
        match self.collective {
            Collective::AllGather => {
                let from = u32::try_from(place / self.count).unwrap_or(u32::MAX);
                element(from, self.call, place % self.count)
            }
            Collective::ReduceScatter => sum(rank as usize * self.count + place),
            Collective::Broadcast => element(ROOT, self.call, place),
            _ => sum(place),
        }
    }

    /// Compares a rank's result, with what lies behind it, element by element.
    pub fn compare(&self, rank: u32, result: &[u8]) -> Comparison {
        let width = self.datatype.bytes();
        let (result, behind) = result.split_at(self.received_bytes(rank).min(result.len()));
        let mut comparison = Comparison {
            elements: self.received(rank) as u64,
            // Elements that are not there are wrong.
            mismatches: (self.received(rank) - result.len() / width) as u64,
            first_mismatch: None,
            is_overrun: behind.iter().any(|byte| *byte != POISON),
        };
        let mut wanted = [0; 8];
        for (place, slot) in result.chunks_exact(width).enumerate() {
            encode(
                self.datatype,
                self.expected(rank, place),
                &mut wanted[..width],
            );
            if *slot != wanted[..width] {
                comparison.mismatches += 1;
                comparison.first_mismatch.get_or_insert(place as u64);
            }
        }
        comparison
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLLECTIVES: [Collective; 5] = [
        Collective::AllReduce,
        Collective::AllGather,
        Collective::ReduceScatter,
        Collective::Broadcast,
        Collective::Reduce,
    ];

    fn decode(datatype: Datatype, bytes: &[u8]) -> f64 {
        match datatype {
            Datatype::Uint8 => f64::from(bytes[0]),
            Datatype::Int32 => f64::from(i32::from_le_bytes(bytes.try_into().unwrap())),
            Datatype::Float32 => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
            Datatype::Float64 => f64::from_le_bytes(bytes.try_into().unwrap()),
            Datatype::Bfloat16 => f64::from(f32::from_le_bytes([0, 0, bytes[0], bytes[1]])),
        }
    }

    /// The collective, computed from the inputs in floating point, independently of [`Numbers::expected`].
    fn computed(numbers: &Numbers, rank: u32) -> Vec<f64> {
        let inputs: Vec<Vec<f64>> = (0..numbers.ranks)
            .map(|from| {
                let bytes = numbers.input(from);
                let each = bytes.chunks_exact(numbers.datatype.bytes());
                each.map(|slot| decode(numbers.datatype, slot)).collect()
            })
            .collect();
        let sum: Vec<f64> = (0..inputs[0].len())
            .map(|place| inputs.iter().filter_map(|input| input.get(place)).sum())
            .collect();
        match numbers.collective {
            Collective::AllGather => inputs.concat(),
            Collective::Broadcast => inputs[0].clone(),
            Collective::ReduceScatter => {
                sum[rank as usize * numbers.count..][..numbers.count].to_vec()
            }
            Collective::Reduce if rank != 0 => Vec::new(),
            _ => sum,
        }
    }

    fn buffer(numbers: &Numbers, rank: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in computed(numbers, rank) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            match numbers.datatype {
                Datatype::Uint8 => bytes.push(number as u8),
                Datatype::Int32 => bytes.extend((number as i32).to_le_bytes()),
                Datatype::Float32 => bytes.extend((number as f32).to_le_bytes()),
                Datatype::Float64 => bytes.extend(number.to_le_bytes()),
                Datatype::Bfloat16 => bytes.extend(&(number as f32).to_le_bytes()[2..]),
            }
        }
        bytes.extend([POISON; GUARD_BYTES]);
        bytes
    }

    fn all() -> impl Iterator<Item = Numbers> {
        let each = COLLECTIVES
            .into_iter()
            .flat_map(|c| Datatype::ALL.map(|d| (c, d)));
        each.flat_map(|(collective, datatype)| {
            [2, 4, MOST_RANKS].map(|ranks| Numbers {
                collective,
                datatype,
                count: 96,
                ranks,
                call: 7,
            })
        })
    }

    #[test]
    fn right_results_are_right_in_every_type() {
        for numbers in all() {
            for rank in [0, 1, numbers.ranks - 1] {
                let comparison = numbers.compare(rank, &buffer(&numbers, rank));
                let is_silent = numbers.collective == Collective::Reduce && rank > 0;
                assert_eq!(comparison.elements == 0, is_silent, "{numbers:?}");
                let right = Comparison {
                    elements: comparison.elements,
                    ..Comparison::default()
                };
                assert_eq!(comparison, right, "{numbers:?} rank {rank}");
            }
        }
    }

    #[test]
    fn wrong_results_are_counted_and_placed() {
        for numbers in all() {
            let width = numbers.datatype.bytes();
            let right = buffer(&numbers, 0);
            // One bit of one element.
            let mut flipped = right.clone();
            flipped[5 * width + width - 1] ^= 1;
            let comparison = numbers.compare(0, &flipped);
            assert_eq!(
                (comparison.mismatches, comparison.first_mismatch),
                (1, Some(5)),
                "{numbers:?}"
            );
            // Nothing was written, or not all.
            let untouched = vec![POISON; right.len()];
            let comparison = numbers.compare(0, &untouched);
            assert_eq!(comparison.mismatches, comparison.elements, "{numbers:?}");
            let short = numbers.compare(0, &right[..3 * width]);
            assert_eq!(short.mismatches, short.elements - 3, "{numbers:?}");
            // Something behind it was.
            let mut over = right.clone();
            let last = over.len() - 1;
            over[last] = 0;
            let comparison = numbers.compare(0, &over);
            assert!(comparison.is_overrun && comparison.mismatches == 0);
        }
    }

    #[test]
    fn what_belongs_to_another_call_rank_or_place_is_wrong() {
        for numbers in all() {
            let right = buffer(&numbers, 0);
            let elements = numbers.received(0) as u64;
            let most = |result: &[u8]| numbers.compare(0, result).mismatches * 2 > elements;
            let other_call = Numbers { call: 8, ..numbers };
            assert!(most(&buffer(&other_call, 0)), "{numbers:?}");
            let mut shifted = right.clone();
            shifted.rotate_left(numbers.datatype.bytes());
            assert!(most(&shifted), "{numbers:?}");
            if numbers.collective == Collective::ReduceScatter {
                assert!(most(&buffer(&numbers, 1)), "{numbers:?}");
            }
            // A sum that lacks a rank.
            if numbers.collective == Collective::AllReduce {
                let fewer = Numbers {
                    ranks: numbers.ranks - 1,
                    ..numbers
                };
                assert!(most(&buffer(&fewer, 0)), "{numbers:?}");
            }
        }
    }
}
