//! NCCL versions, compared as numbers.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A version such as 2.30.7.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct NcclVersion {
    /// 2 for every NCCL of the last years.
    pub major: u16,
    /// The release.
    pub minor: u16,
    /// The patch.
    pub patch: u16,
}

/// Text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not an NCCL version; write 2.30.7 or 2.18.3-1")]
pub struct ParseVersionError(pub String);

impl NcclVersion {
    /// A version from its three numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl FromStr for NcclVersion {
    type Err = ParseVersionError;

    /// Reads `2.30.7`, `v2.18.3-1` and `2.21.5+cuda12.4`; a missing patch is 0.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseVersionError(text.to_owned());
        let plain = text.trim().trim_start_matches('v');
        let plain = plain.split(['-', '+']).next().unwrap_or(plain);
        let mut numbers = plain
            .split('.')
            .map(|n| n.parse::<u16>().map_err(|_| error()));
        let version = Self {
            major: numbers.next().ok_or_else(error)??,
            minor: numbers.next().ok_or_else(error)??,
            patch: numbers.next().transpose()?.unwrap_or(0),
        };
        if numbers.next().is_some() {
            Err(error())
        } else {
            Ok(version)
        }
    }
}

impl TryFrom<String> for NcclVersion {
    type Error = ParseVersionError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NcclVersion> for String {
    fn from(version: NcclVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for NcclVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let v = |s: &str| s.parse::<NcclVersion>().unwrap();
        assert!(v("2.9.9") < v("2.18.3-1"));
        assert_eq!(v("v2.21.5+cuda12.4"), NcclVersion::new(2, 21, 5));
        assert_eq!(v("2.30"), NcclVersion::new(2, 30, 0));
        for bad in ["", "2", "2.x.1", "2.1.1.1", "-2.1"] {
            assert!(bad.parse::<NcclVersion>().is_err(), "{bad}");
        }
    }
}
