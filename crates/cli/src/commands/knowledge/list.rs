//! `ccl-agent knowledge list`: every passage, one line each.

use ccl_memory::{Passage, PassageKind};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::BaseArgs;
use crate::error::CommandResult;
use crate::output;
use crate::table::{Align, Table};

#[derive(Args)]
pub(super) struct ListArgs {
    /// Only passages of this kind.
    #[arg(long)]
    kind: Option<KindArg>,
    #[command(flatten)]
    base: BaseArgs,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum KindArg {
    Page,
    Card,
    User,
}

impl From<KindArg> for PassageKind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Page => Self::Page,
            KindArg::Card => Self::Card,
            KindArg::User => Self::User,
        }
    }
}

pub(super) fn run(args: &ListArgs) -> CommandResult {
    let knowledge = args.base.knowledge()?;
    let passages: Vec<&Passage> = knowledge
        .all()
        .iter()
        .filter(|p| args.kind.is_none_or(|kind| p.kind == kind.into()))
        .collect();
    if args.json {
        return output::json(&json!({"nccl_version": args.base.version(), "passages": passages}));
    }
    let mut table = Table::new([
        ("ID", Align::Left),
        ("WORDS", Align::Right),
        ("TITLE", Align::Left),
    ]);
    for passage in &passages {
        table.row([
            passage.id.clone(),
            passage.text.split_whitespace().count().to_string(),
            passage.title.clone(),
        ]);
    }
    output::text(format!(
        "{}\n{} passages for NCCL {}; `ccl-agent knowledge show ID` shows one.\n",
        table.render(),
        passages.len(),
        args.base.version()
    ))
}
