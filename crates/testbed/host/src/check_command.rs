//! `ccl-testbed check`: starts ranks and agent, waits for them, says what was found.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ccl_testbed::check::agent::ORDERS;
use ccl_testbed::check::rank::RankJob;
use ccl_testbed::check::verdict::{Findings, findings};
use ccl_testbed::check::{self, CALLS, CheckError, STOP_AFTER};
use ccl_testbed::driver::Driver;
use clap::Args;

/// Rounds that ranks go on after an agent has ended or was killed; they may be apart by some.
const ROUNDS_AFTER: u64 = 20;
/// Orders after which an agent is killed.
const KILLED_AFTER: u64 = 5;

/// Arguments of `ccl-testbed check`.
#[derive(Args)]
pub struct CheckCommand {
    /// The shared object of NCCL.
    #[arg(long, value_name = "PATH")]
    nccl: PathBuf,
    /// The plugin.
    #[arg(long, value_name = "PATH")]
    plugin: PathBuf,
    /// Ranks, all on the first GPU.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=16))]
    ranks: u32,
    /// Give a job up after this many seconds.
    #[arg(long, default_value_t = 300)]
    patience: u64,
    /// Write the findings to this page as well; not with the stub driver.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Arguments of a rank or the agent of a check.
#[derive(Args)]
pub struct PartCommand {
    #[arg(long)]
    job: PathBuf,
    #[arg(long, default_value = "")]
    nccl: PathBuf,
    #[arg(long, default_value_t = 0)]
    rank: u32,
    #[arg(long)]
    ranks: u32,
}

impl PartCommand {
    /// A rank.
    pub fn rank(self) -> Result<(), String> {
        let Self {
            job,
            nccl,
            rank,
            ranks,
        } = self;
        let job = RankJob {
            job,
            nccl,
            rank,
            ranks,
        };
        check::rank::run(&job).map_err(|error| format!("rank {rank}: {error}"))
    }

    /// The agent.
    pub fn agent(self) -> Result<(), String> {
        check::agent::run(&self.job, self.ranks.into()).map_err(|error| error.to_string())
    }
}

/// What runs, in process groups of their own; ended with this value.
#[derive(Default)]
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended cannot be killed again.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl CheckCommand {
    /// Runs both jobs and prints what was found.
    pub fn execute(self) -> Result<(), String> {
        let driver = Driver::load().map_err(|error| error.to_string())?;
        let is_stub = driver.is_stub();
        if is_stub && self.markdown.is_some() {
            return Err("the page is about GPUs, and this is the stub driver".to_owned());
        }
        let device = driver.device_name(0).map_err(|error| error.to_string())?;
        let version = driver.version().map_err(|error| error.to_string())?;
        let mut text = format!(
            "| | |\n|---|---|\n| GPU | {device} |\n| driver | CUDA {version}{} |\n",
            if is_stub {
                ", a stub: no data moves"
            } else {
                ""
            }
        );
        let mut is_good = true;
        for kills in [false, true] {
            let (found, loaded) = self.job(kills).map_err(|error| error.to_string())?;
            if !kills {
                let _ = writeln!(text, "| NCCL | {} |", found.nccl);
                for line in loaded {
                    let _ = writeln!(text, "| NCCL says | {line} |");
                }
            }
            // An agent that is killed leaves a log that its ranks froze.
            let is_good_job = found.are_good(is_stub) && found.is_frozen == kills;
            is_good &= is_good_job;
            text.push('\n');
            text.push_str(&table(&found, kills, is_stub, is_good_job));
        }
        let _ = writeln!(
            text,
            "\nOutcome: {}",
            if is_good {
                "everything held"
            } else {
                "NOT everything held"
            }
        );
        write!(std::io::stdout(), "{text}").map_err(|error| error.to_string())?;
        if let Some(page) = &self.markdown {
            std::fs::write(page, format!("{PAGE}\n{text}")).map_err(|e| e.to_string())?;
        }
        match is_good {
            true => Ok(()),
            false => Err("not everything held; see the table".to_owned()),
        }
    }

    /// One job, from the first process to the last; and what NCCL says it loaded.
    fn job(&self, kills: bool) -> Result<(Findings, Vec<String>), CheckError> {
        let job = std::env::temp_dir().join(format!("ccl-check-{}-{kills}", std::process::id()));
        std::fs::create_dir(&job)?;
        let found = self.run(&job, kills);
        let loaded = loaded(&job);
        let _ = std::fs::remove_dir_all(&job);
        Ok((found?, loaded))
    }

    fn run(&self, job: &Path, kills: bool) -> Result<Findings, CheckError> {
        let deadline = Instant::now() + Duration::from_secs(self.patience);
        let mut ranks = Running::default();
        for rank in 0..self.ranks {
            ranks.0.push(self.part("check-rank", job, rank)?);
        }
        let mut agent = Running(vec![self.part("check-agent", job, 0)?]);
        loop {
            if let Some(status) = agent.0[0].try_wait()? {
                if !status.success() {
                    return Err(CheckError::Failed(format!("the agent failed: {status}")));
                }
                break;
            }
            let orders = std::fs::read_to_string(job.join(ORDERS)).unwrap_or_default();
            if kills && orders.parse().is_ok_and(|n: u64| n >= KILLED_AFTER) {
                break;
            }
            self.see_to(&mut ranks, deadline)?;
        }
        drop(agent);
        // Far enough ahead that no rank is there yet; ranks may ask twice for a call.
        let asked = asked(job, u64::from(self.ranks));
        let last = asked / CALLS + ROUNDS_AFTER;
        std::fs::write(job.join(STOP_AFTER), last.to_string())?;
        while !ranks
            .0
            .iter_mut()
            .all(|rank| matches!(rank.try_wait(), Ok(Some(_))))
        {
            self.see_to(&mut ranks, deadline)?;
        }
        findings(job, self.ranks)
    }

    /// Waits a little; a rank that failed, or too long a wait, ends the job.
    fn see_to(&self, ranks: &mut Running, deadline: Instant) -> Result<(), CheckError> {
        std::thread::sleep(Duration::from_millis(5));
        for rank in &mut ranks.0 {
            if let Some(status) = rank.try_wait()?.filter(|status| !status.success()) {
                return Err(CheckError::Failed(format!("a rank failed: {status}")));
            }
        }
        if Instant::now() > deadline {
            let patience = self.patience;
            return Err(CheckError::Failed(format!(
                "the job took more than {patience} s"
            )));
        }
        Ok(())
    }

    /// A process of a job. Each takes itself for a machine, so that ranks on one GPU are allowed and talk
    /// over sockets.
    fn part(&self, what: &str, job: &Path, rank: u32) -> Result<Child, CheckError> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(what)
            .args([
                "--ranks",
                &self.ranks.to_string(),
                "--rank",
                &rank.to_string(),
            ])
            .arg("--job")
            .arg(job)
            .arg("--nccl")
            .arg(&self.nccl)
            .envs([
                ("NCCL_NET", "Socket"),
                ("NCCL_IB_DISABLE", "1"),
                ("NCCL_SOCKET_IFNAME", "lo"),
                ("NCCL_P2P_DISABLE", "1"),
                ("NCCL_SHM_DISABLE", "1"),
                ("NCCL_MULTI_RANK_GPU_ENABLE", "1"),
                ("NCCL_DEBUG", "INFO"),
                ("NCCL_DEBUG_SUBSYS", "INIT,TUNING"),
                ("CCL_AGENT_MODE", "live"),
                ("CCL_AGENT_INIT_ORDER", "process"),
                ("CCL_AGENT_SAMPLE", "1"),
                ("CCL_AGENT_DEPTH", "kernels"),
            ])
            .env("NCCL_HOSTID", format!("rank{rank}"))
            .env("NCCL_DEBUG_FILE", job.join("nccl.%p.log"))
            .env("NCCL_TUNER_PLUGIN", &self.plugin)
            .env("NCCL_PROFILER_PLUGIN", &self.plugin)
            .env("CCL_AGENT_JOB", job)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0);
        Ok(command.spawn()?)
    }
}

/// Questions of the fastest rank.
fn asked(job: &Path, ranks: u64) -> u64 {
    use ccl_abi::shared::job::{CommunicatorName, parts};
    use ccl_abi::shared::{Mapping, Roll};
    let entries = std::fs::read_dir(job).into_iter().flatten().flatten();
    let is_it = |name: &str| CommunicatorName::from_file(name).is_some_and(|n| n.ranks == ranks);
    let logs = entries.filter(|e| e.file_name().to_str().is_some_and(is_it));
    let calls = logs.filter_map(|entry| {
        let mapping = Mapping::existing(&entry.path()).ok()?;
        let (_, roll) = parts(mapping.words())?;
        Roll::again(roll)?.present().map(|rank| rank.calls).max()
    });
    calls.max().unwrap_or(0)
}

/// The lines in which NCCL says what it does with the plugin, each once.
fn loaded(job: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(job).into_iter().flatten().flatten();
    let logs = entries.filter(|e| e.path().extension().is_some_and(|e| e == "log"));
    let texts = logs.filter_map(|log| std::fs::read_to_string(log.path()).ok());
    let mut lines: Vec<String> = texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.contains("PLUGIN") || line.contains("Plugin"))
        .filter(|line| line.contains("ccl-agent") && !line.contains(" set "))
        .filter_map(|line| Some(line.split_once("NCCL INFO ")?.1.to_owned()))
        .collect();
    lines.sort();
    lines.dedup();
    lines
}

fn table(found: &Findings, kills: bool, is_stub: bool, is_good: bool) -> String {
    let Findings {
        ranks,
        calls,
        orders,
        is_frozen,
        compared,
        wrong,
        seen,
        as_ordered,
        fewer_channels,
        otherwise,
        disagreed,
        ..
    } = found;
    let agent = match kills {
        true => "killed by SIGKILL in the middle",
        false => "orders everything that is legal, then leaves",
    };
    let results = match is_stub {
        true => "not compared: no data moves".to_owned(),
        false => format!("{compared} numbers compared, {wrong} wrong"),
    };
    let frozen = if *is_frozen { ", frozen by a rank" } else { "" };
    format!(
        "| agent | {agent} |\n|---|---|\n| job | {ranks} ranks, {calls} calls each, {orders} orders{frozen} |\n\
         | results | {results} |\n\
         | what ran | known of {seen} calls; {as_ordered} as ordered, {fewer_channels} on fewer channels than \
         ordered, {otherwise} otherwise |\n\
         | agreement | {disagreed} calls that two ranks ran differently |\n\
         | held | {} |\n",
        if is_good { "yes" } else { "NO" }
    )
}

/// The head of the page.
const PAGE: &str = "# Checked on a GPU

Written by `make gpu-test`: the host program of the tests on a real driver and the NCCL that is installed. Several ranks share
one GPU, each a process that takes itself for a machine, over sockets: a functional test, its times mean nothing. Every
collective at four sizes, round after round, while an agent orders every pair that no rank rules out on several channel counts; results
are compared bit for bit before, during and after. Sizes where an order gets fewer channels than it asks for are those with
less work than channels, or communicators with fewer.

Not covered: several GPUs, NVLink, InfiniBand, CUDA graphs, other types than 32-bit floats, and performance.
";
