//! One rank: a process with one communicator, calling round after round.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::numbers::{elements, expected, send_buffer, wrong};
use super::{CALLS, CheckError, SIZES, STOP_AFTER, call, write_whole};
use crate::driver::Driver;
use crate::launches::{self, NoTime};
use crate::nccl::{Nccl, UniqueId};
use crate::overrides;

/// How long ranks look for each other.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long network proxies must stand still before the communicator is destroyed.
const QUIET: Duration = Duration::from_millis(100);

/// What one rank is to do.
#[derive(Clone, Debug)]
pub struct RankJob {
    /// The job's directory.
    pub job: PathBuf,
    /// The NCCL.
    pub nccl: PathBuf,
    /// Its number.
    pub rank: u32,
    /// How many there are.
    pub ranks: u32,
}

/// What it reports at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RankReport {
    /// Its number.
    pub rank: u32,
    /// Calls it made.
    pub calls: u64,
    /// Numbers it compared; 0 where no data moves.
    pub compared: u64,
    /// Of these, wrong ones.
    pub wrong: u64,
    /// By call, what the stub driver saw launched: ids of algorithm and protocol, channels. Empty on a
    /// real driver, which does not tell.
    pub launched: Vec<[u32; 3]>,
    /// The process.
    pub pid: u32,
    /// The NCCL's release.
    pub nccl: String,
}

/// The report's file.
pub fn report_file(job: &Path, rank: u32) -> PathBuf {
    job.join(format!("rank-{rank}.json"))
}

/// A rank's life; leaves its report.
///
/// # Errors
/// What the driver or NCCL say, and what the stub could not read.
pub fn run(of: &RankJob) -> Result<(), CheckError> {
    let driver = Driver::load()?;
    if driver.is_stub() {
        overrides::stay_on_this_machine();
        launches::set_durations(std::sync::Arc::new(NoTime));
        driver.on_launch(launches::on_launch);
    }
    let nccl = Nccl::load(&of.nccl)?;
    driver.use_device(0)?;
    let stream = driver.stream()?;
    let largest = SIZES.into_iter().max().unwrap_or(0);
    let bytes = usize::try_from(largest).unwrap_or(usize::MAX);
    let (send, receive) = (driver.allocate(bytes)?, driver.allocate(bytes)?);
    let communicator = nccl.join(meet(of, &nccl)?, of.rank, of.ranks)?;
    let mut report = RankReport {
        rank: of.rank,
        pid: std::process::id(),
        nccl: nccl.version().to_string(),
        ..RankReport::default()
    };
    while !is_to_stop(&of.job, report.calls / CALLS) {
        for number in report.calls..report.calls + CALLS {
            let (collective, bytes) = call(number);
            let (sends, receives) = elements(collective, bytes, of.ranks);
            if !driver.is_stub() {
                driver.copy_in(send, &send_buffer(of.rank, number, sends))?;
                driver.copy_in(receive, &vec![-1.0; receives])?;
            }
            let count = sends.min(receives);
            nccl.enqueue(&communicator, collective, count, (send, receive), stream)?;
            driver.synchronize(stream)?;
            for launch in launches::take().map_err(CheckError::Failed)? {
                let of_launch = launch.operations.iter().map(|operation| {
                    let (a, p) = (operation.algorithm, operation.protocol);
                    [a.nccl_id(), p.nccl_id(), operation.channels]
                });
                report.launched.extend(of_launch);
            }
            let right = expected(collective, (of.rank, of.ranks), number, receives);
            if let Some(right) = right.filter(|_| !driver.is_stub()) {
                let mut received = vec![0.0; receives];
                driver.copy_out(&mut received, receive)?;
                report.compared += receives as u64;
                report.wrong += wrong(&received, &right);
            }
        }
        report.calls += CALLS;
    }
    driver.quiesce(QUIET);
    nccl.leave(communicator)?;
    let text = serde_json::to_string(&report)?;
    Ok(write_whole(&report_file(&of.job, of.rank), &text)?)
}

/// Whether this round is not to begin. The parent names a round that no rank has reached.
fn is_to_stop(job: &Path, round: u64) -> bool {
    let last = std::fs::read_to_string(job.join(STOP_AFTER)).ok();
    last.and_then(|text| text.trim().parse().ok())
        .is_some_and(|last: u64| round >= last)
}

/// The meeting point: the first rank makes it, the others wait for its file.
fn meet(of: &RankJob, nccl: &Nccl) -> Result<UniqueId, CheckError> {
    let path = of.job.join("unique-id");
    if of.rank == 0 {
        let id = nccl.unique_id()?;
        let text = serde_json::to_string(&id.bytes()[..])?;
        write_whole(&path, &text)?;
        return Ok(id);
    }
    let began = Instant::now();
    while !path.exists() {
        if began.elapsed() > PATIENCE {
            return Err(CheckError::Failed(
                "the first rank does not come".to_owned(),
            ));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let bytes: Vec<u8> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let bytes = <[u8; 128]>::try_from(bytes);
    bytes
        .map(UniqueId::from_bytes)
        .map_err(|_| CheckError::Failed("the meeting point is no id".to_owned()))
}
