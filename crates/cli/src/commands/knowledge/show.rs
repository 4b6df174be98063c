//! `ccl-agent knowledge show ID`: one passage as it is put before a language model.

use ccl_memory::{Knowledge, Passage, fenced};
use clap::Args;

use super::BaseArgs;
use crate::error::{CommandError, CommandResult};
use crate::output;

#[derive(Args)]
pub(super) struct ShowArgs {
    /// The passage, such as protocols#ll128 or knob:NCCL_BUFFSIZE; a variable's name will do.
    id: String,
    #[command(flatten)]
    base: BaseArgs,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ShowArgs) -> CommandResult {
    let knowledge = args.base.knowledge()?;
    let passage = resolve(&knowledge, &args.id)?;
    if args.json {
        output::json(passage)
    } else {
        output::text(fenced(passage))
    }
}

fn resolve<'a>(knowledge: &'a Knowledge, id: &str) -> Result<&'a Passage, CommandError> {
    let card = format!("knob:{}", id.to_ascii_uppercase());
    let found = knowledge.passage(id).or_else(|| knowledge.passage(&card));
    if let Some(passage) = found {
        return Ok(passage);
    }
    let near = knowledge.search(id, 1).map_err(CommandError::bad_input)?;
    let near = near.hits.first().map_or(String::new(), |hit| {
        format!("{} may be meant; ", hit.passage.id)
    });
    Err(
        CommandError::bad_input(format!("there is no passage {id:?}"))
            .help(format!("{near}`ccl-agent knowledge list` has them all")),
    )
}
