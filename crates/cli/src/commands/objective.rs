//! `ccl-agent objective`: a job to minimise for optimisers written elsewhere, asked and told over
//! stdin and stdout, one JSON object a line.
//!
//! The machine, the noise and the space are those of `compare`. A configuration that cannot be read
//! is answered with an `error`, and the next line is awaited; the end of the input ends it.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use ccl_agent::compare::encoding::Encoding;
use ccl_agent::compare::keys_that_matter;
use ccl_agent::compare::machine::{Machine, configuration, perturbed_by_seed};
use ccl_agent::guard::{Bounds, Guard};
use ccl_agent::testbed::Testbed;
use ccl_core::{Policy, WorkloadSpec};
use ccl_sim::noise::{NoiseModel, Scenario};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::cluster_argument;
use crate::error::{CommandError, CommandResult};

/// Arguments of `ccl-agent objective`.
#[derive(Args)]
pub struct ObjectiveArgs {
    /// Workload specification, JSON.
    #[arg(long, value_name = "FILE")]
    workload: PathBuf,
    /// Catalogue name or TOML file of the cluster.
    #[arg(long, value_name = "NAME|FILE")]
    cluster: String,
    /// Seed of the noise, and of the machine where it has a spread.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Whether times are noisy.
    #[arg(long, value_enum, default_value = "on")]
    noise: Switch,
    /// Standard deviation of the logarithm of each figure of the hardware: how far the machine is from
    /// its specification. `compare` takes 0.12.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    machine_spread: f64,
    /// Add what NCCL's default takes and what the best could take, noise-free, to the first line.
    #[arg(long)]
    oracle: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Runs `ccl-agent objective`.
///
/// # Errors
/// Bad input (2).
pub fn run(args: &ObjectiveArgs) -> CommandResult {
    let path = args.workload.display();
    let text = std::fs::read_to_string(&args.workload).map_err(|error| {
        CommandError::bad_input(format!("cannot read {path}: {error}"))
            .help("--workload names a JSON file; see workload/ for examples")
    })?;
    let workload = WorkloadSpec::parse(&text).map_err(|error| {
        CommandError::bad_input(format!("{path}: {error}"))
            .help("see workload/ for examples and doc/reference/schema for the schema")
    })?;
    let nominal = cluster_argument::load(&args.cluster)?;
    let spread = cluster_argument::machine_spread(args.machine_spread)?;
    let noise = match args.noise {
        Switch::On => NoiseModel::typical(args.seed),
        Switch::Off => NoiseModel::none(),
    };
    let cannot = |error: &dyn std::fmt::Display| {
        CommandError::bad_input(format!("{path}: {error}"))
            .help("the workload needs traffic that fits the cluster")
    };
    let drawn = perturbed_by_seed(&nominal, spread, args.seed);
    let machine = Machine::new(&workload, drawn, noise, Scenario::default())
        .map_err(|error| cannot(&error))?;
    let keys = keys_that_matter(&workload, &nominal).map_err(|error| cannot(&error))?;
    if keys.is_empty() {
        return Err(
            cannot(&"no collective in it that NCCL asks a tuner about").help(
                "AllToAll and SendRecv are built from send and receive; nothing is chosen for them",
            ),
        );
    }
    let testbed = machine.testbed().map_err(|error| cannot(&error))?;
    let encoding = Encoding::per_key(&testbed, &keys);
    let mut first = json!({ "space": encoding.describe() });
    if args.oracle {
        first["default_ms"] = (machine.default_us() / 1e3).into();
        first["oracle_ms"] = (machine.oracle_us() / 1e3).into();
    }
    serve(
        testbed,
        &encoding,
        &first,
        io::stdin().lock(),
        io::stdout().lock(),
    )
    .or_else(|error| match error.kind() {
        // Whoever asked has gone.
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(CommandError::bad_input(format!("cannot go on: {error}"))),
    })
}

fn serve(
    mut testbed: impl Testbed,
    encoding: &Encoding,
    first: &Value,
    input: impl BufRead,
    mut output: impl Write,
) -> io::Result<()> {
    let guard = Guard::new(Bounds::default(), testbed.keys());
    // The job's first iteration is its cold one; nobody tunes by it.
    let _ = testbed.run_iteration(&guard.approve_untuned());
    let mut answer = |value: &Value| {
        writeln!(output, "{value}")?;
        output.flush()
    };
    answer(first)?;
    for line in input.split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if line.trim().is_empty() {
            continue;
        }
        let asked = policy(encoding, &line).and_then(|policy| {
            let approved = guard.approve(&configuration(policy));
            approved.map_err(|refusal| refusal.to_string())
        });
        let found = asked.and_then(|approved| {
            let sample = testbed.run_iteration(&approved);
            sample.map_err(|error| error.to_string())
        });
        answer(&match found {
            Ok(sample) => json!({ "iteration_ms": sample.iteration_us / 1e3 }),
            Err(error) => json!({ "error": error }),
        })?;
    }
    Ok(())
}

/// What a line asks for.
fn policy(encoding: &Encoding, line: &str) -> Result<Policy, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    let object = value.get("configuration").and_then(Value::as_object);
    let object = object.ok_or("expected {\"configuration\": {NAME: VALUE, ...}}")?;
    let point = encoding.point(object).map_err(|error| error.to_string())?;
    Ok(encoding.policy(&point))
}
