//! After the baseline: what holds the calls back, and whether the job may be tuned at all.

use ccl_core::{Bottleneck, EvidenceId, StoppedBecause, TraceEvent};

use super::online::Stop;
use crate::diagnosis::{classify, fault};
use crate::tuner::{RunError, Tuner};

impl Tuner<'_> {
    /// Files what the calls showed, says what holds each key back and what could be set before the
    /// next start. A machine that is broken ends the run before anything is tried.
    pub(super) fn diagnose(&mut self) -> Result<Option<Stop>, RunError> {
        for index in 0..self.situation.keys.len() {
            let closer = self.look_closer(index)?;
            let Some(state) = self.situation.keys.get(index) else {
                continue;
            };
            let mut diagnosis = classify(&self.situation, state, self.expectation());
            diagnosis.evidence.extend(closer);
            if let Some(state) = self.situation.keys.get_mut(index) {
                state.diagnosis = Some(diagnosis.clone());
            }
            self.emit(TraceEvent::Diagnosed { diagnosis })?;
        }
        let fault = self
            .expectation()
            .and_then(|e| fault::of_job(&self.situation, e));
        if let Some(fault) = fault {
            let because = format!(
                "{} found, nothing was tried: {}",
                Bottleneck::Fault,
                fault.because
            );
            let diagnosis = fault.clone();
            self.emit(TraceEvent::Diagnosed { diagnosis })?;
            self.fault = Some(fault);
            return Ok(Some((StoppedBecause::Sla, because)));
        }
        for advice in self.rule_mind.advise(&self.situation) {
            self.advice.push(advice.clone());
            self.emit(TraceEvent::Advised { advice })?;
        }
        Ok(None)
    }

    /// Adds what the run itself knows to a key's signals, and files them as evidence.
    fn look_closer(&mut self, index: usize) -> Result<Option<EvidenceId>, RunError> {
        let Some(state) = self.situation.keys.get(index) else {
            return Ok(None);
        };
        let key = state.facts.key;
        if state.facts.overlapped && self.testbed.probes_alone() {
            let in_job_us = state.observed.call_us;
            let alone_us = self.probe_us(key, None).filter(|us| *us > 0.0);
            if let Some(state) = self.situation.keys.get_mut(index) {
                state.signals.beside_computation = alone_us.map(|us| in_job_us / us);
            }
        }
        let statement = self
            .situation
            .keys
            .get(index)
            .and_then(|k| k.signals.statement());
        match statement {
            Some(statement) => self
                .observe(Some(key), format!("{key}: {statement}"))
                .map(Some),
            None => Ok(None),
        }
    }
}
