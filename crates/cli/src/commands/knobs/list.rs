//! `ccl-agent knobs list`: the catalogue as a table, as JSON, or as the reference page.

use ccl_core::knobs::{Knob, KnobClass, all, reference_page};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Target, TargetArgs, json};
use crate::error::CommandResult;
use crate::output;
use crate::table::{Align, Table};

#[derive(Args)]
pub(super) struct ListArgs {
    /// Only knobs whose change costs this.
    #[arg(long)]
    class: Option<ClassArg>,
    /// Only knobs with values worth trying when tuning.
    #[arg(long)]
    tunable: bool,
    #[command(flatten)]
    target: TargetArgs,
    /// One JSON object instead of a table.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// The reference page of the whole catalogue, doc/reference/knobs.md.
    #[arg(long, conflicts_with_all = ["class", "tunable", "nccl_version", "platform"])]
    markdown: bool,
}

// The words of the catalogue.
#[allow(clippy::enum_variant_names)]
#[derive(Clone, Copy, ValueEnum)]
enum ClassArg {
    PerCall,
    PerCommunicator,
    PerProcess,
}

impl From<ClassArg> for KnobClass {
    fn from(class: ClassArg) -> Self {
        match class {
            ClassArg::PerCall => Self::PerCall,
            ClassArg::PerCommunicator => Self::PerCommunicator,
            ClassArg::PerProcess => Self::PerProcess,
        }
    }
}

pub(super) fn run(args: &ListArgs) -> CommandResult {
    if args.markdown {
        return output::text(reference_page());
    }
    let target = Target::of(&args.target)?;
    let version = target.version();
    let means_something = |k: &Knob| {
        target
            .platform
            .is_none_or(|p| p.lacks(k.platforms).is_none())
    };
    let knobs: Vec<&Knob> = all()
        .iter()
        .filter(|k| target.nccl_version.is_none_or(|v| k.exists_in(v)))
        .filter(|k| args.class.is_none_or(|class| k.class == class.into()))
        .filter(|k| means_something(k))
        .filter(|k| !args.tunable || !k.candidates(version, target.platform.as_ref()).is_empty())
        .collect();
    if args.json {
        let entries: Vec<_> = knobs
            .iter()
            .map(|k| json::knob(k, version, target.platform.as_ref()))
            .collect();
        return output::json(&json!({"nccl_version": version, "knobs": entries}));
    }
    let mut table = Table::new([
        ("KNOB", Align::Left),
        ("DEFAULT", Align::Left),
        ("VERSIONS", Align::Left),
        ("WHAT IT DOES", Align::Left),
    ]);
    for knob in &knobs {
        table.row([
            knob.short_name().to_owned(),
            short(knob.default_in(version)),
            versions(knob),
            knob.does.to_owned(),
        ]);
    }
    output::text(format!(
        "{}\n{} knobs, {}. Names without NCCL_; `ccl-agent knobs show NAME` tells all about one.\n",
        table.render(),
        knobs.len(),
        target.describe()
    ))
}

fn versions(knob: &Knob) -> String {
    match knob.removed_after {
        Some(last) => format!("{}-{last}", knob.since()),
        None => format!("{}-", knob.since()),
    }
}

/// A default that fits a column.
fn short(default: &str) -> String {
    if default.chars().count() > 10 {
        format!("{}...", default.chars().take(7).collect::<String>())
    } else {
        default.to_owned()
    }
}
