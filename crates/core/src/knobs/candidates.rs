//! The search space of process-level tuning: values worth trying.

use super::{Domain, Knob, Platform};
use crate::NcclVersion;

impl Knob {
    /// The values worth trying for this knob in a release, as they would stand in the
    /// environment; empty where a tuner should leave it alone: the knob is not there, means
    /// nothing on the platform, is superseded, or has no such values.
    ///
    /// The values in the catalogue are those inside the domain in every release; what a release
    /// does not accept is left out here.
    pub fn candidates(
        &self,
        version: NcclVersion,
        platform: Option<&Platform>,
    ) -> Vec<&'static str> {
        let meaningless = platform.is_some_and(|p| p.lacks(self.platforms).is_some());
        if !self.exists_in(version) || meaningless || self.superseded_in(version).is_some() {
            return Vec::new();
        }
        let fits = |value: &&str| Domain::misfit(self, value, version).is_none();
        self.search.iter().copied().filter(fits).collect()
    }
}
