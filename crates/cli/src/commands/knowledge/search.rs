//! `ccl-agent knowledge search QUERY`: what the agent would be shown for these words.

use std::fmt::Write as _;

use ccl_memory::{Hit, Knowledge, fenced};
use clap::Args;
use serde_json::{Value, json};

use super::BaseArgs;
use crate::commands::embeddings::{EmbeddingArgs, embedder};
use crate::error::{CommandError, CommandResult};
use crate::output;

#[derive(Args)]
pub(super) struct SearchArgs {
    /// The question, in any words.
    #[arg(required = true)]
    query: Vec<String>,
    /// How many passages.
    #[arg(long, value_name = "N", default_value_t = 5)]
    top: u16,
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    embeddings: EmbeddingArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SearchArgs) -> CommandResult {
    let query = args.query.join(" ");
    let mut knowledge: Knowledge = args.base.knowledge()?;
    if let Some(embedder) = embedder(&args.embeddings)? {
        knowledge = knowledge.with_embedder(embedder);
    }
    let found = knowledge
        .search(&query, usize::from(args.top))
        .map_err(CommandError::bad_input)?;
    if args.json {
        return output::json(&json!({
            "query": query,
            "nccl_version": args.base.version(),
            "hits": found.hits.iter().map(as_json).collect::<Vec<_>>(),
            "without_embedder": found.without_embedder,
        }));
    }
    let mut text = String::new();
    for (rank, hit) in (1..).zip(&found.hits) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{rank}. {} (score {:.3})", hit.passage.id, hit.score);
        let _ = writeln!(text, "{}", fenced(hit.passage));
    }
    if found.hits.is_empty() {
        text.push_str("Nothing is known that shares a word with this.\n");
    }
    if let Some(why) = &found.without_embedder {
        let _ = writeln!(text, "Searched by words only: {why}.");
    }
    output::text(text)
}

fn as_json(hit: &Hit<'_>) -> Value {
    json!({
        "id": hit.passage.id,
        "kind": hit.passage.kind,
        "title": hit.passage.title,
        "score": hit.score,
        "source": hit.passage.source,
        "text": hit.passage.text,
        "prompt": fenced(hit.passage),
    })
}
