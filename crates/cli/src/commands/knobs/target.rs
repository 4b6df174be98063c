//! `--nccl-version` and `--platform`: what knobs are listed for and files are checked against.

use std::path::Path;

use ccl_core::knobs::{CheckContext, NEWEST_KNOWN, ParsePlatformError, Platform, PlatformWord};
use ccl_core::{CLUSTERS, ClusterSpec, NcclVersion, cluster_text};

use super::TargetArgs;
use crate::commands::cluster_argument;
use crate::error::CommandError;

/// A release and a platform, as far as stated.
#[derive(Default)]
pub struct Target {
    /// The release stated with `--nccl-version`, or that of the cluster.
    pub nccl_version: Option<NcclVersion>,
    /// What is known of the platform.
    pub platform: Option<Platform>,
}

impl Target {
    /// What the arguments say.
    ///
    /// # Errors
    /// When the platform is neither a cluster nor words, or the cluster file is unusable.
    pub fn of(args: &TargetArgs) -> Result<Self, CommandError> {
        let Some(text) = args.platform.as_deref() else {
            return Ok(Self {
                nccl_version: args.nccl_version,
                platform: None,
            });
        };
        if let Some(cluster) = cluster(text)? {
            return Ok(Self {
                nccl_version: args.nccl_version.or(Some(cluster.nccl_version)),
                platform: Some(Platform::of(&cluster)),
            });
        }
        match text.parse() {
            Ok(platform) => Ok(Self {
                nccl_version: args.nccl_version,
                platform: Some(platform),
            }),
            Err(error @ ParsePlatformError::Contradiction(..)) => Err(CommandError::bad_input(
                format!("--platform {text}: {error}"),
            )
            .help("give one word for each question")),
            Err(error @ ParsePlatformError::Unknown(_)) => Err(CommandError::bad_input(format!(
                "--platform {text}: {error}, no cluster of the catalogue and no file"
            ))
            .help(format!(
                "words: {}\nclusters: {}",
                PlatformWord::ALL.map(PlatformWord::word).join(", "),
                CLUSTERS.map(|(name, _)| name).join(", "),
            ))),
        }
    }

    /// The release that is meant where none was stated.
    pub fn version(&self) -> NcclVersion {
        self.nccl_version.unwrap_or(NEWEST_KNOWN)
    }

    /// The same for the checks.
    pub fn context(&self) -> CheckContext {
        CheckContext {
            nccl_version: self.nccl_version,
            platform: self.platform,
        }
    }

    /// In words, for the last line of a report: `NCCL 2.18.3 on pcie, ib`.
    pub fn describe(&self) -> String {
        let words: Vec<&str> = self
            .platform
            .iter()
            .flat_map(Platform::words)
            .map(PlatformWord::word)
            .collect();
        let version = match self.nccl_version {
            Some(version) => format!("NCCL {version}"),
            None => format!("NCCL {NEWEST_KNOWN}, the newest known"),
        };
        if words.is_empty() {
            version
        } else {
            format!("{version}, on {}", words.join(", "))
        }
    }
}

/// The cluster of this name or file; `None` for anything else, which may be words.
fn cluster(name: &str) -> Result<Option<ClusterSpec>, CommandError> {
    let is_file = Path::new(name).extension().is_some_and(|e| e == "toml");
    if is_file || cluster_text(name).is_some() {
        cluster_argument::load(name).map(Some)
    } else {
        Ok(None)
    }
}
