//! The rank processes, as the checking process sees them.
//!
//! Every rank is a process with an `NCCL_HOSTID` of its own, which newer NCCLs read once per process: so
//! each is a node, and all of them can share one GPU. They talk over sockets and nothing else. None of
//! them outlives this: they are killed when it is dropped, and end by themselves when their pipe does.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::CheckError;
use super::messages::{Called, Command, Machine, Report};

/// How the ranks are started.
#[derive(Clone, Debug)]
pub struct Launcher {
    /// This program.
    pub program: PathBuf,
    /// The shared object of NCCL.
    pub nccl: PathBuf,
    /// The plugin.
    pub plugin: PathBuf,
    /// How many ranks.
    pub ranks: u32,
    /// Sizes of the calls, bytes.
    pub bytes: Vec<u64>,
    /// Without any progress for so long the check is given up.
    pub patience: Duration,
}

/// How often somebody who waits for ranks looks at what else is to be done.
const LOOK_EVERY: Duration = Duration::from_millis(2);

struct RankProcess {
    child: Child,
    commands: ChildStdin,
}

/// All ranks of a check.
pub struct Ranks {
    processes: Vec<RankProcess>,
    reports: Receiver<(usize, Option<Report>)>,
    patience: Duration,
    progressed: Instant,
    machines: Vec<Option<Machine>>,
    id: Option<String>,
    joined: usize,
    quiet: usize,
    left: Vec<bool>,
    called: Vec<Vec<Called>>,
}

/// Where a rank's NCCL writes what it does.
pub fn log_file(job: &Path, rank: u32) -> PathBuf {
    job.join(format!("nccl-{rank}.log"))
}

/// The sizes as an argument.
pub fn bytes_argument(bytes: &[u64]) -> String {
    let texts: Vec<String> = bytes.iter().map(u64::to_string).collect();
    texts.join(",")
}

impl Launcher {
    /// Starts the ranks of a job and brings them together.
    ///
    /// # Errors
    /// What a rank says that cannot, or that one does not come.
    pub fn start(&self, job: &Path) -> Result<Ranks, CheckError> {
        let (sender, reports) = channel();
        let count = self.ranks as usize;
        let mut ranks = Ranks {
            processes: Vec::new(),
            reports,
            patience: self.patience,
            progressed: Instant::now(),
            machines: vec![None; count],
            id: None,
            joined: 0,
            quiet: 0,
            left: vec![false; count],
            called: vec![Vec::new(); count],
        };
        for rank in 0..self.ranks {
            let process = self.rank(job, rank, &sender).map_err(CheckError::Start)?;
            ranks.processes.push(process);
        }
        drop(sender);
        ranks.wait(|ranks| ranks.id.is_some() && ranks.machines.iter().all(Option::is_some))?;
        let id = ranks.id.clone().unwrap_or_default();
        ranks.tell(&Command::Join(id))?;
        ranks.wait(|ranks| ranks.joined == ranks.processes.len())?;
        Ok(ranks)
    }

    fn rank(
        &self,
        job: &Path,
        rank: u32,
        reports: &Sender<(usize, Option<Report>)>,
    ) -> std::io::Result<RankProcess> {
        let mut command = std::process::Command::new(&self.program);
        command
            .arg("check-rank")
            .arg("--nccl")
            .arg(&self.nccl)
            .args(["--rank", &rank.to_string()])
            .args(["--ranks", &self.ranks.to_string()])
            .args(["--bytes", &bytes_argument(&self.bytes)]);
        // What is set for other jobs would change what is checked.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("NCCL_") || text.starts_with("CCL_AGENT_") {
                command.env_remove(&name);
            }
        }
        command
            .env("NCCL_HOSTID", format!("ccl-check-{rank}"))
            .env("NCCL_NET", "Socket")
            .env("NCCL_SOCKET_IFNAME", "lo")
            .envs(["NCCL_IB_DISABLE", "NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE"].map(|n| (n, "1")))
            // GPUs of one NVLink domain would talk without a network, whatever their nodes are.
            .env("NCCL_MNNVL_ENABLE", "0")
            // From 2.30 on NCCL wants to be asked before ranks may share a GPU.
            .env("NCCL_MULTI_RANK_GPU_ENABLE", "1")
            .envs(["NCCL_TUNER_PLUGIN", "NCCL_PROFILER_PLUGIN"].map(|n| (n, &self.plugin)))
            .env("NCCL_DEBUG", "INFO")
            .env("NCCL_DEBUG_SUBSYS", "INIT,ENV,TUNING,PROFILE")
            .env("NCCL_DEBUG_FILE", log_file(job, rank))
            .env("CCL_AGENT_MODE", "live")
            .env("CCL_AGENT_JOB", job)
            .env("CCL_AGENT_INIT_ORDER", "process")
            .env("CCL_AGENT_SAMPLE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (commands, output) = pipes.ok_or(std::io::ErrorKind::BrokenPipe)?;
        let (number, reports) = (rank as usize, reports.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // NCCL writes its version there as well.
                if let Ok(report) = serde_json::from_str(&line)
                    && reports.send((number, Some(report))).is_err()
                {
                    return;
                }
            }
            // Nobody may be listening any more.
            let _ = reports.send((number, None));
        });
        Ok(RankProcess { child, commands })
    }
}

impl Ranks {
    /// Tells all ranks to do something.
    fn tell(&mut self, command: &Command) -> Result<(), CheckError> {
        let mut line = serde_json::to_string(command).map_err(|e| CheckError::Start(e.into()))?;
        line.push('\n');
        for (rank, process) in self.processes.iter_mut().enumerate() {
            let told = process.commands.write_all(line.as_bytes());
            told.and_then(|()| process.commands.flush())
                .map_err(|_| CheckError::Ended { rank })?;
        }
        Ok(())
    }

    /// Lets all ranks make calls until each has made so many.
    ///
    /// # Errors
    /// That a rank has ended.
    pub fn call_until(&mut self, calls: u64) -> Result<(), CheckError> {
        self.tell(&Command::Until(calls))
    }

    /// What the ranks run on: rank 0 as all others, or it would not have joined.
    pub fn machine(&self) -> Option<&Machine> {
        self.machines.first()?.as_ref()
    }

    /// Calls that every rank has made.
    pub fn made_by_all(&self) -> u64 {
        let made = self.called.iter().map(|called| called.len() as u64);
        made.min().unwrap_or(0)
    }

    /// Processes of the ranks, in their order.
    pub fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|rank| rank.child.id()).collect()
    }

    /// Takes in reports until `is_enough`.
    ///
    /// # Errors
    /// A rank that failed or ended, or no progress for longer than the patience.
    pub fn wait(&mut self, is_enough: impl Fn(&Self) -> bool) -> Result<(), CheckError> {
        while !is_enough(self) {
            self.look()?;
        }
        Ok(())
    }

    /// Takes in what has come, or waits a moment for something.
    ///
    /// # Errors
    /// As with [`Ranks::wait`].
    pub fn look(&mut self) -> Result<(), CheckError> {
        match self.reports.recv_timeout(LOOK_EVERY) {
            Ok((rank, report)) => {
                self.progressed = Instant::now();
                self.take(rank, report)?;
                while let Ok((rank, report)) = self.reports.try_recv() {
                    self.take(rank, report)?;
                }
                Ok(())
            }
            Err(RecvTimeoutError::Timeout) if self.progressed.elapsed() > self.patience => {
                let made = self.called.iter().map(|called| called.len() as u64);
                Err(CheckError::Stuck {
                    patience: self.patience,
                    made: made.collect(),
                })
            }
            Err(_) => Ok(()),
        }
    }

    fn take(&mut self, rank: usize, report: Option<Report>) -> Result<(), CheckError> {
        match report {
            Some(Report::Ready(machine)) => self.machines[rank] = Some(machine),
            Some(Report::Id(id)) => self.id = Some(id),
            Some(Report::Joined) => self.joined += 1,
            Some(Report::Called(called)) => self.called[rank].push(called),
            Some(Report::Quiet) => self.quiet += 1,
            Some(Report::Left) => self.left[rank] = true,
            Some(Report::Failed(what)) => return Err(CheckError::Rank { rank, what }),
            None if !self.left[rank] => return Err(CheckError::Ended { rank }),
            None => {}
        }
        Ok(())
    }

    /// Ends all ranks in order, when nothing is under way any more; what each has called.
    ///
    /// # Errors
    /// As with [`Ranks::wait`], or a rank that does not end well.
    pub fn end(mut self) -> Result<Vec<Vec<Called>>, CheckError> {
        self.tell(&Command::Quiesce)?;
        self.wait(|ranks| ranks.quiet == ranks.processes.len())?;
        self.tell(&Command::Leave)?;
        self.wait(|ranks| ranks.left.iter().all(|left| *left))?;
        let deadline = Instant::now() + self.patience;
        for (rank, process) in self.processes.iter_mut().enumerate() {
            loop {
                match process.child.try_wait().map_err(CheckError::Start)? {
                    Some(status) if status.success() => break,
                    Some(_) => return Err(CheckError::Ended { rank }),
                    None if Instant::now() > deadline => return Err(CheckError::Ended { rank }),
                    None => std::thread::sleep(LOOK_EVERY),
                }
            }
        }
        Ok(std::mem::take(&mut self.called))
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // One that has ended is not there to be killed; either way it is waited for.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}
