//! One entry of the catalogue, and the constructors that keep the entries readable.
//!
//! Only data and its plain questions (does this version have it, what is its default there).

use serde::Serialize;

use super::{Domain, PlatformWord};
use crate::NcclVersion;

/// The newest NCCL the catalogue was read from.
pub const NEWEST_KNOWN: NcclVersion = NcclVersion::new(2, 30, 7);

/// The finest level at which the decision behind a knob can be taken, and so what a trial costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnobClass {
    /// A tuner plugin decides it per call: a change costs nothing.
    PerCall,
    /// A field of `ncclConfig_t`, or read anew by each communicator: a change costs a new
    /// communicator.
    PerCommunicator,
    /// Read once and cached: a change costs a restart.
    PerProcess,
}

impl KnobClass {
    /// All classes, cheapest first.
    pub const ALL: [Self; 3] = [Self::PerCall, Self::PerCommunicator, Self::PerProcess];

    /// The word used on the command line and in the reference page.
    pub const fn word(self) -> &'static str {
        match self {
            Self::PerCall => "per-call",
            Self::PerCommunicator => "per-communicator",
            Self::PerProcess => "per-process",
        }
    }
}

/// One variable of NCCL.
#[derive(Clone, Copy, Debug)]
pub struct Knob {
    /// The variable, such as `NCCL_NTHREADS`.
    pub name: &'static str,
    /// What a change costs.
    pub class: KnobClass,
    /// What it accepts.
    pub domain: Domain,
    /// One line of what it does.
    pub does: &'static str,
    /// Default by version, oldest first; `unset` where NCCL decides. The first version is the
    /// first release that has the variable.
    pub defaults: &'static [(NcclVersion, &'static str)],
    /// The last release that has it; `None` while the newest has it.
    pub removed_after: Option<NcclVersion>,
    /// The number that means "NCCL decides" and is accepted besides the domain.
    pub automatic: Option<i64>,
    /// Where it means something; empty for everywhere.
    pub platforms: &'static [PlatformWord],
    /// What NCCL does with a value outside the domain, where that is known.
    pub outside: Option<&'static str>,
    /// What can go wrong.
    pub hazards: &'static [&'static str],
    /// Other knobs to think of when this one changes.
    pub interactions: &'static [&'static str],
    /// The knob to use instead.
    pub superseded_by: Option<&'static str>,
    /// Values worth trying when tuning, each inside the domain; empty when a tuner should leave
    /// it alone.
    pub search: &'static [&'static str],
    /// The file of NCCL's source that reads it.
    pub source: &'static str,
    /// Whether NCCL's user guide lists it.
    pub documented: bool,
}

impl Knob {
    pub(super) const fn new(name: &'static str, class: KnobClass, domain: Domain) -> Self {
        Self {
            name,
            class,
            domain,
            does: "",
            defaults: &[],
            removed_after: None,
            automatic: None,
            platforms: &[],
            outside: None,
            hazards: &[],
            interactions: &[],
            superseded_by: None,
            search: &[],
            source: "",
            documented: false,
        }
    }

    pub(super) const fn does(mut self, line: &'static str) -> Self {
        self.does = line;
        self
    }

    pub(super) const fn default(
        mut self,
        by_version: &'static [(NcclVersion, &'static str)],
    ) -> Self {
        self.defaults = by_version;
        self
    }

    pub(super) const fn removed_after(mut self, last: NcclVersion) -> Self {
        self.removed_after = Some(last);
        self
    }

    pub(super) const fn automatic(mut self, number: i64) -> Self {
        self.automatic = Some(number);
        self
    }

    pub(super) const fn on(mut self, platforms: &'static [PlatformWord]) -> Self {
        self.platforms = platforms;
        self
    }

    pub(super) const fn outside(mut self, consequence: &'static str) -> Self {
        self.outside = Some(consequence);
        self
    }

    pub(super) const fn hazards(mut self, hazards: &'static [&'static str]) -> Self {
        self.hazards = hazards;
        self
    }

    pub(super) const fn with(mut self, interactions: &'static [&'static str]) -> Self {
        self.interactions = interactions;
        self
    }

    pub(super) const fn superseded_by(mut self, name: &'static str) -> Self {
        self.superseded_by = Some(name);
        self
    }

    pub(super) const fn search(mut self, values: &'static [&'static str]) -> Self {
        self.search = values;
        self
    }

    pub(super) const fn source(mut self, file: &'static str) -> Self {
        self.source = file;
        self
    }

    pub(super) const fn documented(mut self) -> Self {
        self.documented = true;
        self
    }

    /// The first release that has the variable.
    pub fn since(&self) -> NcclVersion {
        self.defaults
            .first()
            .map_or(NEWEST_KNOWN, |(since, _)| *since)
    }

    /// Whether this release has it. A version with patch 0, which NCCL never released, stands
    /// for its whole minor release.
    pub fn exists_in(&self, version: NcclVersion) -> bool {
        !self.not_yet_in(version) && !self.gone_in(version)
    }

    /// Whether this release is older than the variable.
    pub fn not_yet_in(&self, version: NcclVersion) -> bool {
        before(version, self.since())
    }

    /// Whether this release no longer has it.
    pub fn gone_in(&self, version: NcclVersion) -> bool {
        self.removed_after.is_some_and(|last| {
            if version.patch == 0 {
                (version.major, version.minor) > (last.major, last.minor)
            } else {
                version > last
            }
        })
    }

    /// The default in a release; `unset` where NCCL decides.
    pub fn default_in(&self, version: NcclVersion) -> &'static str {
        let reached = self
            .defaults
            .iter()
            .rev()
            .find(|(since, _)| !before(version, *since));
        reached
            .or(self.defaults.first())
            .map_or("unset", |(_, value)| value)
    }

    /// The knob to use instead in a release: the last of those that took each other's place by
    /// then.
    pub fn superseded_in(&self, version: NcclVersion) -> Option<&'static str> {
        let better = self.superseded_by.and_then(super::find)?;
        if better.not_yet_in(version) {
            None
        } else {
            better.superseded_in(version).or(Some(better.name))
        }
    }

    /// The name without the prefix that all of them share.
    pub fn short_name(&self) -> &'static str {
        self.name.strip_prefix("NCCL_").unwrap_or(self.name)
    }
}

/// Whether a release is older than another; patch 0 stands for the whole minor release.
pub(super) fn before(version: NcclVersion, other: NcclVersion) -> bool {
    if version.patch == 0 {
        (version.major, version.minor) < (other.major, other.minor)
    } else {
        version < other
    }
}
