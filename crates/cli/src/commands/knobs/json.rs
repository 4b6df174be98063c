//! A knob as JSON, with stable keys.

use ccl_core::NcclVersion;
use ccl_core::knobs::{Domain, Knob, Platform};
use serde_json::{Value, json};

/// All there is about a knob, for a release.
pub fn knob(knob: &Knob, version: NcclVersion, platform: Option<&Platform>) -> Value {
    let defaults: Vec<Value> = knob
        .defaults
        .iter()
        .map(|(since, value)| json!({"since": since, "value": value}))
        .collect();
    json!({
        "name": knob.name,
        "class": knob.class,
        "does": knob.does,
        "domain": domain(&knob.domain, version),
        "default": knob.default_in(version),
        "defaults": defaults,
        "automatic": knob.automatic,
        "since": knob.since(),
        "removed_after": knob.removed_after,
        "platforms": knob.platforms,
        "outside": knob.outside,
        "hazards": knob.hazards,
        "interactions": knob.interactions,
        "superseded_by": knob.superseded_by,
        "candidates": knob.candidates(version, platform),
        "source": knob.source,
        "documented": knob.documented,
    })
}

fn domain(domain: &Domain, version: NcclVersion) -> Value {
    let mut value = json!({"kind": domain.kind(), "text": domain.to_string()});
    if let Some((min, max, multiple_of)) = domain.range(version) {
        value["min"] = min.into();
        value["max"] = max.into();
        if multiple_of != 1 {
            value["multiple_of"] = multiple_of.into();
        }
    }
    if let Domain::Word { words, .. } | Domain::Words { words, .. } = domain {
        value["words"] = json!(words);
    }
    value
}
