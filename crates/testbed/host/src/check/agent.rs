//! An agent to be killed: a process that switches as fast as the ranks take it, until it is.

use std::path::Path;
use std::time::Duration;

use ccl_agent::live::pilot::{Followed, Pilot, Segment};

use super::{CheckError, plan, rank};

/// Between two looks at the ranks.
const PAUSE: Duration = Duration::from_millis(1);

/// The only communicator of a check's job, when all its ranks follow its log and have been asked about
/// every collective.
pub(super) fn followed(pilot: &Pilot) -> Option<Followed> {
    let mut all = pilot.communicators().into_iter();
    let first = all.next().filter(|_| all.next().is_none())?;
    let asked = |followed: &Followed| {
        let mut ranks = followed.ranks.iter();
        ranks.all(|rank| rank.impossible.iter().all(Option::is_some))
    };
    (first.is_complete() && asked(&first)).then_some(first)
}

/// Gives the orders of a plan over and over; each applies as early as the log takes it, never between two
/// of the `asks` questions that NCCL has about one call.
///
/// # Errors
/// A job's directory that cannot be read, or a log that takes no more.
pub fn switch_until_killed(job: &Path, asks: u64) -> Result<(), CheckError> {
    // The end of the pipe is the end of the checking process.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        rank::end_at_once()
    });
    let pilot = Pilot::start(job).map_err(CheckError::Start)?;
    let first = loop {
        if let Some(followed) = followed(&pilot) {
            break followed;
        }
        std::thread::sleep(PAUSE);
    };
    let orders = plan::orders(&first.ranks);
    for order in orders.iter().cycle() {
        let mut from = 0;
        pilot.steer(|all| {
            let found = all.iter().find(|followed| followed.name == first.name);
            let horizon = found.map_or(0, |followed| followed.state.horizon);
            from = horizon.next_multiple_of(asks.max(1));
            let rules = order.rules.clone();
            vec![(first.name, vec![Segment { from, rules }])]
        })?;
        // The next one when this one is being followed.
        while followed(&pilot).is_some_and(|followed| followed.calls() <= from) {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}
