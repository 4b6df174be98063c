//! `ccl-testbed check`: are results right, and orders obeyed, while choices are switched? And the two
//! processes it starts of this program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ccl_testbed::check::page::{self, Heading};
use ccl_testbed::check::pattern::MOST_RANKS;
use ccl_testbed::check::rank::CheckRank;
use ccl_testbed::check::ranks::{Launcher, log_file};
use ccl_testbed::check::{self, agent, plan};
use ccl_testbed::driver::Driver;
use clap::Args;

use crate::{Sizes, sizes, with_causes};

/// Lines of a rank's NCCL log that are shown when a check fails.
const LAST_LINES: usize = 15;

/// Arguments of `ccl-testbed check`.
#[derive(Args)]
pub struct CheckCommand {
    /// The shared object of NCCL; by name alone the one the loader finds.
    #[arg(long, value_name = "PATH", default_value = "libnccl.so.2")]
    nccl: PathBuf,
    /// The plugin.
    #[arg(long, value_name = "PATH")]
    plugin: PathBuf,
    /// Ranks, a process each. They share the GPUs there are.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=i64::from(MOST_RANKS)))]
    ranks: u32,
    /// Sizes: a list, or a range in powers of two.
    #[arg(long, default_value = "1K,16K,256K,2M,16M", value_parser = sizes)]
    bytes: Sizes,
    /// Where to write the page about it.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Where the jobs' directories go; kept. Without it in the system's temporary folder, and removed
    /// when all is well.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Give up when nothing has happened for this many seconds.
    #[arg(long, default_value_t = 300)]
    patience: u64,
    /// Run on the stub driver, where nothing moves and no result is compared.
    #[arg(long)]
    stub: bool,
}

impl CheckCommand {
    /// Runs both jobs and says what was found; an error unless all is right.
    pub fn execute(self) -> Result<(), String> {
        self.refuse()?;
        let plugin = self.plugin.display();
        let plugin = self
            .plugin
            .canonicalize()
            .map_err(|e| format!("{plugin}: {e}"))?;
        let temporary = std::env::temp_dir().join(format!("ccl-check-{}", std::process::id()));
        let folder = self.folder.clone().unwrap_or_else(|| temporary.clone());
        let launcher = Launcher {
            program: std::env::current_exe().map_err(|error| error.to_string())?,
            nccl: self.nccl.clone(),
            plugin,
            ranks: self.ranks,
            bytes: self.bytes.0.clone(),
            patience: Duration::from_secs(self.patience),
        };
        let outcome = check::run(&launcher, &folder)
            .map_err(|error| format!("{}{}", with_causes(&error), last_words(&folder)))?;
        let mut out = std::io::stdout().lock();
        write!(out, "{}", page::table(&outcome)).map_err(|error| error.to_string())?;
        if let Some(path) = &self.markdown {
            let heading = Heading {
                date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
                driver: if self.stub {
                    None
                } else {
                    page::kernel_driver()
                },
                bytes: self.bytes.0.clone(),
            };
            let text = page::markdown(&outcome, &heading);
            std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        if !outcome.is_right() {
            return Err(format!("not all is right; see {}", folder.display()));
        }
        if self.folder.is_none() {
            // What cannot be removed harms nobody.
            let _ = std::fs::remove_dir_all(&temporary);
        }
        Ok(())
    }

    /// Whether this machine is one to check on.
    fn refuse(&self) -> Result<(), String> {
        let driver = Driver::load()
            .map_err(|e| format!("this needs a machine with an NVIDIA GPU and its driver: {e}"))?;
        match (driver.is_stub(), self.stub) {
            (true, false) => Err(
                "the CUDA driver here is the stub: no data moves, so that nothing \
                                  can be validated; this needs a machine with an NVIDIA GPU \
                                  (--stub runs what can be run without)"
                    .to_owned(),
            ),
            (false, true) => Err("the CUDA driver here is not the stub".to_owned()),
            _ => match driver.devices() {
                Ok(0) => Err("the CUDA driver has no GPU".to_owned()),
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

/// The ends of the ranks' logs.
fn last_words(folder: &Path) -> String {
    let mut text = String::new();
    for (job, rank) in ["switched", "killed"]
        .into_iter()
        .flat_map(|j| (0..MOST_RANKS).map(move |r| (j, r)))
    {
        let path = log_file(&folder.join(job), rank);
        let Ok(log) = std::fs::read_to_string(&path) else {
            continue;
        };
        // Without what NCCL says about each call.
        let lines: Vec<&str> = log.lines().filter(|l| !l.contains(" -> Algo ")).collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        text += &format!("\n--- the end of {}\n{}", path.display(), last.join("\n"));
    }
    text
}

/// Arguments of a rank of a check.
#[derive(Args)]
pub struct RankCommand {
    #[arg(long)]
    nccl: PathBuf,
    #[arg(long)]
    rank: u32,
    #[arg(long)]
    ranks: u32,
    #[arg(long, value_parser = sizes)]
    bytes: Sizes,
}

impl RankCommand {
    /// Lives as a rank until it may leave.
    pub fn execute(self) -> Result<(), String> {
        let rank = CheckRank {
            nccl: self.nccl,
            rank: self.rank,
            ranks: self.ranks,
            cells: plan::cells(&self.bytes.0, self.ranks),
        };
        rank.run()
            .map_err(|error| format!("rank {}: {}", rank.rank, with_causes(&error)))
    }
}

/// Arguments of the agent that is to be killed.
#[derive(Args)]
pub struct AgentCommand {
    #[arg(long)]
    job: PathBuf,
    #[arg(long)]
    asks: u64,
}

impl AgentCommand {
    /// Switches until it is killed.
    pub fn execute(self) -> Result<(), String> {
        agent::switch_until_killed(&self.job, self.asks).map_err(|error| with_causes(&error))
    }
}
