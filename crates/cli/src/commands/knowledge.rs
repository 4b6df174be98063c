//! `ccl-agent knowledge`: what the agent knows beforehand, found as the agent finds it.

mod add;
mod export;
mod import;
mod list;
mod search;
mod show;
mod training_set;

use ccl_core::NcclVersion;
use ccl_core::knobs::NEWEST_KNOWN;
use ccl_memory::{Knowledge, Opening};
use clap::{Args, Subcommand};

use crate::commands::memory_argument;
use crate::error::{CommandError, CommandResult};

/// What is known of NCCL, networks and platforms: search it as the agent does, and add to it.
#[derive(Args)]
pub struct KnowledgeArgs {
    #[command(subcommand)]
    command: KnowledgeCommand,
}

#[derive(Subcommand)]
enum KnowledgeCommand {
    /// List all passages.
    List(list::ListArgs),
    /// Show one passage as it is put before a language model.
    Show(show::ShowArgs),
    /// Search, and show exactly what the agent would see.
    Search(search::SearchArgs),
    /// Keep Markdown or text files as documents of your own.
    Add(add::AddArgs),
    /// Write everything a memory holds, one JSON object a line.
    Export(export::ExportArgs),
    /// Take over what another memory exported; what is here stays.
    Import(import::ImportArgs),
    /// Write what runs decided and what came of it, one JSON object a line, to fine-tune a language model.
    TrainingSet(training_set::TrainingSetArgs),
}

/// Which passages there are.
#[derive(Args)]
struct BaseArgs {
    /// The NCCL release whose knobs are meant, such as 2.27.3; the newest known unless given.
    #[arg(long, value_name = "V")]
    nccl_version: Option<NcclVersion>,
    /// The memory that keeps your own documents; see `knowledge add`.
    #[arg(long, value_name = "URL")]
    memory: Option<String>,
}

impl BaseArgs {
    fn version(&self) -> NcclVersion {
        self.nccl_version.unwrap_or(NEWEST_KNOWN)
    }

    /// Indexes the pages, the cards of the release, and the documents of the memory.
    fn knowledge(&self) -> Result<Knowledge, CommandError> {
        let documents = match &self.memory {
            Some(address) => {
                let mut memory = memory_argument::open(address, Opening::Existing)?;
                memory.documents().map_err(|error| {
                    CommandError::bad_input(format!("{}: {error}", memory.place()))
                        .help("name the memory that `ccl-agent knowledge add` wrote to, or leave out --memory")
                })?
            }
            None => Vec::new(),
        };
        Knowledge::new(self.version(), &documents).map_err(CommandError::bad_input)
    }
}

/// Runs one of the commands.
///
/// # Errors
/// Bad input: an unknown passage, a file that cannot be read or kept.
pub fn run(args: &KnowledgeArgs) -> CommandResult {
    match &args.command {
        KnowledgeCommand::List(args) => list::run(args),
        KnowledgeCommand::Show(args) => show::run(args),
        KnowledgeCommand::Search(args) => search::run(args),
        KnowledgeCommand::Add(args) => add::run(args),
        KnowledgeCommand::Export(args) => export::run(args),
        KnowledgeCommand::Import(args) => import::run(args),
        KnowledgeCommand::TrainingSet(args) => training_set::run(args),
    }
}
