//! Coordinate descent over the choices of one task key, ask and tell.
//!
//! One dimension at a time from the incumbent: algorithm and protocol, channels, chunk, and then
//! channels and chunk together, because a smaller chunk often pays only with more channels
//! (AutoCCL, NSDI 2025, table 3). A whole line can be asked at once, since many leases fit into
//! one iteration. No point is proposed twice; the search ends after a full turn without a new
//! incumbent.

use std::collections::BTreeSet;

use ccl_core::{Algorithm, Choice, Protocol, format_bytes};

/// What may be asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space {
    /// Algorithms and protocols.
    pub pairs: Vec<(Algorithm, Protocol)>,
    /// Channel counts, ascending.
    pub channels: Vec<u32>,
    /// Chunk sizes, bytes, ascending; they exist for Simple only.
    pub chunk_bytes: Vec<u64>,
    /// The complete list of points, where there are no others.
    pub only: Option<Vec<Choice>>,
}

impl Space {
    /// Number of points.
    pub fn size(&self) -> u64 {
        if let Some(points) = &self.only {
            return points.len() as u64;
        }
        let channels = self.channels.len() as u64 + 1;
        let chunks = self.chunk_bytes.len() as u64 + 1;
        self.pairs
            .iter()
            .map(|(_, p)| channels * if *p == Protocol::Simple { chunks } else { 1 })
            .sum()
    }

    /// Every point, in a fixed order.
    pub fn points(&self) -> Vec<Choice> {
        if let Some(points) = &self.only {
            return points.clone();
        }
        let mut points = Vec::new();
        for &(algorithm, protocol) in &self.pairs {
            let channels = std::iter::once(None).chain(self.channels.iter().copied().map(Some));
            for channels in channels {
                let base = Choice {
                    channels,
                    ..Choice::new(algorithm, protocol)
                };
                points.push(base);
                if protocol == Protocol::Simple {
                    points.extend(self.chunk_bytes.iter().map(|&n| base.with_chunk_bytes(n)));
                }
            }
        }
        points
    }
}

/// The dimensions, in the order they are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Pair,
    Channels,
    Chunk,
    ChannelsAndChunk,
}

const TURN: [Dimension; 4] = [
    Dimension::Pair,
    Dimension::Channels,
    Dimension::Chunk,
    Dimension::ChannelsAndChunk,
];

/// The search of one key.
#[derive(Clone, Debug)]
pub struct KeySearch {
    space: Space,
    /// What NCCL runs by itself, as far as known: where the lines start from.
    untuned: Option<Choice>,
    incumbent: Option<Choice>,
    asked: BTreeSet<Choice>,
    dimension: usize,
    idle_dimensions: usize,
}

impl KeySearch {
    /// A search that starts from NCCL's own choice.
    pub fn new(space: Space, untuned: Option<Choice>) -> Self {
        Self {
            space,
            untuned,
            incumbent: None,
            asked: BTreeSet::new(),
            dimension: 0,
            idle_dimensions: 0,
        }
    }

    /// Where it searches.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Up to `width` points worth a trial, each with one sentence; none when the search is over.
    pub fn ask(&mut self, width: usize) -> Vec<(Choice, String)> {
        while self.idle_dimensions < TURN.len() {
            let dimension = TURN[self.dimension % TURN.len()];
            let line: Vec<_> = self
                .line(dimension)
                .into_iter()
                .filter(|(choice, _)| !self.asked.contains(choice))
                .take(width)
                .collect();
            if line.is_empty() {
                self.dimension += 1;
                self.idle_dimensions += 1;
                continue;
            }
            self.asked.extend(line.iter().map(|(choice, _)| *choice));
            return line;
        }
        Vec::new()
    }

    /// How a point ended; points of other lanes count as well. `ratio` is candidate / incumbent.
    pub fn tell(&mut self, choice: Choice, _ratio: Option<f64>, kept: bool) {
        self.asked.insert(choice);
        if kept {
            self.incumbent = Some(choice);
            self.idle_dimensions = 0;
        }
    }

    /// What the key runs now.
    fn center(&self) -> Option<Choice> {
        self.incumbent.or(self.untuned)
    }

    /// The untried and tried points of one dimension through the incumbent, nearest first.
    fn line(&self, dimension: Dimension) -> Vec<(Choice, String)> {
        if let Some(points) = &self.space.only {
            return points
                .iter()
                .map(|c| (*c, format!("{c} is on record")))
                .collect();
        }
        let Some(center) = self.center() else {
            return self.pairs_line(None);
        };
        // A dimension the incumbent leaves to NCCL stays with NCCL unless it is the one searched.
        let base = self
            .incumbent
            .unwrap_or(Choice::new(center.algorithm, center.protocol));
        let simple = base.protocol == Protocol::Simple;
        let channels_now = center.channels;
        let chunk_now = center.chunk_bytes;
        match dimension {
            Dimension::Pair => self.pairs_line(self.incumbent),
            Dimension::Channels => nearest(&self.space.channels, channels_now)
                .into_iter()
                .map(|n| {
                    let because = format!("channels {} -> {n}", shown(channels_now));
                    (base.with_channels(n), because)
                })
                .collect(),
            Dimension::Chunk if simple => nearest(&self.space.chunk_bytes, chunk_now)
                .into_iter()
                .map(|n| {
                    let now = chunk_now.map_or("NCCL's".to_owned(), format_bytes);
                    (
                        base.with_chunk_bytes(n),
                        format!("chunk {now} -> {}", format_bytes(n)),
                    )
                })
                .collect(),
            Dimension::ChannelsAndChunk if simple => {
                let near = |n: usize, all: usize| n.min(all);
                let channels = nearest(&self.space.channels, channels_now);
                let chunks = nearest(&self.space.chunk_bytes, chunk_now);
                let mut line = Vec::new();
                for &c in &channels[..near(3, channels.len())] {
                    for &k in &chunks[..near(4, chunks.len())] {
                        let because = format!("channels -> {c} and chunk -> {}", format_bytes(k));
                        line.push((base.with_channels(c).with_chunk_bytes(k), because));
                    }
                }
                line
            }
            Dimension::Chunk | Dimension::ChannelsAndChunk => Vec::new(),
        }
    }

    fn pairs_line(&self, incumbent: Option<Choice>) -> Vec<(Choice, String)> {
        let mut line: Vec<(Choice, String)> = self
            .space
            .pairs
            .iter()
            .filter(|(a, p)| {
                self.center()
                    .is_none_or(|c| (c.algorithm, c.protocol) != (*a, *p))
            })
            .map(|&(a, p)| (Choice::new(a, p), format!("{a}/{p} in place of what runs")))
            .collect();
        // The same with the incumbent's channels, once it has any of its own.
        if let Some(channels) = incumbent.and_then(|c| c.channels) {
            let with: Vec<_> = line
                .iter()
                .map(|(c, why)| {
                    (
                        c.with_channels(channels),
                        format!("{why}, {channels} channels"),
                    )
                })
                .collect();
            line.extend(with);
        }
        line
    }
}

/// Levels by their distance (as a ratio) from where the search stands, without that level.
fn nearest<T: Copy + Into<u64> + PartialEq + Ord>(levels: &[T], now: Option<T>) -> Vec<T> {
    let mut others: Vec<T> = levels.iter().copied().filter(|n| Some(*n) != now).collect();
    #[allow(clippy::cast_precision_loss)] // a ratio of sizes
    if let Some(now) = now {
        let ln = |n: T| (n.into().max(1) as f64).ln();
        others.sort_by(|&a, &b| {
            (ln(a) - ln(now))
                .abs()
                .total_cmp(&(ln(b) - ln(now)).abs())
                .then(b.cmp(&a))
        });
    }
    others
}

fn shown(n: Option<u32>) -> String {
    n.map_or("NCCL's".to_owned(), |n| n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space {
            pairs: vec![
                (Algorithm::Tree, Protocol::Simple),
                (Algorithm::Ring, Protocol::Ll),
                (Algorithm::Ring, Protocol::Simple),
            ],
            channels: vec![1, 2, 4, 8, 16, 32],
            chunk_bytes: (15..22).map(|k| 1 << k).collect(),
            only: None,
        }
    }

    /// A small chunk helps only with many channels, and hurts with few: a ridge.
    fn time(choice: Choice) -> f64 {
        let channels = f64::from(choice.channels.unwrap_or(2));
        #[allow(clippy::cast_precision_loss)]
        let chunk = choice.chunk_bytes.unwrap_or(2 << 20) as f64 / 65536.0;
        let pair = match (choice.algorithm, choice.protocol) {
            (Algorithm::Ring, Protocol::Simple) => 1.0,
            (Algorithm::Ring, _) => 1.8,
            _ => 1.1,
        };
        pair * (1.0 + 2.0 / channels + channels / 64.0 + 0.3 * (chunk * channels / 8.0).ln().abs())
    }

    fn run(width: usize) -> (f64, usize) {
        let untuned = Choice::new(Algorithm::Tree, Protocol::Simple).with_channels(2);
        let mut search = KeySearch::new(space(), Some(untuned));
        let (mut best, mut evaluations) = (time(untuned), 0);
        loop {
            let asked = search.ask(width);
            if asked.is_empty() {
                return (best, evaluations);
            }
            evaluations += asked.len();
            let fastest = asked
                .iter()
                .map(|(c, _)| (*c, time(*c)))
                .min_by(|a, b| a.1.total_cmp(&b.1))
                .unwrap();
            for (choice, _) in asked {
                let kept = choice == fastest.0 && fastest.1 < best;
                search.tell(choice, Some(time(choice) / best), kept);
            }
            best = best.min(fastest.1);
        }
    }

    #[test]
    fn it_captures_nearly_all_of_the_gain_with_few_evaluations() {
        let untuned = time(Choice::new(Algorithm::Tree, Protocol::Simple).with_channels(2));
        let optimum = space()
            .points()
            .into_iter()
            .map(time)
            .fold(f64::INFINITY, f64::min);
        for width in [1, 4, 8] {
            let (best, evaluations) = run(width);
            let captured = (untuned - best) / (untuned - optimum);
            assert!(captured >= 0.9, "width {width}: captured {captured:.2}");
            let all = usize::try_from(space().size()).unwrap();
            assert!(evaluations <= all, "width {width}: {evaluations} of {all}");
        }
    }

    #[test]
    fn no_point_is_asked_twice_and_none_is_outside() {
        let points = space().points();
        assert_eq!(points.len() as u64, space().size());
        let mut search = KeySearch::new(space(), None);
        let mut seen = BTreeSet::new();
        loop {
            let asked = search.ask(3);
            if asked.is_empty() {
                break;
            }
            for (choice, because) in asked {
                assert!(seen.insert(choice), "{choice} twice");
                assert!(points.contains(&choice), "{choice} outside");
                assert!(!because.is_empty());
                search.tell(choice, Some(1.0), false);
            }
        }
    }

    #[test]
    fn a_recorded_space_is_walked_to_its_end() {
        let only = vec![Choice::new(Algorithm::Ring, Protocol::Simple).with_channels(4)];
        let space = Space {
            only: Some(only.clone()),
            ..Space::default()
        };
        let mut search = KeySearch::new(space, None);
        assert_eq!(search.ask(8).len(), 1);
        assert!(search.ask(8).is_empty());
    }
}
