//! Kernel launches. Nothing runs: what NCCL put into its work queue is read, the queue is
//! acknowledged as the kernel would, the host program is told, and its answer moves the clock.

use std::ffi::{CString, c_char, c_uint, c_void};

use ccl_stub::launch::Launch;

use crate::boundary::{CuResult, answer};
use crate::context;
use crate::control;
use crate::module;
use crate::nccl::proxies;
use crate::nccl::work::{self, Arguments, Work};
use crate::stream;

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernel(
    function: usize,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    _shared_bytes: c_uint,
    stream: usize,
    parameters: *const *const c_void,
    _extra: *const *const c_void,
) -> CuResult {
    answer(launch(
        function,
        grid_x.saturating_mul(grid_y).saturating_mul(grid_z),
        block_x.saturating_mul(block_y).saturating_mul(block_z),
        stream,
        parameters,
    ))
}

fn launch(
    function: usize,
    thread_blocks: u32,
    block_threads: u32,
    stream: usize,
    parameters: *const *const c_void,
) -> Result<(), CuResult> {
    let function = module::function(function)?;
    let device = context::current_device()?;
    if parameters.is_null() {
        return Err(CuResult::INVALID_VALUE);
    }
    let read = work::check_kernel(function.name()).and_then(|()| {
        // SAFETY: every kernel of NCCL 2.21 has three parameters of eight bytes, and this is one of
        // them. What they point to is checked before it is read.
        let arguments = unsafe { Arguments::of(parameters) };
        work::read(&arguments, thread_blocks, function.name())
    });
    if let Ok(work) = &read {
        proxies::serve(work.communicator);
    }
    let start_ns = stream::with(stream, stream::Stream::now_ns)?;
    let duration_ns = tell(
        &read,
        function.name().as_ptr(),
        device.cast_signed(),
        (thread_blocks, block_threads),
        start_ns,
    );
    stream::with(stream, |stream| stream.advance(duration_ns))
}

fn tell(
    read: &Result<Work, work::UnreadableWork>,
    kernel: *const c_char,
    device: i32,
    (thread_blocks, block_threads): (u32, u32),
    start_ns: u64,
) -> u64 {
    let mut launch = Launch {
        error: std::ptr::null(),
        kernel,
        device,
        thread_blocks,
        block_threads,
        rank: -1,
        ranks: 0,
        nodes: 0,
        communicator: 0,
        start_ns,
        operations: std::ptr::null(),
        operation_count: 0,
    };
    match read {
        Ok(work) => {
            launch.rank = work.rank;
            launch.ranks = work.ranks;
            launch.nodes = work.nodes;
            launch.communicator = work.communicator as u64;
            launch.operations = work.operations.as_ptr();
            launch.operation_count = work.operations.len();
            control::duration_ns(&launch)
        }
        Err(error) => {
            let text = CString::new(error.to_string()).unwrap_or_default();
            launch.error = text.as_ptr();
            control::duration_ns(&launch)
        }
    }
}
