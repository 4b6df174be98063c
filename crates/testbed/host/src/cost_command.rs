//! `ccl-testbed cost`: what the plugin costs, per collective and as a share of the host's time.

mod tuners;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ccl_abi::nccl::profiler::kind;
use ccl_abi::shared::Control;
use ccl_core::{Interval, WorkloadSpec};
use ccl_search::{median, median_interval};
use ccl_sim::noise::NoiseModel;
use ccl_testbed::cost::calls::Profiler;
use ccl_testbed::cost::{Measured, Measurement, Phase};
use ccl_testbed::driver::Driver;
use ccl_testbed::job::Job;
use ccl_testbed::nccl::Nccl;
use ccl_testbed::report::SIMULATED;
use ccl_testbed::world::Libraries;
use clap::Args;
use serde_json::json;

use crate::cluster;

/// Arguments of `ccl-testbed cost`.
#[derive(Args)]
pub struct CostCommand {
    /// The shared object of NCCL.
    #[arg(long, value_name = "PATH")]
    nccl: PathBuf,
    /// The plugin, whose profiler is called as NCCL 2.30 calls it. Without it the bare calls are measured,
    /// with the tuner in them that NCCL_TUNER_PLUGIN names.
    #[arg(long, value_name = "PATH")]
    plugin: Option<PathBuf>,
    /// Workload specification, JSON.
    #[arg(long, value_name = "FILE")]
    workload: PathBuf,
    /// The cluster whose iteration times are the measure of the host's wall time.
    #[arg(long, default_value = "dgx-h100")]
    cluster: String,
    /// How often everything is measured.
    #[arg(long, default_value_t = 1000)]
    rounds: usize,
    /// One collective in how many is recorded, for each depth. Default: as many as the plugin thinks fit.
    #[arg(long, value_delimiter = ',')]
    sample: Vec<u32>,
    /// Measure what the plugin's tuner costs instead, in its modes, in so many runs of each.
    #[arg(long, value_name = "RUNS", requires = "plugin")]
    tuner: Option<usize>,
    /// A JSON line instead of a table: the calls without the profiler.
    #[arg(long)]
    json: bool,
}

const DEPTHS: [(&str, u64); 3] = [
    ("collectives", kind::COLLECTIVE),
    ("kernels", kind::COLLECTIVE | kind::KERNEL_CHANNEL),
    (
        "transfers",
        kind::COLLECTIVE | kind::KERNEL_CHANNEL | kind::PROXY_OP | kind::PROXY_STEP,
    ),
];

impl CostCommand {
    /// Measures and prints.
    pub fn execute(self) -> Result<(), String> {
        if let (Some(runs), Some(plugin)) = (self.tuner, &self.plugin) {
            return tuners::execute(&self, plugin, runs);
        }
        let path = self.workload.display();
        let text = std::fs::read_to_string(&self.workload).map_err(|e| format!("{path}: {e}"))?;
        let workload = WorkloadSpec::parse(&text).map_err(|error| format!("{path}: {error}"))?;
        let directory = std::env::temp_dir().join(format!("ccl-cost-{}", std::process::id()));
        std::fs::create_dir(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        let measured = self.measure(workload, &directory);
        let _ = std::fs::remove_dir_all(&directory);
        let (names, measured) = measured?;
        self.print(&names, &measured).map_err(|e| e.to_string())
    }

    fn measure(
        &self,
        workload: WorkloadSpec,
        directory: &Path,
    ) -> Result<(Vec<String>, Measured), String> {
        // The plugin reads these when it is initialised.
        // SAFETY: no other thread runs yet.
        unsafe {
            if self.plugin.is_some() {
                std::env::set_var("CCL_AGENT_JOB", directory);
                std::env::set_var("CCL_AGENT_MODE", "observe");
                if !self.sample.is_empty() {
                    std::env::set_var("CCL_AGENT_SAMPLE", "1");
                }
            }
        }
        let driver = Driver::load().map_err(|error| error.to_string())?;
        let nccl = Nccl::load(&self.nccl).map_err(|error| error.to_string())?;
        let profiler = self.plugin.as_deref().map(Profiler::load).transpose();
        let mut names = vec!["no plugin".to_owned()];
        let mut settings = Vec::new();
        for (depth, kinds) in DEPTHS.iter().filter(|_| self.plugin.is_some()) {
            let kinds = u32::try_from(*kinds).unwrap_or(0);
            if self.sample.is_empty() {
                names.push((*depth).to_owned());
                settings.push(Control { kinds, one_in: 1 });
            }
            for &one_in in &self.sample {
                names.push(format!("{depth}, 1 in {one_in}"));
                settings.push(Control { kinds, one_in });
            }
        }
        let measurement = Measurement {
            job: Job {
                workload,
                cluster: cluster(&self.cluster)?,
                directory: directory.to_owned(),
                noise: NoiseModel::typical(1),
                iterations: 0,
            },
            profiler: profiler.map_err(|error| error.to_string())?,
            settings,
            rounds: self.rounds,
        };
        let libraries = Arc::new(Libraries { driver, nccl });
        let measured = measurement.run(&libraries).map_err(|e| e.to_string())?;
        Ok((names, measured))
    }

    fn print(&self, names: &[String], measured: &Measured) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        let of = |setting: usize, what: &dyn Fn(&Phase, &Phase) -> f64| {
            let rounds = measured.rounds.iter();
            let values: Vec<f64> = rounds.map(|r| what(&r[setting], &r[0])).collect();
            values
        };
        let middle = |values: Vec<f64>| median(&values).unwrap_or(f64::NAN);
        let threads_ns = middle(of(0, &|phase, _| phase.threads_ns()));
        let process_ns = middle(of(0, &|phase, _| phase.per_call(phase.process_ns)));
        if self.json {
            let line = json!({ "threads_ns": threads_ns, "process_ns": process_ns });
            return writeln!(out, "{line}");
        }
        writeln!(out, "{SIMULATED}; kernels take no time")?;
        writeln!(
            out,
            "without the plugin a collective takes {threads_ns:.0} ns of the application's threads and \
             {process_ns:.0} ns of the process;\nan iteration of {} collectives takes {:.1} ms (simulated); \
             {} records or events lost",
            measured.calls_per_iteration,
            measured.iteration_us / 1e3,
            measured.losses
        )?;
        writeln!(
            out,
            "{:<24} {:>18} {:>18} {:>22} {:>22} {:>9} {:>8}",
            "added a collective by",
            "application, ns",
            "proxy, ns",
            "% of application",
            "% of process",
            "% of wall",
            "records"
        )?;
        for (setting, name) in names.iter().enumerate().skip(1) {
            let on = |phase: &Phase| phase.per_call(phase.application_ns);
            let behind = |phase: &Phase| phase.per_call(phase.proxy_ns);
            let process = |phase: &Phase| phase.per_call(phase.process_ns);
            let application = of(setting, &|phase, none| on(phase) - on(none));
            let proxy = of(setting, &|phase, none| behind(phase) - behind(none));
            let of_application = of(setting, &|phase, none| {
                100.0 * (on(phase) - on(none)) / on(none)
            });
            let added = |phase: &Phase, none: &Phase| phase.threads_ns() - none.threads_ns();
            let of_process = of(setting, &|phase, none| {
                100.0 * added(phase, none) / process(none)
            });
            let added_ns = middle(of(setting, &added));
            let wall =
                added_ns * measured.calls_per_iteration / (measured.iteration_us * 1e3) * 100.0;
            let records = of(setting, &|phase, _| phase.per_call(phase.records));
            writeln!(
                out,
                "{name:<24} {:>18} {:>18} {:>22} {:>22} {wall:>9.4} {:>8.3}",
                interval(&application, 0),
                interval(&proxy, 0),
                interval(&of_application, 2),
                interval(&of_process, 2),
                middle(records)
            )?;
        }
        Ok(())
    }
}

fn interval(values: &[f64], digits: usize) -> String {
    median_interval(values).map_or(
        String::new(),
        |Interval {
             median,
             ci95: [low, high],
         }| { format!("{median:.digits$} [{low:.digits$}, {high:.digits$}]") },
    )
}
