//! The agent of a check: it orders, one after another, everything that no rank rules out.

use std::path::Path;
use std::time::{Duration, Instant};

use ccl_abi::shared::Rule;
use ccl_agent::live::pilot::{Followed, Pilot, Segment};
use ccl_core::{Algorithm, Protocol};

use super::{CALLS, COLLECTIVES, CheckError, ROUNDS_BEFORE, write_whole};

/// Channels that are ordered with each pair; 0 leaves the count to NCCL.
const CHANNELS: [u8; 4] = [0, 1, 2, 4];
/// How long ranks may make no progress.
const PATIENCE: Duration = Duration::from_secs(120);
/// The file in which it counts its orders.
pub const ORDERS: &str = "orders";

/// Orders everything and leaves the job to NCCL's own choices.
///
/// # Errors
/// Ranks that do not come or stand still, and logs that take no order.
pub fn run(job: &Path, ranks: u64) -> Result<(), CheckError> {
    let failed = |error: &dyn std::fmt::Display| CheckError::Failed(error.to_string());
    let mut pilot = Pilot::start(job)?;
    let followed = wait_until(&pilot, |f| {
        f.name.ranks == ranks && f.is_complete() && f.calls() >= ROUNDS_BEFORE * CALLS
    })?;
    let choices = COLLECTIVES.map(|collective| legal(collective, &followed));
    let most = choices.iter().map(Vec::len).max().unwrap_or(0);
    for number in 0..=most {
        // The last order is none: NCCL's own choices again.
        let of_order = |rules: &Vec<Rule>| rules.get(number % rules.len().max(1)).copied();
        let rules: Vec<Rule> = match number == most {
            true => Vec::new(),
            false => choices.iter().filter_map(of_order).collect(),
        };
        let mut from = 0;
        pilot
            .steer(|followed| {
                let of_job = followed.iter().filter(|f| f.name.ranks == ranks);
                of_job
                    .map(|f| {
                        from = f.state.horizon;
                        let rules = rules.clone();
                        (f.name, vec![Segment { from, rules }])
                    })
                    .collect()
            })
            .map_err(|error| failed(&error))?;
        write_whole(&job.join(ORDERS), &(number + 1).to_string())?;
        wait_until(&pilot, |f| f.calls() >= from + 2 * CALLS)?;
    }
    pilot
        .release(|_| Vec::new())
        .map_err(|error| failed(&error))
}

fn wait_until(pilot: &Pilot, is_met: impl Fn(&Followed) -> bool) -> Result<Followed, CheckError> {
    let mut progress = (Instant::now(), 0);
    loop {
        let followed = pilot.communicators();
        if let Some(found) = followed.iter().find(|f| is_met(f)) {
            return Ok(found.clone());
        }
        let calls = followed.iter().map(Followed::calls).max().unwrap_or(0);
        if calls > progress.1 {
            progress = (Instant::now(), calls);
        }
        if progress.0.elapsed() > PATIENCE {
            return Err(CheckError::Failed(format!(
                "ranks stand still at call {calls}"
            )));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Every pair that all ranks can run, with every channel count.
fn legal(collective: ccl_core::Collective, followed: &Followed) -> Vec<Rule> {
    let Some(id) = collective.nccl_id().and_then(|id| u8::try_from(id).ok()) else {
        return Vec::new();
    };
    let masks = followed.ranks.iter().map(|rank| {
        let of = rank.impossible.get(usize::from(id)).copied().flatten();
        of.unwrap_or(u32::MAX)
    });
    let impossible = masks.fold(0, |all, mask| all | mask);
    let small = |n: u32| u8::try_from(n).unwrap_or(u8::MAX);
    let mut rules = Vec::new();
    for algorithm in Algorithm::ALL {
        for protocol in Protocol::ALL {
            let bit = algorithm.nccl_id() * 3 + protocol.nccl_id();
            let can = algorithm.serves(collective) && algorithm.speaks(protocol);
            if !can || impossible & 1 << bit != 0 {
                continue;
            }
            rules.extend(CHANNELS.map(|channels| Rule {
                collective: id,
                min_bytes: 0,
                max_bytes: u64::MAX,
                algorithm: small(algorithm.nccl_id()),
                protocol: small(protocol.nccl_id()),
                channels,
                chunk_bytes: 0,
            }));
        }
    }
    rules
}
