//! `ccl-testbed job`: a workload's iterations on the real NCCL, for an agent to attach to.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use ccl_core::WorkloadSpec;
use ccl_sim::noise::NoiseModel;
use ccl_testbed::driver::Driver;
use ccl_testbed::job::{Job, STOP_FILE};
use ccl_testbed::nccl::Nccl;
use ccl_testbed::report::SIMULATED;
use ccl_testbed::world::Libraries;
use clap::{Args, ValueEnum};

use crate::cluster;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Noise {
    On,
    Off,
}

/// Arguments of `ccl-testbed job`.
#[derive(Args)]
pub struct JobCommand {
    /// The shared object of NCCL.
    #[arg(long, value_name = "PATH")]
    nccl: PathBuf,
    /// Workload specification, JSON.
    #[arg(long, value_name = "FILE")]
    workload: PathBuf,
    /// The cluster whose hardware the durations are simulated for: a catalogue name or a TOML file.
    #[arg(long, default_value = "dgx-h100")]
    cluster: String,
    /// The job's directory, where its records and iteration times go. The ranks' CCL_AGENT_JOB should
    /// name it as well.
    #[arg(long, value_name = "DIR")]
    job: PathBuf,
    /// Seed of the noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Whether anything disturbs the durations.
    #[arg(long, value_enum, default_value = "on")]
    noise: Noise,
    /// Iterations after which it ends, if it is not ended before by a file `stop` in its directory.
    #[arg(long, default_value_t = u64::MAX)]
    iterations: u64,
}

impl JobCommand {
    /// Runs until it is ended.
    pub fn execute(self) -> Result<(), String> {
        let path = self.workload.display();
        let text = std::fs::read_to_string(&self.workload).map_err(|e| format!("{path}: {e}"))?;
        let workload = WorkloadSpec::parse(&text).map_err(|error| format!("{path}: {error}"))?;
        let driver = Driver::load().map_err(|error| error.to_string())?;
        if !driver.is_stub() {
            return Err("durations are simulated here, and this driver has real ones".to_owned());
        }
        let nccl = Nccl::load(&self.nccl).map_err(|error| error.to_string())?;
        let version = nccl.version();
        let job = Job {
            workload,
            cluster: cluster(&self.cluster)?,
            directory: self.job,
            noise: match self.noise {
                Noise::On => NoiseModel::typical(self.seed),
                Noise::Off => NoiseModel::none(),
            },
            iterations: self.iterations,
        };
        let mut out = std::io::stderr().lock();
        let _ = writeln!(
            out,
            "{} on NCCL {version} until {} is there: {SIMULATED}",
            job.workload.name,
            job.directory.join(STOP_FILE).display()
        );
        let libraries = Arc::new(Libraries { driver, nccl });
        let done = job.run(&libraries).map_err(|error| error.to_string())?;
        let _ = writeln!(out, "{done} iterations");
        Ok(())
    }
}
