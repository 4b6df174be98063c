//! Offline: cheap thinking before the job is touched.
//!
//! What the machine should do with each call, as its specification describes it; cards and remembered
//! rules are retrieved; a first plan is written down. Where nothing is known of the machine, what
//! runs is timed outside the job, once.

use ccl_core::{KeyObservation, Source, TraceEvent, format_bytes};

use crate::situation::KeyState;
use crate::testbed::KeyFacts;
use crate::tuner::{RunError, Tuner};

impl Tuner<'_> {
    pub(super) fn offline(&mut self) -> Result<(), RunError> {
        let facts: Vec<KeyFacts> = self
            .testbed
            .keys()
            .iter()
            .filter(|k| k.is_tunable())
            .cloned()
            .collect();
        if facts.is_empty() {
            return Err(RunError::NothingToTune);
        }
        let mut known: Vec<(KeyFacts, f64, Source)> = Vec::new();
        for facts in facts {
            let expected = self.expectation().and_then(|e| e.call_us(&facts, None));
            let (call_us, source) = match expected {
                Some(call_us) => (call_us, Source::Simulated),
                None => {
                    let probed = self.probe_us(facts.key, None);
                    (probed.unwrap_or(0.0), self.testbed.describe().source)
                }
            };
            known.push((facts, call_us, source));
        }
        #[allow(clippy::cast_precision_loss)] // counts of calls
        let time = |(facts, call_us, _): &(KeyFacts, f64, Source)| facts.calls as f64 * call_us;
        let total: f64 = known.iter().map(time).sum();
        known.sort_by(|a, b| time(b).total_cmp(&time(a)));
        for entry in known {
            let share = if total > 0.0 {
                time(&entry) / total
            } else {
                0.0
            };
            let (facts, call_us, source) = entry;
            self.meet(facts, call_us, source, share)?;
        }
        let keys = self
            .situation
            .keys
            .iter()
            .map(|k| k.observed.clone())
            .collect();
        self.emit(TraceEvent::TaskKeys { keys })?;
        self.make_models();
        self.screen_models()?;
        self.retrieve()?;
        self.plan()
    }

    /// Makes a key a part of the situation.
    fn meet(
        &mut self,
        facts: KeyFacts,
        call_us: f64,
        source: Source,
        share: f64,
    ) -> Result<(), RunError> {
        let key = facts.key;
        let observed = KeyObservation {
            key,
            calls: facts.calls,
            bytes: facts.bytes,
            call_us,
            bus_gbs: bus_gbs(&facts, call_us),
            share,
            overlapped: facts.overlapped,
            choice: self.testbed.untuned_choice(key),
        };
        let statement = statement(&observed, "outside the job");
        let evidence = self.observe_as(source, Some(key), statement)?;
        let signals = self.testbed.signals(key);
        self.situation
            .keys
            .push(KeyState::new(facts, observed, evidence, signals));
        Ok(())
    }
}

/// Bus bandwidth of one call as nccl-tests defines it, GB/s; 0 where the time is not known.
#[allow(clippy::cast_precision_loss)] // bytes below 2^53
pub(super) fn bus_gbs(facts: &KeyFacts, call_us: f64) -> f64 {
    if call_us <= 0.0 {
        return 0.0;
    }
    let factor = facts.key.collective.bus_factor(facts.key.shape.ranks);
    facts.bytes as f64 * factor / (call_us * 1000.0)
}

/// What is known of a key, in a sentence.
pub(super) fn statement(observed: &KeyObservation, place: &str) -> String {
    let KeyObservation {
        key,
        calls,
        bytes,
        call_us,
        bus_gbs,
        share,
        overlapped,
        choice,
    } = observed;
    let ran = choice.map_or("its own choice".to_owned(), |c| c.to_string());
    format!(
        "{} of {} on {}, {place}: {call_us:.0} us, {bus_gbs:.1} GB/s bus bandwidth with {ran}; {calls} \
         calls per iteration, {:.0} % of the time{}",
        key.collective,
        format_bytes(*bytes),
        key.shape,
        100.0 * share,
        if *overlapped {
            ", beside computation"
        } else {
            ""
        },
    )
}
