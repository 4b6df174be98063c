//! `ccl-agent knobs show NAME`: all about one knob.

use ccl_core::knobs::{Knob, card, find, nearest};
use clap::Args;

use super::{Target, TargetArgs, json};
use crate::error::{CommandError, CommandResult};
use crate::output;
use crate::table::{WIDTH, wrap};

#[derive(Args)]
pub(super) struct ShowArgs {
    /// The variable, in any case, with or without NCCL_.
    name: String,
    #[command(flatten)]
    target: TargetArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs) -> CommandResult {
    let knob = resolve(&args.name)?;
    let target = Target::of(&args.target)?;
    if args.json {
        return output::json(&json::knob(
            knob,
            target.version(),
            target.platform.as_ref(),
        ));
    }
    let mut text = String::new();
    for line in card(knob, target.version()).lines() {
        text.push_str(&indented(line));
    }
    if let Some(lack) = target.platform.and_then(|p| p.lacks(knob.platforms)) {
        text.push_str(&indented(&format!("here: {lack}")));
    }
    output::text(text)
}

/// A line of the card, wrapped below its label.
fn indented(line: &str) -> String {
    let mut lines = wrap(line, WIDTH - 4).into_iter();
    let first = lines.next().unwrap_or_default();
    lines.fold(format!("{first}\n"), |text, rest| {
        format!("{text}    {rest}\n")
    })
}

fn resolve(name: &str) -> Result<&'static Knob, CommandError> {
    let upper = name.trim().to_ascii_uppercase().replace('-', "_");
    let found = find(&upper).or_else(|| find(&format!("NCCL_{upper}")));
    found.ok_or_else(|| {
        let (near, _) = nearest(name);
        CommandError::bad_input(format!("{name:?} is no knob of NCCL")).help(format!(
            "the nearest is {}; `ccl-agent knobs list` has them all",
            near.name
        ))
    })
}
