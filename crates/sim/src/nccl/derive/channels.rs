//! How many channels of which speed: a closed form of what NCCL's graph search ends with.
//!
//! NCCL tries speeds from a list, fastest first, lays as many channels of that speed as fit, and
//! keeps the best product (`ncclTopoCompute`, `ncclTopoDupChannels` in `src/graph/search.cc`). The
//! search lays real paths; here a channel fits when the sums of bandwidths do.

use ccl_core::NcclVersion;

/// Speeds of one channel NCCL tries, GB/s, by compute capability and whether a network is involved.
pub(super) fn speeds(
    version: NcclVersion,
    compute_capability: u32,
    network: bool,
) -> &'static [f32] {
    let from = |minor| version >= NcclVersion::new(2, minor, 0);
    match (compute_capability, network) {
        // Blackwell has had lists of its own since 2.25.
        (100.., _) if !from(25) => speeds(version, 90, network),
        (90.., false) if !from(19) => &[60.0, 40.0, 30.0, 24.0, 20.0, 15.0, 12.0, 6.0, 3.0],
        (90.., false) if !from(21) => &[60.0, 50.0, 40.0, 30.0, 24.0, 20.0, 15.0, 12.0, 6.0, 3.0],
        (90.., true) if !from(19) => &[
            48.0, 45.0, 42.0, 40.0, 30.0, 24.0, 20.0, 17.5, 15.0, 12.0, 6.0, 3.0, 2.4, 1.2, 0.24,
            0.12,
        ],
        (100.., false) => &[
            90.0, 80.0, 70.0, 60.0, 50.0, 45.0, 40.0, 30.0, 24.0, 20.0, 19.0, 18.0,
        ],
        (100.., true) => &[
            96.0, 86.0, 80.0, 48.0, 45.1, 42.0, 40.0, 30.0, 24.0, 22.0, 20.0, 17.5, 15.0, 12.0,
            6.0, 3.0, 2.4, 1.2, 0.24, 0.12,
        ],
        (90.., false) => &[
            60.0, 50.0, 40.0, 30.0, 24.0, 20.0, 15.0, 12.0, 11.0, 6.0, 3.0,
        ],
        (90.., true) => &[
            48.0, 45.0, 42.0, 40.0, 30.0, 24.0, 22.0, 20.0, 17.5, 15.0, 12.0, 6.0, 3.0, 2.4, 1.2,
            0.24, 0.12,
        ],
        (_, false) => &[
            40.0, 30.0, 20.0, 18.0, 15.0, 12.0, 10.0, 9.0, 7.0, 6.0, 5.0, 4.0, 3.0,
        ],
        (_, true) => &[
            48.0, 30.0, 28.0, 24.0, 20.0, 18.0, 15.0, 12.0, 10.0, 9.0, 7.0, 6.0, 5.0, 4.0, 3.0,
            2.4, 1.2, 0.24, 0.12,
        ],
    }
}

/// Channels of one speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Channels {
    pub(super) count: u32,
    /// GB/s of each.
    pub(super) speed_gbs: f32,
}

impl Channels {
    #[allow(clippy::cast_precision_loss)] // channel counts
    fn total_gbs(self) -> f32 {
        self.count as f32 * self.speed_gbs
    }
}

/// What limits a set of channels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// One channel, GB/s.
    pub(super) channel_gbs: f32,
    /// What each of `ports` carries, GB/s: a NIC, or the way through a node.
    pub(super) port_gbs: f32,
    /// Ports that work side by side.
    pub(super) ports: u32,
    /// All channels together, GB/s.
    pub(super) total_gbs: f32,
    /// Most channels.
    pub(super) channels: u32,
}

/// The best set of channels within the limits: the fastest that is not beaten in sum by a speed
/// more than 0.49 of it. Where not even the slowest speed fits, one channel of 0.1 GB/s, as NCCL
/// falls back to.
pub(super) fn best(speeds: &[f32], limits: Limits) -> Channels {
    let mut found: Option<Channels> = None;
    for &speed_gbs in speeds.iter().filter(|&&s| s <= limits.channel_gbs) {
        if found.is_some_and(|f| speed_gbs / f.speed_gbs <= 0.49) {
            break;
        }
        let count = (limits.ports * whole(limits.port_gbs, speed_gbs))
            .min(whole(limits.total_gbs, speed_gbs))
            .min(limits.channels);
        let candidate = Channels { count, speed_gbs };
        if count > 0 && found.is_none_or(|f| candidate.total_gbs() > f.total_gbs()) {
            found = Some(candidate);
            if candidate.total_gbs() >= limits.total_gbs {
                break;
            }
        }
    }
    found.unwrap_or(Channels {
        count: 1,
        speed_gbs: 0.1,
    })
}

/// Fast channels are split in two, so that more thread blocks share the work.
pub(super) fn duplicate(channels: Channels, compute_capability: u32, most: u32) -> Channels {
    let Channels { count, speed_gbs } = channels;
    let many = compute_capability > 80 && speed_gbs < 50.0 && count > 4;
    let doubled = (2 * count).min(most);
    if speed_gbs < 25.0 || many || doubled <= count {
        return channels;
    }
    #[allow(clippy::cast_precision_loss)] // channel counts
    let parts = doubled.div_ceil(count) as f32;
    Channels {
        count: doubled,
        speed_gbs: speed_gbs / parts,
    }
}

/// The fastest speed at which `count` channels stay within `channel_gbs` each and `total_gbs`
/// together; at least `from`. With `twice` the search stops at the first speed that is twice
/// `from` or more.
pub(super) fn raise(
    speeds: &[f32],
    count: u32,
    from: f32,
    channel_gbs: f32,
    total_gbs: f32,
    twice: bool,
) -> f32 {
    let mut speed = from;
    for &next in speeds.iter().rev().filter(|&&s| s > from) {
        let fits = next <= channel_gbs && whole(total_gbs, next) >= count;
        if !fits || (twice && speed >= 2.0 * from) {
            break;
        }
        speed = next;
    }
    speed
}

/// How often `part` fits into `all`, forgiving rounding to a thousandth as NCCL does.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small and positive
fn whole(all: f32, part: f32) -> u32 {
    ((all + 0.0005) / part).clamp(0.0, 1e6) as u32
}
