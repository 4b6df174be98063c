//! Structures in NCCL's memory (`src/include/device.h`, `collectives.h` and `net_device.h` at tag
//! v2.21.5-1), as far as they are read.

use std::ffi::c_void;

/// `MAXCHANNELS`.
pub const CHANNELS: usize = 32;
/// `NCCL_STEPS`: slots of a connection.
pub const STEPS: usize = 8;
/// `NCCL_MAX_CONNS`: connections to one peer.
pub const CONNECTIONS: usize = 2;
/// `NCCL_MAX_WORK_ELEMENTS` and `NCCL_MAX_WORK_ELEMENTS_REG`.
pub const ELEMENTS: usize = 9;
pub const REGISTERED_ELEMENTS: usize = 2;

/// `ncclDevComm`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Communicator {
    pub rank: i32,
    pub ranks: i32,
    pub node: i32,
    pub nodes: i32,
    pub buffer_sizes: [i32; 3],
    pub p2p_chunk_size: i32,
    pub work_queue_depth: i32,
    pub work_queue: *const WorkItem,
    pub collnet_ranks: *const i32,
    pub abort_flag: *const u32,
    pub channels: *const Channel,
}

/// `ncclDevCommAndChannels`: how the two lie in memory.
#[repr(C, align(16))]
pub struct CommunicatorAndChannels {
    pub communicator: Communicator,
    pub channels: [Channel; CHANNELS],
}

/// `ncclDevChannel`. What lies between the peers and the acknowledgement is the shape of the rings,
/// trees and switches: 81 words.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    pub peers: *const *const Peer,
    ring: Ring,
    tree: [i32; 5],
    collnet_chain: [i32; 5],
    collnet_direct: [i32; 27],
    nvls: [i32; 42],
    pub work_done: *mut u32,
}

/// `ncclRing`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Ring {
    previous: i32,
    next: i32,
    user_ranks: *const i32,
    index: i32,
}

/// `ncclDevChannelPeer`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub send: [Connection; CONNECTIONS],
    pub receive: [Connection; CONNECTIONS],
}

/// `ncclConnInfo`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    pub buffers: [*mut c_void; 3],
    pub memory_handles: [*mut c_void; 3],
    /// Steps the sender has filled.
    pub tail: *mut u64,
    /// Steps the receiver has emptied.
    pub head: *mut u64,
    pub flags: i32,
    pub shared: i32,
    pub step_size: i32,
    pub pointer_exchange: *mut c_void,
    pub operation_exchange: *mut u64,
    /// Slots shared with a proxy thread; null where GPUs reach each other.
    pub slots: *mut Slot,
    pub step: u64,
    pub last_cleaning: u64,
    pub network_device: NetworkDevice,
}

/// `ncclNetDeviceHandle_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NetworkDevice {
    kind: i32,
    version: i32,
    handle: *mut c_void,
    size: usize,
    needs_proxy: i32,
}

/// `ncclConnFifo`.
#[repr(C)]
#[derive(Debug)]
pub struct Slot {
    pub mode: i32,
    pub offset: i32,
    /// Bytes ready to be sent; -1 while there are none.
    pub size: i64,
    pub pointer: *mut c_void,
}

/// `ncclWorkHeader`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WorkHeader {
    /// Of the last item of a channel, what to acknowledge; of others, the distance from the first
    /// item of the launch to the next of this channel.
    pub next_or_acknowledgement: i32,
    pub function: u16,
    /// Bit 0: the last item of this channel; bit 1: it lies in the queue.
    pub flags: u8,
    /// `ncclWorkType`.
    pub kind: u8,
}

impl WorkHeader {
    pub const COLLECTIVE: u8 = 1;
    pub const POINT_TO_POINT: u8 = 2;
    pub const REGISTERED_COLLECTIVE: u8 = 3;

    pub fn is_last(self) -> bool {
        self.flags & 1 != 0
    }

    pub fn is_in_queue(self) -> bool {
        self.flags & 2 != 0
    }
}

/// `ncclWorkElem`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WorkElement {
    /// Bit 0: it is used.
    pub flags: u8,
    pub registered: u8,
    pub warps: u8,
    pub direct: u8,
    pub root: u32,
    pub send_buffer: u64,
    pub receive_buffer: u64,
    pub count: u64,
    pub operation_argument: u64,
    /// 25 bits of chunk, 39 bits of elements for this channel.
    pub chunk_and_work_count: u64,
    /// 25 bits of last chunk and 39 bits of offset, or block and channel count.
    pub last_chunk_and_offset: u64,
}

impl WorkElement {
    pub fn is_used(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Elements a channel moves per pipeline step.
    pub fn chunk_count(&self) -> u64 {
        self.chunk_and_work_count & ((1 << 25) - 1)
    }

    /// Elements for this channel.
    pub fn work_count(&self) -> u64 {
        self.chunk_and_work_count >> 25
    }

    /// Where they begin in the buffer, elements; not with CollNet and NVLS between nodes.
    pub fn work_offset(&self) -> u64 {
        self.last_chunk_and_offset >> 25
    }
}

/// `ncclWorkElemReg`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RegisteredElement {
    pub element: WorkElement,
    pointers: [u64; 24],
}

/// What a work item carries.
#[repr(C)]
#[derive(Clone, Copy)]
pub union Payload {
    pub elements: [WorkElement; ELEMENTS],
    pub registered: [RegisteredElement; REGISTERED_ELEMENTS],
}

/// `ncclWork`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WorkItem {
    pub header: WorkHeader,
    pub payload: Payload,
}

const _: () = {
    assert!(size_of::<Communicator>() == 72);
    assert!(size_of::<Channel>() == 368);
    assert!(std::mem::offset_of!(Channel, work_done) == 352);
    assert!(std::mem::offset_of!(CommunicatorAndChannels, channels) == 80);
    assert!(size_of::<Connection>() == 152);
    assert!(size_of::<Slot>() == 24);
    assert!(size_of::<WorkElement>() == 56);
    assert!(size_of::<WorkItem>() == 512);
};
