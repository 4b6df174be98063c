//! A launch made by hand, and the same with one thing wrong at a time.

#![allow(clippy::unwrap_used)]

use super::super::layout::{Channel, WorkElement, WorkHeader};
use super::*;
use crate::{context, memory};

const KERNEL: &CStr = c"_Z39ncclDevKernel_AllReduce_Sum_f32_RING_LLP11ncclDevCommmP8ncclWork";
/// AllReduce Sum f32 RING LL.
const FUNCTION: u16 = 209;

/// Two channels, 0 and 3, that reduce 100 elements on rank 2 of 8.
struct ByHand {
    arguments: Arguments,
    items: *mut WorkItem,
    acknowledged: *mut u32,
}

impl ByHand {
    fn new() -> Self {
        context::tests::on_device(0);
        let room = |bytes| memory::allocate(bytes, false).unwrap();
        let both = room(size_of::<CommunicatorAndChannels>()) as *mut CommunicatorAndChannels;
        let items = room(2 * size_of::<WorkItem>()) as *mut WorkItem;
        let acknowledged = room(CHANNELS * size_of::<u32>()) as *mut u32;
        // SAFETY: fresh memory of these sizes, all zeros, which is valid for all that is in there.
        unsafe {
            let communicator = &mut (*both).communicator;
            (communicator.rank, communicator.ranks) = (2, 8);
            (communicator.node, communicator.nodes) = (0, 1);
            communicator.channels = (&raw const (*both).channels).cast::<Channel>();
            for (block, channel) in [0, 3].into_iter().enumerate() {
                (*both).channels[channel].work_done = acknowledged.add(channel);
                let item = &mut *items.add(block);
                item.header = WorkHeader {
                    next_or_acknowledgement: 40 + channel as i32,
                    function: FUNCTION,
                    flags: 3,
                    kind: WorkHeader::COLLECTIVE,
                };
                let element: &mut WorkElement = &mut item.payload.elements[0];
                element.flags = 1;
                element.warps = 16;
                element.count = 100;
                element.chunk_and_work_count = 50 << 25 | 32;
                element.last_chunk_and_offset = (50 * block as u64) << 25;
            }
        }
        Self {
            arguments: Arguments {
                communicator: both as usize,
                channel_mask: 0b1001,
                first_item: items as usize,
            },
            items,
            acknowledged,
        }
    }

    fn item(&mut self, block: usize) -> &mut WorkItem {
        // SAFETY: one of the two items, which nobody else holds.
        unsafe { &mut *self.items.add(block) }
    }

    fn read(&self) -> Result<Work, UnreadableWork> {
        read(&self.arguments, 2, KERNEL)
    }
}

#[test]
fn a_launch_is_read_and_acknowledged() {
    let launch = ByHand::new();
    let work = launch.read().unwrap();
    assert_eq!((work.rank, work.ranks, work.nodes), (2, 8, 1));
    let [operation] = work.operations[..] else {
        unreachable!("{:?}", work.operations);
    };
    let expected = Operation {
        collective: 4,
        algorithm: 1,
        protocol: 0,
        channels: 2,
        threads: 512,
        root: 0,
        bytes: 400,
        chunk_bytes: 128,
    };
    assert_eq!(operation, expected);
    // SAFETY: one word per channel.
    let acknowledged = [0, 1, 3].map(|channel| unsafe { *launch.acknowledged.add(channel) });
    assert_eq!(acknowledged, [40, 0, 43]);
}

#[test]
fn what_does_not_fit_is_an_error() {
    type Wrong = fn(&mut ByHand);
    let wrong: [(&str, Wrong); 9] = [
        ("no communicator", |launch| {
            launch.arguments.communicator = 4096
        }),
        ("another mask", |launch| {
            launch.arguments.channel_mask = 0b1011
        }),
        ("no work", |launch| launch.arguments.first_item = 4096),
        ("no such function", |launch| {
            launch.item(0).header.function = u16::MAX
        }),
        ("functions of another kernel", |launch| {
            launch.item(0).header.function = 2;
            launch.item(1).header.function = 2;
        }),
        ("point to point", |launch| {
            launch.item(1).header.kind = WorkHeader::POINT_TO_POINT
        }),
        ("an unknown kind", |launch| launch.item(1).header.kind = 9),
        ("a part that is missing", |launch| {
            // SAFETY: plain data, whichever field is written.
            unsafe { launch.item(1).payload.elements[0].flags = 0 };
        }),
        ("an item that never ends", |launch| {
            launch.item(0).header.flags = 0;
            launch.item(0).header.next_or_acknowledgement = 0;
        }),
    ];
    for (what, make) in wrong {
        let mut launch = ByHand::new();
        make(&mut launch);
        assert!(launch.read().is_err(), "{what}");
    }
    assert!(check_kernel(c"_Z6vectorPf").is_err());
    assert!(
        read(
            &ByHand::new().arguments,
            2,
            c"ncclDevKernel_Broadcast_RING_LL"
        )
        .is_err()
    );
}
