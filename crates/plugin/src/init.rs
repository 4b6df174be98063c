//! What happens at a communicator's init: the environment is read, the tuner made, a vendor's tuner
//! chained before it. Here allocating and reading files is allowed; on a call it is not.

use std::ffi::c_void;
use std::path::Path;

use ccl_abi::nccl::tuner::Constants;

use crate::chain::{InitArguments, Vendor};
use crate::constants;
use crate::context;
use crate::identity::{InitCall, InitOrder};
use crate::log::Log;
use crate::mode::Mode;
use crate::text;
use crate::tuner::{Communicator, Tuner};

/// What the user set, unless it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Makes the tuner of a communicator: the constants, the policy, and a vendor's tuner before it.
///
/// # Safety
/// `context` is null or a place for one pointer; the arguments are NCCL's own.
pub unsafe fn start(context: *mut *mut c_void, id: Option<u64>, arguments: InitArguments) {
    let (ranks, nodes) = (arguments.ranks as u64, arguments.nodes as u64);
    let call = InitCall::count(ranks, nodes);
    if context.is_null() {
        return;
    }
    let log = Log(arguments.logger);
    // SAFETY: NCCL's own place for them, or null.
    if let Some(constants) = unsafe { arguments.constants.as_mut() } {
        change_constants(constants, log);
    }
    let communicator = Communicator {
        ranks,
        nodes,
        id,
        name: call.name(id, InitOrder::from(variable)),
    };
    let mut tuner = Box::new(Tuner::new(&Mode::from(variable), communicator, log));
    if let Some(path) = variable("CCL_AGENT_CHAIN_TUNER") {
        // SAFETY: NCCL's own arguments; the library is the user's choice.
        match unsafe { Vendor::load(&path, arguments) } {
            Ok((vendor, name)) => {
                log.info(&format!("chained after {name} from {path}"));
                tuner.chain(vendor);
            }
            Err(why) => log.warn(&format!("{path} is not chained: {why}")),
        }
    }
    let opened = context::open(tuner).unwrap_or(std::ptr::null_mut());
    // SAFETY: NCCL passes a place for one pointer; null was turned away above.
    unsafe { *context = opened };
}

fn change_constants(into: &mut Constants, log: Log) {
    let Some(path) = variable("CCL_AGENT_MODEL_CONSTANTS") else {
        return;
    };
    let read = text::read(Path::new(&path), constants::MOST_BYTES).map_err(|e| e.to_string());
    match read.and_then(|text| constants::parse(&text)) {
        Ok(changes) => {
            constants::apply(&changes, into);
            log.info(&format!(
                "experimental: {} constants of NCCL's cost model from {path}",
                changes.len()
            ));
        }
        Err(doubt) => log.warn(&format!("{path}: {doubt}; nothing of it is used")),
    }
}
