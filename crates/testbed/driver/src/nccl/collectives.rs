//! From the parts that channels have of a launch back to the collectives it runs.
//!
//! NCCL shares a collective out over channels: each gets a part of the buffer, and the parts lie end to
//! end. A launch of a group has the parts of several, which may be the same call twice, so the parts
//! are put together by where they begin and end. What does not add up is an error.

use ccl_stub::launch::Operation;

use super::functions::Function;
use super::layout::{Communicator, WorkElement, WorkHeader, WorkItem};
use super::work::{UnreadableWork, unreadable};

const THREADS_OF_WARP: u32 = 32;

/// The parts found so far, by call.
pub struct Collectives {
    ranks: u64,
    nodes: i32,
    calls: Vec<(Call, Vec<Part>)>,
}

/// What all parts of a collective have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    function: u16,
    send_buffer: u64,
    receive_buffer: u64,
    /// Elements of the whole.
    count: u64,
    root: u32,
    warps: u8,
    chunk_count: u64,
}

/// What one channel has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    channel: usize,
    /// Where it begins and ends in the buffer, elements.
    start: u64,
    end: u64,
}

impl Collectives {
    /// Nothing yet, of this communicator.
    pub fn of(communicator: &Communicator) -> Self {
        Self {
            ranks: u64::from(communicator.ranks.cast_unsigned()),
            nodes: communicator.nodes,
            calls: Vec::new(),
        }
    }

    /// Takes in a work item of a channel.
    pub fn add(&mut self, channel: usize, item: &WorkItem) -> Result<(), UnreadableWork> {
        let index = item.header.function;
        let function = Function::at(index)
            .ok_or_else(|| unreadable(format!("there is no function {index}")))?;
        // These count their parts in another way, in the same words.
        let between_nodes = function.algorithm == "NVLS" && self.nodes > 1;
        if function.algorithm.starts_with("COLLNET") || between_nodes {
            return Err(unreadable(format!("{function:?} is not read here")));
        }
        // SAFETY: which of the two it is is said by the kind, and both are plain data of the item.
        let elements: Vec<WorkElement> = unsafe {
            match item.header.kind {
                WorkHeader::COLLECTIVE => item.payload.elements.to_vec(),
                WorkHeader::REGISTERED_COLLECTIVE => {
                    let registered = item.payload.registered;
                    registered.iter().map(|both| both.element).collect()
                }
                WorkHeader::POINT_TO_POINT => {
                    return Err(unreadable("send and receive are not read here"));
                }
                kind => return Err(unreadable(format!("work of kind {kind}"))),
            }
        };
        for element in elements.iter().take_while(|element| element.is_used()) {
            self.add_element(channel, index, element);
        }
        Ok(())
    }

    fn add_element(&mut self, channel: usize, function: u16, element: &WorkElement) {
        let call = Call {
            function,
            send_buffer: element.send_buffer,
            receive_buffer: element.receive_buffer,
            count: element.count,
            root: element.root,
            warps: element.warps,
            chunk_count: element.chunk_count(),
        };
        let start = element.work_offset();
        let part = Part {
            channel,
            start,
            end: start + element.work_count(),
        };
        match self.calls.iter_mut().find(|(known, _)| *known == call) {
            Some((_, parts)) => parts.push(part),
            None => self.calls.push((call, vec![part])),
        }
    }

    /// Names of the kernels that NCCL launches for what was found.
    pub fn kernels(&self) -> Vec<String> {
        let functions = self
            .calls
            .iter()
            .filter_map(|(call, _)| Function::at(call.function));
        functions.map(|function| function.kernel()).collect()
    }

    /// The collectives, in the order in which the first channel meets them.
    pub fn operations(self) -> Result<Vec<Operation>, UnreadableWork> {
        let mut operations = Vec::new();
        for (call, parts) in self.calls {
            let operation = operation(&call, self.ranks)?;
            for channels in assemble(&call, parts)? {
                operations.push(Operation {
                    channels,
                    ..operation
                });
            }
        }
        Ok(operations)
    }
}

fn operation(call: &Call, ranks: u64) -> Result<Operation, UnreadableWork> {
    let function = Function::at(call.function);
    let ids = function.and_then(|function| {
        let collective = function.collective_id()?;
        Some((
            function,
            collective,
            function.algorithm_id()?,
            function.protocol_id()?,
        ))
    });
    let (function, collective, algorithm, protocol) =
        ids.ok_or_else(|| unreadable(format!("{function:?} is no collective")))?;
    let sharers = match function.collective {
        "AllGather" | "ReduceScatter" => ranks,
        _ => 1,
    };
    Ok(Operation {
        collective,
        algorithm,
        protocol,
        channels: 0,
        threads: u32::from(call.warps) * THREADS_OF_WARP,
        root: call.root,
        bytes: call.count * function.element_bytes() * sharers,
        chunk_bytes: call.chunk_count * function.element_bytes(),
    })
}

/// Lays parts end to end; of each whole, how many channels have a part of it. Where several parts
/// would fit, the one on the nearest later channel is NCCL's, which deals channel by channel.
fn assemble(call: &Call, mut parts: Vec<Part>) -> Result<Vec<u32>, UnreadableWork> {
    if call.count == 0 {
        return Err(unreadable(format!("nothing to do in {call:?}")));
    }
    let mut wholes = Vec::new();
    while !parts.is_empty() {
        let (mut end, mut channel, mut channels) = (0, 0, 0);
        while end < call.count {
            let fits = parts
                .iter()
                .enumerate()
                .filter(|(_, part)| part.start == end);
            let next = fits.min_by_key(|(_, part)| (part.channel < channel, part.channel));
            let Some((index, part)) = next.filter(|(_, part)| part.end > end) else {
                return Err(unreadable(format!(
                    "no channel has what begins at element {end} of {call:?}: {parts:?}"
                )));
            };
            (end, channel, channels) = (part.end, part.channel, channels + 1);
            parts.remove(index);
        }
        if end > call.count {
            return Err(unreadable(format!("parts up to element {end} of {call:?}")));
        }
        wholes.push(channels);
    }
    Ok(wholes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call = Call {
        function: 209,
        send_buffer: 1,
        receive_buffer: 2,
        count: 100,
        root: 0,
        warps: 16,
        chunk_count: 10,
    };

    fn parts(all: &[(usize, u64, u64)]) -> Vec<Part> {
        let part = |&(channel, start, end)| Part {
            channel,
            start,
            end,
        };
        all.iter().map(part).collect()
    }

    #[test]
    fn the_same_call_twice_is_two_wholes() {
        // Dealt one after the other, the second beginning on the channel where the first ends; both
        // have a part that begins at 40.
        let dealt = parts(&[
            (0, 0, 40),
            (1, 40, 80),
            (2, 80, 100),
            (2, 0, 20),
            (3, 20, 60),
            (4, 60, 100),
        ]);
        assert_eq!(assemble(&CALL, dealt), Ok(vec![3, 3]));
        let crossing = parts(&[
            (0, 0, 40),
            (1, 40, 100),
            (2, 0, 40),
            (3, 40, 70),
            (4, 70, 100),
        ]);
        assert_eq!(assemble(&CALL, crossing), Ok(vec![2, 3]));
        // A tuner's count: the same parts on other channels.
        let tuned = parts(&[(0, 0, 50), (1, 50, 100), (2, 0, 50), (3, 50, 100)]);
        assert_eq!(assemble(&CALL, tuned), Ok(vec![2, 2]));
    }

    #[test]
    fn parts_that_are_no_whole_are_an_error() {
        for wrong in [
            &[(0, 0, 40), (1, 40, 99)][..],
            &[(0, 0, 40), (1, 41, 100)],
            &[(0, 0, 101)],
            &[(0, 0, 100), (1, 50, 100)],
            &[(0, 0, 0)],
        ] {
            assert!(assemble(&CALL, parts(wrong)).is_err(), "{wrong:?}");
        }
    }
}
