//! One rank of a check, a process of its own: makes the calls it is told to, and compares every result.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

use thiserror::Error;

use super::messages::{Called, Command, Machine, Report};
use super::pattern::{Comparison, GUARD_BYTES, Numbers, POISON};
use super::plan::Cell;
use crate::driver::{Buffer, Driver, DriverError, Stream};
use crate::launches;
use crate::nccl::{Communicator, Nccl, NcclError, UniqueId};
use crate::world::{JobError, Libraries, QUIET};

/// How a rank ends when the checking process is gone.
const ABANDONED: i32 = 3;

/// Why a rank cannot go on.
#[derive(Debug, Error)]
pub enum RankError {
    /// Driver or NCCL cannot be loaded.
    #[error(transparent)]
    Load(#[from] JobError),
    /// The driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// NCCL.
    #[error(transparent)]
    Nccl(#[from] NcclError),
    /// What was launched cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// One call is to be one launch of one collective.
    #[error("call {call} was {operations} operations")]
    Launches {
        /// Which call.
        call: u64,
        /// Operations launched.
        operations: usize,
    },
    /// The pipe.
    #[error("the checking process: {0}")]
    Pipe(#[from] std::io::Error),
    /// Something was asked for out of turn.
    #[error("{0} was not to be asked for here")]
    OutOfTurn(&'static str),
    /// More than this machine can address.
    #[error("a buffer of {0} elements")]
    Size(u64),
}

/// A rank.
#[derive(Clone, Debug)]
pub struct CheckRank {
    /// The shared object of NCCL.
    pub nccl: PathBuf,
    /// Its number.
    pub rank: u32,
    /// Ranks altogether.
    pub ranks: u32,
    /// The calls, over and over.
    pub cells: Vec<Cell>,
}

impl CheckRank {
    /// Does what it is told until it may leave. What stopped it is told to the checking process.
    ///
    /// # Errors
    /// What stopped it.
    pub fn run(&self) -> Result<(), RankError> {
        let commands = listen();
        let done = self.live(&commands);
        if let Err(error) = &done {
            report(&Report::Failed(error.to_string()))?;
        }
        done
    }

    fn live(&self, commands: &Receiver<Command>) -> Result<(), RankError> {
        let libraries = Libraries::load(&self.nccl)?;
        let Libraries { driver, nccl } = &*libraries;
        if driver.is_stub() {
            driver.on_launch(launches::on_launch);
        }
        // Several ranks share a GPU where there are fewer.
        let device = self.rank % driver.devices()?.max(1);
        driver.use_device(device)?;
        let mut most = 0;
        for cell in &self.cells {
            most = most.max(self.numbers(cell, 0)?.buffer_bytes());
        }
        let work = Work {
            stream: driver.stream()?,
            send: driver.allocate(most)?,
            receive: driver.allocate(most + GUARD_BYTES)?,
            driver,
            nccl,
        };
        report(&Report::Ready(Machine {
            nccl: nccl.version().to_string(),
            device: driver.device_name(device)?,
            cuda: driver.cuda_version()?,
            is_stub: driver.is_stub(),
        }))?;
        if self.rank == 0 {
            report(&Report::Id(nccl.unique_id()?.to_text()))?;
        }
        let Ok(Command::Join(id)) = commands.recv() else {
            return Err(RankError::OutOfTurn("anything but joining"));
        };
        let id = UniqueId::from_text(&id).ok_or(RankError::OutOfTurn("an id that is none"))?;
        let communicator = nccl.join(id, self.rank, self.ranks)?;
        report(&Report::Joined)?;
        let mut made = 0;
        while let Ok(command) = commands.recv() {
            match command {
                Command::Until(calls) => {
                    while made < calls {
                        report(&Report::Called(self.call(&work, &communicator, made)?))?;
                        made += 1;
                    }
                }
                Command::Quiesce => {
                    driver.synchronize(work.stream)?;
                    driver.quiesce(QUIET);
                    report(&Report::Quiet)?;
                }
                Command::Leave => {
                    nccl.leave(communicator)?;
                    driver.free(work.send)?;
                    driver.free(work.receive)?;
                    driver.destroy_stream(work.stream)?;
                    report(&Report::Left)?;
                    return Ok(());
                }
                Command::Join(_) => return Err(RankError::OutOfTurn("joining again")),
            }
        }
        Err(RankError::OutOfTurn("nothing"))
    }

    fn numbers(&self, cell: &Cell, call: u64) -> Result<Numbers, RankError> {
        let count = cell.count(self.ranks);
        Ok(Numbers {
            collective: cell.collective,
            datatype: cell.datatype,
            count: usize::try_from(count).map_err(|_| RankError::Size(count))?,
            ranks: self.ranks,
            call,
        })
    }

    fn call(
        &self,
        work: &Work<'_>,
        communicator: &Communicator,
        call: u64,
    ) -> Result<Called, RankError> {
        let Work {
            driver,
            nccl,
            stream,
            send,
            receive,
        } = *work;
        let count = self.cells.len() as u64;
        let index = usize::try_from(call % count.max(1)).unwrap_or(0);
        let cell = self
            .cells
            .get(index)
            .ok_or(RankError::OutOfTurn("a call"))?;
        let numbers = self.numbers(cell, call)?;
        let is_stub = driver.is_stub();
        // On the stub nothing moves: once around is enough to see that the comparison says so.
        let is_compared = !is_stub || call < count;
        let received = numbers.received_bytes(self.rank);
        let input = if is_compared {
            numbers.input(self.rank)
        } else {
            Vec::new()
        };
        if is_compared {
            driver.upload(&input, send, stream)?;
            // For Reduce the buffers of others than the root may be written to, so all of it.
            let all = numbers.buffer_bytes() + GUARD_BYTES;
            driver.fill(receive, POISON, all, stream)?;
        }
        let what = (cell.datatype, numbers.count);
        nccl.enqueue(communicator, cell.collective, what, (send, receive), stream)?;
        driver.synchronize(stream)?;
        let comparison = if is_compared && received > 0 {
            let mut result = vec![0; received + GUARD_BYTES];
            driver.download(receive, &mut result, stream)?;
            numbers.compare(self.rank, &result)
        } else {
            Comparison::default()
        };
        drop(input);
        Ok(Called {
            call,
            elements: comparison.elements,
            mismatches: comparison.mismatches,
            first_mismatch: comparison.first_mismatch,
            is_overrun: comparison.is_overrun,
            launched: if is_stub { Some(launched(call)?) } else { None },
        })
    }
}

#[derive(Clone, Copy)]
struct Work<'a> {
    driver: &'a Driver,
    nccl: &'a Nccl,
    stream: Stream,
    send: Buffer,
    receive: Buffer,
}

/// What the stub saw of a call.
fn launched(call: u64) -> Result<launches::Operation, RankError> {
    let launches = launches::take().map_err(RankError::Unreadable)?;
    let operations: Vec<_> = launches.into_iter().flat_map(|l| l.operations).collect();
    match operations[..] {
        [operation] => Ok(operation),
        _ => Err(RankError::Launches {
            call,
            operations: operations.len(),
        }),
    }
}

/// Reads the commands on a thread of its own, which sees the end of the pipe while the rank is inside
/// NCCL, and waits there for ranks that have ended as well.
fn listen() -> Receiver<Command> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let command = line.ok().and_then(|line| serde_json::from_str(&line).ok());
            let Some(command) = command else { break };
            // A rank that is leaving asks for nothing more, and must still not outlive the check.
            let _ = sender.send(command);
        }
        end_at_once();
    });
    receiver
}

/// Ends the process without tearing anything down: NCCL's threads may be stuck in it.
pub(super) fn end_at_once() -> ! {
    unsafe extern "C" {
        fn _exit(status: i32) -> !;
    }
    // SAFETY: ends the process and touches nothing.
    unsafe { _exit(ABANDONED) }
}

fn report(report: &Report) -> std::io::Result<()> {
    let mut line = serde_json::to_string(report)?;
    line.push('\n');
    let mut out = std::io::stdout().lock();
    // NCCL writes its version to the same pipe; one write of a whole line is not mixed with it.
    out.write_all(line.as_bytes())?;
    out.flush()
}
