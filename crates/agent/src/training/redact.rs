//! Takes out of an example what belongs to a machine or a person: paths, addresses, names, and what looks like a key.
//!
//! By pattern, in every text of an example. What looks like none of these stays, so a set is to be looked through before
//! it is given away; how often something was taken out is said in each line.

use std::collections::BTreeMap;

use regex::{Captures, Regex};
use serde_json::Value;

use super::Example;

/// What is looked for, in this order: its kind, and where; a group named `it` is the part that is taken out.
const PATTERNS: [(&str, &str); 6] = [
    (
        "key",
        r"\b(?:sk|gsk|fw|ghp|gho|hf|xox[bp])[-_][A-Za-z0-9_\-]{12,}|\bAIza[A-Za-z0-9_\-]{20,}",
    ),
    ("key", r"(?i)\bbearer\s+(?P<it>[A-Za-z0-9._~+/\-]{8,}=*)"),
    (
        "key",
        r#"(?i)\b(?:api[_-]?key|auth[_-]?token|password|secret)["']?\s*[=:]\s*["']?(?P<it>[^\s"',;]+)"#,
    ),
    (
        "address",
        r"\b[A-Za-z0-9._%+\-]+@[A-Za-z0-9][A-Za-z0-9.\-]*|\b\d{1,3}(?:\.\d{1,3}){3}\b",
    ),
    ("address", r#"\b[a-z][a-z0-9+.\-]*://[^\s"']+"#),
    (
        "path",
        r#"(?:^|[\s"'=(\[,:;|])(?P<it>~?(?:/[\w.@+\-]+){2,}/?|~/[\w.@+\-]+|[A-Za-z]:\\[^\s"']+)"#,
    ),
];
/// A name that is shorter than this is a word of any text.
const SHORTEST_NAME: usize = 3;

/// Takes out.
#[derive(Debug)]
pub struct Redactor {
    patterns: Vec<(&'static str, Regex)>,
}

impl Redactor {
    /// One that knows these names of users and machines beside the patterns.
    ///
    /// # Errors
    /// Patterns that are none.
    pub fn new(names: &[String]) -> Result<Self, regex::Error> {
        let mut patterns = Vec::new();
        for (kind, pattern) in PATTERNS {
            patterns.push((kind, Regex::new(pattern)?));
        }
        // `root` is also what a collective has.
        let known = names
            .iter()
            .filter(|n| n.len() >= SHORTEST_NAME && *n != "root");
        for name in known {
            patterns.push((
                "name",
                Regex::new(&format!(r"\b{}\b", regex::escape(name)))?,
            ));
        }
        Ok(Self { patterns })
    }

    /// The line of an example, as JSON, with what was taken out counted in it.
    ///
    /// # Errors
    /// An example that JSON cannot hold.
    pub fn line(
        &self,
        example: &Example,
    ) -> Result<(Value, BTreeMap<String, u64>), serde_json::Error> {
        let mut value = serde_json::to_value(example)?;
        let mut counts = BTreeMap::new();
        self.clean(&mut value, &mut counts);
        value["redacted"] = serde_json::to_value(&counts)?;
        Ok((value, counts))
    }

    fn clean(&self, value: &mut Value, counts: &mut BTreeMap<String, u64>) {
        match value {
            Value::String(text) => *text = self.text(text, counts),
            Value::Array(all) => all.iter_mut().for_each(|v| self.clean(v, counts)),
            Value::Object(fields) => fields.values_mut().for_each(|v| self.clean(v, counts)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A text without what is looked for.
    pub fn text(&self, text: &str, counts: &mut BTreeMap<String, u64>) -> String {
        let mut text = text.to_owned();
        for (kind, pattern) in &self.patterns {
            let replaced = pattern.replace_all(&text, |found: &Captures<'_>| {
                *counts.entry((*kind).to_owned()).or_default() += 1;
                let whole = found.get(0).map_or("", |m| m.as_str());
                match found.name("it") {
                    Some(it) => whole.replace(it.as_str(), &format!("[{kind}]")),
                    None => format!("[{kind}]"),
                }
            });
            text = replaced.into_owned();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_machine_goes_and_what_belongs_to_nccl_stays() {
        let redactor = Redactor::new(&["jane".to_owned(), "root".to_owned()]).unwrap();
        let clean = |text: &str| redactor.text(text, &mut BTreeMap::new());
        for (text, expected) in [
            (
                "topology in /home/jane/topo.xml, read",
                "topology in [path], read",
            ),
            ("NCCL_TOPO_FILE=/etc/nccl/a100.xml", "NCCL_TOPO_FILE=[path]"),
            (
                "see ~/notes and C:\\Users\\jane\\x",
                "see [path] and [path]",
            ),
            (
                "by jane on jane@node17.lab at 10.1.2.30",
                "by [name] on [address] at [address]",
            ),
            ("Bearer abcdefghijkl", "Bearer [key]"),
            (
                "sk-abcdefghijklmnop and \"api_key\": \"hunter2\"",
                "[key] and \"api_key\": \"[key]\"",
            ),
            ("http://vllm.lab:8000/v1 said no", "[address] said no"),
        ] {
            assert_eq!(clean(text), expected);
        }
        for text in [
            "AllReduce 16 MiB 8r1n runs Ring/LL128 24ch at 11.0 GB/s with NCCL 2.27.7 (E1, E2)",
            "pairs Ring/Simple Ring/LL Tree/LL128; the root of a tree; max_tokens 8192; 1/2 or 3 / 4",
        ] {
            assert_eq!(clean(text), text);
        }
    }
}
