//! Reads what a launch is to run out of NCCL's work queue, as its kernel would, and acknowledges the
//! queue as its kernel would: without that NCCL waits for ever once the queue has gone round.

use std::ffi::{CStr, c_void};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use ccl_stub::launch::Operation;

use super::collectives::Collectives;
use super::layout::{CHANNELS, Communicator, CommunicatorAndChannels, WorkItem};
use crate::memory;

/// More items than NCCL's queue holds: whoever walks as far is lost.
const MOST_ITEMS: usize = 1 << 16;

/// What is launched.
#[derive(Debug)]
pub struct Work {
    /// Address of the communicator's device side.
    pub communicator: usize,
    pub rank: i32,
    pub ranks: i32,
    pub nodes: i32,
    pub operations: Vec<Operation>,
}

/// A launch that is not what NCCL 2.21.5 launches, as far as is known here.
#[derive(Debug, PartialEq, Eq)]
pub struct UnreadableWork(String);

impl fmt::Display for UnreadableWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this launch is not one of NCCL 2.21.5: {}", self.0)
    }
}

impl std::error::Error for UnreadableWork {}

pub fn unreadable(what: impl Into<String>) -> UnreadableWork {
    UnreadableWork(what.into())
}

/// The parameters of every NCCL kernel.
pub struct Arguments {
    communicator: usize,
    channel_mask: u64,
    first_item: usize,
}

impl Arguments {
    /// Reads them.
    ///
    /// # Safety
    /// `parameters` leads to three pointers to eight bytes each, as the kernels' signature has it.
    pub unsafe fn of(parameters: *const *const c_void) -> Self {
        // SAFETY: as the caller promises.
        let word =
            |index: usize| unsafe { (*parameters.add(index)).cast::<u64>().read_unaligned() };
        let address = |index| usize::try_from(word(index)).unwrap_or(0);
        Self {
            communicator: address(0),
            channel_mask: word(1),
            first_item: address(2),
        }
    }
}

/// The kernel's name without the compiler's decoration.
fn plain(kernel: &CStr) -> Option<&str> {
    let text = kernel.to_str().ok()?;
    let start = text.find("ncclDevKernel_")?;
    let end = text.find("P11ncclDevComm").unwrap_or(text.len());
    text.get(start..end)
}

/// Whether a kernel is one of NCCL's.
pub fn check_kernel(kernel: &CStr) -> Result<(), UnreadableWork> {
    match plain(kernel) {
        Some(_) => Ok(()),
        None => Err(unreadable(format!(
            "its kernel is {}",
            kernel.to_string_lossy()
        ))),
    }
}

/// Reads and acknowledges the work of a launch.
pub fn read(
    arguments: &Arguments,
    thread_blocks: u32,
    kernel: &CStr,
) -> Result<Work, UnreadableWork> {
    let address = arguments.communicator;
    if !memory::holds(address, size_of::<CommunicatorAndChannels>()) {
        return Err(unreadable("the communicator is not in device memory"));
    }
    // SAFETY: the memory is there, as was just checked, and NCCL writes it before it launches.
    let both = unsafe { &*(address as *const CommunicatorAndChannels) };
    let communicator = both.communicator;
    check(&communicator, both)?;
    if arguments.channel_mask.count_ones() != thread_blocks {
        return Err(unreadable(format!(
            "{thread_blocks} thread blocks for the channels {:#x}",
            arguments.channel_mask
        )));
    }
    let channels = (0..CHANNELS).filter(|channel| arguments.channel_mask >> channel & 1 == 1);
    let mut found = Collectives::of(&communicator);
    for (block, channel) in channels.enumerate() {
        let acknowledgement = walk(arguments.first_item, block, &mut |item| {
            found.add(channel, item)
        })?;
        if let Some(value) = acknowledgement {
            let place = both.channels[channel].work_done;
            if !memory::holds(place as usize, size_of::<u32>()) {
                return Err(unreadable(format!(
                    "channel {channel} has no place for acknowledgements"
                )));
            }
            // SAFETY: the memory is there, and NCCL reads it with atomic loads.
            unsafe { AtomicU32::from_ptr(place) }.store(value, Ordering::Release);
        }
    }
    let runs = found.kernels();
    if !runs.iter().any(|name| Some(name.as_str()) == plain(kernel)) {
        return Err(unreadable(format!(
            "the kernel {} is not one for {runs:?}",
            kernel.to_string_lossy(),
        )));
    }
    Ok(Work {
        communicator: address,
        rank: communicator.rank,
        ranks: communicator.ranks,
        nodes: communicator.nodes,
        operations: found.operations()?,
    })
}

/// What holds of every communicator, to notice a layout that is not the expected one.
fn check(
    communicator: &Communicator,
    both: &CommunicatorAndChannels,
) -> Result<(), UnreadableWork> {
    let Communicator {
        rank,
        ranks,
        node,
        nodes,
        channels,
        ..
    } = *communicator;
    let holds = (0..ranks).contains(&rank)
        && (0..nodes).contains(&node)
        && nodes <= ranks
        && channels == both.channels.as_ptr();
    holds.then_some(()).ok_or_else(|| {
        unreadable(format!(
            "rank {rank} of {ranks} on node {node} of {nodes} is no communicator"
        ))
    })
}

/// Walks the items of one thread block; what to acknowledge at the end.
fn walk(
    first_item: usize,
    block: usize,
    what: &mut impl FnMut(&WorkItem) -> Result<(), UnreadableWork>,
) -> Result<Option<u32>, UnreadableWork> {
    let mut address = first_item + block * size_of::<WorkItem>();
    for _ in 0..MOST_ITEMS {
        if !memory::holds(address, size_of::<WorkItem>()) {
            return Err(unreadable("the work is not in memory of the driver"));
        }
        // SAFETY: the memory is there, as was just checked, and NCCL writes it before it launches.
        let item = unsafe { std::ptr::read(address as *const WorkItem) };
        what(&item)?;
        let word = item.header.next_or_acknowledgement;
        if item.header.is_last() {
            return Ok(item.header.is_in_queue().then_some(word.cast_unsigned()));
        }
        let distance = word as isize * size_of::<WorkItem>().cast_signed();
        address = first_item.wrapping_add_signed(distance);
    }
    Err(unreadable("the work has no end"))
}

#[cfg(test)]
mod tests;
