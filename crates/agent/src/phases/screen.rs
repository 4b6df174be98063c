//! Screening: what cannot matter is set aside with the evidence for it, on the cheapest testbed there is.
//!
//! That is the simulator, where it may speak ([`KeyModel::screen`]); else a micro-benchmark, one parameter at
//! a time around what runs, outside the job and only where that is cheap beside its iterations (the price is
//! in [`TuneOptions::probe_iterations`](crate::tuner::TuneOptions)). What it timed of a key that is waited
//! for is where the key's model begins as well.

use ccl_core::{
    Algorithm, Choice, EvidenceId, Protocol, Source, TaskKey, TraceEvent, format_bytes,
};
use ccl_search::Space;

use crate::key_model::{Change, KeyModel};
use crate::mind::Mind;
use crate::oracle::space_of;
use crate::situation::KeyState;
use crate::tuner::{RunError, Tuner};

/// A pair this many times slower than the best is not tried in the job.
const HOPELESS_RATIO: f64 = 2.0;
/// Levels that differ by less than this have no effect.
const NO_EFFECT: f64 = 0.01;
/// Most keys that are probed: the rest cannot matter.
const MOST_PROBED_KEYS: usize = 12;

impl Tuner<'_> {
    /// Screens every key on the cheapest testbed there is, the simulator: what does nothing there, or is
    /// hopeless, is not searched.
    pub(super) fn screen_models(&mut self) -> Result<(), RunError> {
        for index in 0..self.situation.keys.len() {
            let Some(state) = self.situation.keys.get(index) else {
                continue;
            };
            let key = state.facts.key;
            let screened = self.models.get_mut(&key).and_then(KeyModel::screen);
            let Some((heard, changes)) = screened else {
                continue;
            };
            let statement = format!("{key}, {heard}");
            let evidence = self.observe_as(Source::Simulated, Some(key), statement)?;
            self.report_changes(key, changes, &[evidence])?;
        }
        Ok(())
    }

    /// What the trials so far change in what is left out.
    pub(super) fn review_models(&mut self) -> Result<(), RunError> {
        let keys: Vec<TaskKey> = self.models.keys().copied().collect();
        for key in keys {
            let changes = self.models.get_mut(&key).map(KeyModel::review);
            self.report_changes(key, changes.unwrap_or_default(), &[])?;
        }
        Ok(())
    }

    fn report_changes(
        &mut self,
        key: TaskKey,
        changes: Vec<Change>,
        evidence: &[EvidenceId],
    ) -> Result<(), RunError> {
        for change in changes {
            let Change {
                is_back,
                what,
                because,
                before,
                after,
            } = change;
            self.emit(match is_back {
                true => TraceEvent::TakenBack {
                    key,
                    restored: what,
                    because,
                    before,
                    after,
                },
                false => TraceEvent::Pruned {
                    key,
                    dropped: what,
                    because,
                    evidence: evidence.to_vec(),
                    before,
                    after,
                },
            })?;
        }
        Ok(())
    }

    /// Screens the keys that no source speaks of by calls outside the job, largest share first, as long as
    /// the price is left.
    pub(super) fn screen_keys(&mut self) -> Result<(), RunError> {
        // Of a call that hides behind computation its time outside the job says least.
        let mut order: Vec<usize> = (0..self.situation.keys.len()).collect();
        order.sort_by_key(|index| {
            let state = self.situation.keys.get(*index);
            state.is_some_and(|k| k.facts.overlapped)
        });
        for index in order.into_iter().take(MOST_PROBED_KEYS) {
            let key = self.situation.keys.get(index).map(|k| k.facts.key);
            let model = key.and_then(|key| self.models.get(&key));
            if model.is_some_and(KeyModel::is_informed) {
                continue;
            }
            self.screen(index)?;
            // Nothing was tried yet: the model begins anew, with what was timed.
            self.make_model(index);
        }
        Ok(())
    }

    /// Times first what tells most, while the price is left: what there is a reason for, as many channels of
    /// what runs as are nearest to its own, the other pairs, and channels of the best of those.
    fn time_what_tells(&mut self, key: TaskKey, running: Choice, space: &Space) {
        let explained = self.rule_mind.propose(&self.situation);
        let reasons = self.remembered_hypotheses().into_iter().chain(explained);
        for hypothesis in reasons.filter(|h| h.key == key) {
            self.probe_us(key, Some(hypothesis.choice));
        }
        let pair = Choice::new(running.algorithm, running.protocol);
        let mut channels = space.channels.clone();
        let own = running.channels.unwrap_or(1).max(1);
        // Stable and sorted from fewer: more come before as many times fewer.
        channels.reverse();
        channels.sort_by_key(|n| (*n).max(1).ilog2().abs_diff(own.ilog2()));
        for &n in &channels {
            self.probe_us(key, Some(pair.with_channels(n)));
        }
        let mut best: Option<(f64, Choice)> = None;
        for other in space.pairs.iter().map(|&(a, p)| Choice::new(a, p)) {
            let timed = self.probe_us(key, Some(other)).filter(|_| other != pair);
            if let Some(us) = timed.filter(|us| best.is_none_or(|(least, _)| *us < least)) {
                best = Some((us, other));
            }
        }
        if let Some((_, other)) = best {
            for &n in &channels {
                self.probe_us(key, Some(other.with_channels(n)));
            }
        }
    }

    /// One parameter at a time around NCCL's own choice; prunes what the probes speak against.
    fn screen(&mut self, index: usize) -> Result<(), RunError> {
        let Some(state) = self.situation.keys.get(index).cloned() else {
            return Ok(());
        };
        let key = state.facts.key;
        let mut space = space_of(&state.facts);
        if space.only.is_none() {
            let running = state.observed.choice;
            if let Some(running) = running {
                self.time_what_tells(key, running, &space);
            }
            self.screen_pairs(index, &state, &mut space)?;
            if let Some(running) = running {
                let pair = Choice::new(running.algorithm, running.protocol);
                self.screen_levels(key, pair, state.observed.call_us, &space)?;
            }
        }
        Ok(())
    }

    fn screen_pairs(
        &mut self,
        index: usize,
        state: &KeyState,
        space: &mut Space,
    ) -> Result<(), RunError> {
        let key = state.facts.key;
        let mut probed = Vec::new();
        for &(a, p) in &state.facts.legal.pairs {
            if let Some(us) = self.probe_us(key, Some(Choice::new(a, p))) {
                probed.push(((a, p), us));
            }
        }
        let words = |pairs: &[((Algorithm, Protocol), f64)]| {
            let each: Vec<_> = pairs
                .iter()
                .map(|((a, p), us)| format!("{a}/{p} {us:.0} us"))
                .collect();
            each.join(", ")
        };
        if probed.is_empty() {
            return Ok(());
        }
        let statement = format!("{key} outside the job: {}", words(&probed));
        let evidence = self.observe(Some(key), statement)?;
        let best = probed
            .iter()
            .map(|(_, us)| *us)
            .fold(state.observed.call_us, f64::min);
        let hopeless: Vec<_> = probed
            .into_iter()
            .filter(|(_, us)| *us > HOPELESS_RATIO * best)
            .collect();
        if hopeless.is_empty() {
            return Ok(());
        }
        let before = space.size();
        space
            .pairs
            .retain(|pair| !hopeless.iter().any(|(h, _)| h == pair));
        if let Some(state) = self.situation.keys.get_mut(index) {
            state.hopeless = hopeless.iter().map(|(pair, _)| *pair).collect();
        }
        self.emit(TraceEvent::Pruned {
            key,
            dropped: words(&hopeless),
            because: format!("more than {HOPELESS_RATIO} times the best pair's {best:.0} us"),
            evidence: vec![evidence],
            before,
            after: space.size(),
        })
    }

    /// Channels and chunk at the running pair, and whether they do anything there, alone or together:
    /// evidence for the minds. The search is left to find out by itself.
    fn screen_levels(
        &mut self,
        key: TaskKey,
        pair: Choice,
        default_us: f64,
        space: &Space,
    ) -> Result<(), RunError> {
        let mut channels = Vec::new();
        for &n in &space.channels {
            channels.extend(
                self.probe_us(key, Some(pair.with_channels(n)))
                    .map(|us| (n, us)),
            );
        }
        let mut chunks = Vec::new();
        if pair.protocol == Protocol::Simple {
            for &n in &space.chunk_bytes {
                let us = self.probe_us(key, Some(pair.with_chunk_bytes(n)));
                chunks.extend(us.map(|us| (n, us)));
            }
        }
        if channels.is_empty() && chunks.is_empty() {
            return Ok(());
        }
        let mut corners = Vec::new();
        let ends = |levels: &[(u64, f64)]| -> Vec<u64> {
            levels
                .first()
                .into_iter()
                .chain(levels.last())
                .map(|(n, _)| *n)
                .collect()
        };
        let counts: Vec<(u64, f64)> = channels
            .iter()
            .map(|(n, us)| (u64::from(*n), *us))
            .collect();
        for c in ends(&counts) {
            for k in ends(&chunks) {
                let channels = u32::try_from(c).unwrap_or(u32::MAX);
                let corner = pair.with_channels(channels).with_chunk_bytes(k);
                corners.extend(self.probe_us(key, Some(corner)));
            }
        }
        let shown = |levels: &[(u64, f64)], bytes: bool| {
            let name = |n: u64| {
                if bytes {
                    format_bytes(n)
                } else {
                    n.to_string()
                }
            };
            let each: Vec<_> = levels
                .iter()
                .map(|(n, us)| format!("{} {us:.0} us", name(*n)))
                .collect();
            each.join(", ")
        };
        let flat = |times: &mut dyn Iterator<Item = f64>| {
            let (low, high) = times.fold((default_us, default_us), |(l, h), us| {
                (l.min(us), h.max(us))
            });
            high < low * (1.0 + NO_EFFECT)
        };
        let mut without_effect = Vec::new();
        if flat(&mut corners.iter().copied()) {
            if flat(&mut counts.iter().map(|(_, us)| *us)) {
                without_effect.push("channels");
            }
            if flat(&mut chunks.iter().map(|(_, us)| *us)) {
                without_effect.push("chunk");
            }
        }
        self.observe(
            Some(key),
            format!(
                "{key} outside the job with {pair}, NCCL's own {default_us:.0} us; by channels: {}; \
                 by chunk: {}{}",
                shown(&counts, false),
                if chunks.is_empty() { "-".to_owned() } else { shown(&chunks, true) },
                match without_effect.is_empty() {
                    true => String::new(),
                    false => format!(
                        "; {} change it by less than {:.0} %",
                        without_effect.join(" and "),
                        100.0 * NO_EFFECT
                    ),
                }
            ),
        )?;
        Ok(())
    }
}
