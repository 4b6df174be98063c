//! Finds JSON in what a model wrote: behind thoughts, inside fences, between words, with commas
//! too many.
//!
//! The text is not trusted: time grows with its length and not with its nesting (`serde_json` stops
//! at 128 levels), and at most [`MOST_TRIES`] places are looked at.

use serde_json::Value;

/// Most places at which a JSON text may begin that are tried.
const MOST_TRIES: usize = 32;

/// What a model wrote, without its thoughts: `(thoughts, words)`. Reasoning models whose server does
/// not keep them apart write `<think>...</think>` first; some chat templates leave the first tag out.
pub fn split_thinking(text: &str) -> (&str, &str) {
    const OPEN: &str = "<think>";
    const CLOSE: &str = "</think>";
    let begun = text.trim_start().strip_prefix(OPEN);
    match text.rsplit_once(CLOSE) {
        Some((before, after)) => {
            let thoughts = before.trim_start();
            let thoughts = thoughts.strip_prefix(OPEN).unwrap_or(thoughts);
            (thoughts.trim(), after.trim_start())
        }
        // Never closed: it was cut while thinking.
        None => begun.map_or(("", text), |thoughts| (thoughts.trim(), "")),
    }
}

/// The objects and arrays in a text, in the order they stand in, none inside another.
pub fn json_in(text: &str) -> Vec<Value> {
    if let Ok(value) = serde_json::from_str(text) {
        return vec![value];
    }
    let mut found = Vec::new();
    let mut tries = 0;
    let mut at = 0;
    while let Some(next) = text[at..].find(['{', '[']) {
        at += next;
        tries += 1;
        if tries > MOST_TRIES {
            break;
        }
        match first_value(&text[at..]) {
            Some((value, length)) => {
                found.push(value);
                at += length;
            }
            None => at += 1,
        }
    }
    found
}

/// The JSON value a text begins with, and how long it is there.
fn first_value(text: &str) -> Option<(Value, usize)> {
    let parse = |text: &str| {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        let value = values.next()?.ok()?;
        Some((value, values.byte_offset()))
    };
    parse(text).or_else(|| {
        let end = end_of_brackets(text)?;
        let (value, _) = parse(&without_trailing_commas(&text[..end]))?;
        Some((value, end))
    })
}

/// Where the bracket that a text begins with is closed.
fn end_of_brackets(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in outside_strings(text) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn without_trailing_commas(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    let mut comma = None;
    for (at, byte) in outside_strings(text) {
        match byte {
            b',' => comma = Some(at),
            b'}' | b']' => {
                if let Some(comma) = comma.take() {
                    kept.push_str(&text[from..comma]);
                    from = comma + 1;
                }
            }
            b if b.is_ascii_whitespace() => {}
            _ => comma = None,
        }
    }
    kept.push_str(&text[from..]);
    kept
}

/// The ASCII bytes that stand in no string, and the quotes around those.
fn outside_strings(text: &str) -> impl Iterator<Item = (usize, u8)> + '_ {
    let mut in_string = false;
    let mut is_escaped = false;
    text.bytes().enumerate().filter(move |&(_, byte)| {
        if !in_string {
            in_string = byte == b'"';
            return byte.is_ascii();
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_string = false,
            _ => {}
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn thoughts_are_kept_apart() {
        for (text, thoughts, words) in [
            ("plain", "", "plain"),
            ("<think>hm</think>\nyes", "hm", "yes"),
            ("  <think>\na\n</think> b", "a", "b"),
            ("first tag left out</think>yes", "first tag left out", "yes"),
            (
                "<think>a</think>b<think>c</think>d",
                "a</think>b<think>c",
                "d",
            ),
            ("<think>cut", "cut", ""),
        ] {
            assert_eq!(split_thinking(text), (thoughts, words), "{text}");
        }
    }

    #[test]
    fn json_is_found_between_words() {
        for text in [
            r#"{"a": [1, "}"]}"#,
            "```json\n{\"a\": [1, \"}\"]}\n```",
            r#"I'd say {"a": [1, "}",],} - is it "good"?"#,
            r#"Set {x} to: {"a": [1, "}" , ] , }"#,
        ] {
            assert_eq!(json_in(text), [json!({"a": [1, "}"]})], "{text}");
        }
        assert_eq!(
            json_in(r#"{"a":1} or {"a":2}"#),
            [json!({"a":1}), json!({"a":2})]
        );
        assert!(json_in("nothing {here} [at all").is_empty());
    }

    #[test]
    fn a_megabyte_of_anything_ends() {
        const SIZE: usize = 1 << 20;
        for unit in [
            "[",
            "{\"a\":",
            "{\"a\":[\"",
            "\\\"{",
            "[1,",
            ",]",
            "{}",
            "\u{1f980}[",
            "<think>",
        ] {
            let text = unit.repeat(SIZE / unit.len());
            let found = json_in(split_thinking(&text).1);
            assert!(found.len() <= MOST_TRIES);
        }
    }

    /// JSON of every kind, a few levels deep.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4).prop_map(|fields| fields
                    .into_iter()
                    .collect::<serde_json::Map<_, _>>()
                    .into()),
            ]
        })
    }

    /// The text of a value with a comma behind the last element of everything that has one.
    fn with_commas(value: &Value) -> String {
        match value {
            Value::Array(items) if !items.is_empty() => {
                let items: Vec<_> = items.iter().map(with_commas).collect();
                format!("[{},]", items.join(", "))
            }
            Value::Object(fields) if !fields.is_empty() => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(name, field)| format!("{}: {}", json!(name), with_commas(field)))
                    .collect();
                format!("{{{} ,\n}}", fields.join(","))
            }
            other => other.to_string(),
        }
    }

    proptest! {
        #[test]
        fn any_object_is_found_in_any_wrapping(
            fields in prop::collection::btree_map(".{0,4}", any_json(), 0..4),
            before in "[^\\[{<\"]{0,20}",
            after in "[^\\[{<\"]{0,20}",
            thoughts in "[^<]{0,20}",
        ) {
            let value: Value = fields.into_iter().collect::<serde_json::Map<_, _>>().into();
            let text = format!(
                "<think>{thoughts}</think>{before}\n```json\n{}\n```{after}", with_commas(&value)
            );
            prop_assert_eq!(json_in(split_thinking(&text).1), [value]);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,200}", soup in r#"[\[\]{}",:\\a1<>/ ]{0,300}"#) {
            for text in [text, soup] {
                let (thoughts, words) = split_thinking(&text);
                prop_assert!(thoughts.len() + words.len() <= text.len());
                json_in(words);
            }
        }
    }
}
