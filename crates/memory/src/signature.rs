//! What ranking needs to know of a rule, packed so that a hundred thousand can be looked through: a store reads this
//! beside its index, and whole rules only of those that rank.

use std::borrow::Cow;

use ccl_core::{Collective, CommShape, Fabric, NcclVersion, SizeBucket, TaskKey};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{Reach, RuleKind, RuleRecord, VersionRange};

/// A rule without its change and its words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signature<'a> {
    pub(crate) kind: RuleKind,
    pub(crate) network: Option<Fabric>,
    pub(crate) network_gbits: u32,
    pub(crate) nodes: u32,
    pub(crate) ranks_per_node: u32,
    pub(crate) workload: Cow<'a, str>,
    /// The key, where the rule is about calls.
    pub(crate) key: Option<TaskKey>,
    pub(crate) versions: VersionRange,
    pub(crate) wins: u32,
    pub(crate) losses: u32,
    pub(crate) expires: Option<Date>,
    /// Whether somebody widened it and no run came to the same yet.
    pub(crate) is_unconfirmed: bool,
    pub(crate) reach: Reach,
}

/// A key: collective, bucket, ranks, nodes.
type PackedKey = (Collective, u8, u32, u32);
/// Major, minor, patch.
type PackedVersion = (u16, u16, u16);
/// Year, month, day.
type PackedDate = (i16, i8, i8);
/// Whether unconfirmed; buckets and nodes of the reach.
type PackedGeneralisation = (bool, Option<[u8; 2]>, Option<[u32; 2]>);

/// The parts in order: a JSON array without names.
#[derive(Serialize, Deserialize)]
struct Packed<'a>(
    RuleKind,
    Option<Fabric>,
    u32,
    u32,
    u32,
    #[serde(borrow)] Cow<'a, str>,
    Option<PackedKey>,
    PackedVersion,
    PackedVersion,
    u32,
    u32,
    Option<PackedDate>,
    // Rules that were packed before there was any have none.
    #[serde(default)] Option<PackedGeneralisation>,
);

impl<'a> Signature<'a> {
    pub(crate) fn of(rule: &'a RuleRecord) -> Self {
        let context = &rule.context;
        Self {
            kind: rule.kind,
            network: context.network,
            network_gbits: context.network_gbits,
            nodes: context.nodes,
            ranks_per_node: context.ranks_per_node,
            workload: Cow::Borrowed(&context.workload),
            key: rule.call().map(|(key, _)| key),
            versions: rule.known_versions(),
            wins: rule.wins,
            losses: rule.losses,
            expires: rule.expires,
            is_unconfirmed: rule.is_unconfirmed(),
            reach: rule
                .generalised
                .as_ref()
                .map_or_else(Reach::default, |g| g.reach),
        }
    }

    /// The text that is kept.
    pub(crate) fn pack(&self) -> Result<String, serde_json::Error> {
        let version = |v: NcclVersion| (v.major, v.minor, v.patch);
        serde_json::to_string(&Packed(
            self.kind,
            self.network,
            self.network_gbits,
            self.nodes,
            self.ranks_per_node,
            Cow::Borrowed(&self.workload),
            self.key
                .map(|k| (k.collective, k.bucket.0, k.shape.ranks, k.shape.nodes)),
            version(self.versions.from),
            version(self.versions.to),
            self.wins,
            self.losses,
            self.expires.map(|d| (d.year(), d.month(), d.day())),
            self.packed_generalisation(),
        ))
    }

    fn packed_generalisation(&self) -> Option<PackedGeneralisation> {
        let Reach { sizes, nodes } = self.reach;
        let is_any = self.is_unconfirmed || !self.reach.is_none();
        is_any.then(|| {
            (
                self.is_unconfirmed,
                sizes.map(|ends| ends.map(|b| b.0)),
                nodes,
            )
        })
    }

    /// What a text holds.
    pub(crate) fn unpack(text: &'a str) -> Result<Self, serde_json::Error> {
        let Packed(
            kind,
            network,
            network_gbits,
            nodes,
            ranks_per_node,
            workload,
            key,
            from,
            to,
            wins,
            losses,
            expires,
            generalisation,
        ) = serde_json::from_str(text)?;
        let version = |(major, minor, patch)| NcclVersion::new(major, minor, patch);
        let key = key.map(|(collective, bucket, ranks, nodes)| TaskKey {
            shape: CommShape::new(ranks, nodes),
            collective,
            bucket: SizeBucket(bucket),
        });
        let (is_unconfirmed, of_sizes, of_nodes) = generalisation.unwrap_or_default();
        let date = |(year, month, day)| {
            let no_day = <serde_json::Error as serde::de::Error>::custom;
            Date::new(year, month, day).map_err(no_day)
        };
        Ok(Self {
            kind,
            network,
            network_gbits,
            nodes,
            ranks_per_node,
            workload,
            key,
            versions: VersionRange {
                from: version(from),
                to: version(to),
            },
            wins,
            losses,
            expires: expires.map(date).transpose()?,
            is_unconfirmed,
            reach: Reach {
                sizes: of_sizes.map(|ends| ends.map(SizeBucket)),
                nodes: of_nodes,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use ccl_core::Source;
    use jiff::civil::date;

    use super::*;
    use crate::testing::{context, key};
    use crate::{Change, Generalisation, RuleRecord};

    #[test]
    fn what_is_packed_is_unpacked() {
        let mut rule = RuleRecord::new(
            RuleKind::Avoid,
            context(),
            Change::Variable {
                name: "NCCL_NVLS_ENABLE".to_owned(),
                value: "0".to_owned(),
                against: None,
            },
            Source::Measured,
            "run",
        );
        rule.context.workload = "a \"quoted\", name".to_owned();
        rule.context.network = Some(Fabric::Roce);
        rule.expires = Some(date(2026, 2, 28));
        let packed = Signature::of(&rule).pack().unwrap();
        assert_eq!(Signature::unpack(&packed).unwrap(), Signature::of(&rule));
        let choice = ccl_core::Choice::new(ccl_core::Algorithm::Ring, ccl_core::Protocol::Ll);
        rule.change = Change::Call {
            key: key(),
            choice,
            against: None,
        };
        rule.versions = Some(VersionRange {
            from: NcclVersion::new(2, 19, 3),
            to: NcclVersion::new(2, 30, 0),
        });
        let packed = Signature::of(&rule).pack().unwrap();
        assert_eq!(Signature::unpack(&packed).unwrap(), Signature::of(&rule));
        let before = packed.rsplit_once(',').unwrap().0.to_owned() + "]";
        assert_eq!(Signature::unpack(&before).unwrap(), Signature::of(&rule));
        let mut widened = Generalisation::new("m", "w");
        widened.reach = Reach {
            sizes: Some([SizeBucket(20), SizeBucket(24)]),
            nodes: Some([1, 4]),
        };
        rule.generalised = Some(widened);
        let packed = Signature::of(&rule).pack().unwrap();
        assert_eq!(Signature::unpack(&packed).unwrap(), Signature::of(&rule));
        assert!(Signature::unpack("[\"avoid\"]").is_err());
    }
}
