//! JSON Schemas: the check of an answer, and what of a schema each provider accepts.
//!
//! A provider is given the nearest schema it accepts; the answer is always checked against the
//! original one, so what is lost on the way is not lost for good.

use serde_json::{Map, Value, json};

/// How deep references are followed; schemas that contain themselves are cut there.
const MOST_DEPTH: usize = 24;

/// A schema, ready to check answers.
pub(crate) struct Check(jsonschema::Validator);

impl Check {
    /// # Errors
    /// The reason why it is no schema.
    pub(crate) fn new(schema: &Value) -> Result<Self, String> {
        jsonschema::validator_for(schema)
            .map(Self)
            .map_err(|error| format!("the schema itself is wrong: {error}"))
    }

    /// The answer, if it fits: as it is, or without the nulls that stand for what was left out (a
    /// strict provider makes the model write every field).
    ///
    /// # Errors
    /// The first misfits, each with its place.
    pub(crate) fn fit(&self, answer: Value) -> Result<Value, String> {
        let Some(reason) = self.misfits(&answer) else {
            return Ok(answer);
        };
        let mut without = answer;
        drop_nulls(&mut without);
        match self.misfits(&without) {
            None => Ok(without),
            Some(_) => Err(reason),
        }
    }

    fn misfits(&self, answer: &Value) -> Option<String> {
        /// Enough to repair an answer, and no more than fits a question.
        const MOST: usize = 5;
        const CHARS: usize = 300;
        let reasons: Vec<String> = self
            .0
            .iter_errors(answer)
            .take(MOST)
            .map(|error| {
                let what: String = error.to_string().chars().take(CHARS).collect();
                format!("at {:?}: {what}", error.instance_path().to_string())
            })
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// The schema as OpenAI's strict mode wants it: every object closed, every property required, what
/// was optional may be null. `None` where that cannot say the same (a map of names unknown
/// beforehand, a root that is no object, tuples).
/// Source: <https://platform.openai.com/docs/guides/structured-outputs> (supported schemas).
pub(crate) fn strict(schema: &Value) -> Option<Value> {
    let strict = strict_node(schema)?;
    (strict.get("type")? == "object").then_some(strict)
}

fn strict_node(node: &Value) -> Option<Value> {
    /// Strings' formats that strict mode knows.
    const FORMATS: [&str; 9] = [
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
    ];
    let node = node.as_object()?;
    let mut strict = Map::new();
    for (name, value) in node {
        let kept = match name.as_str() {
            "type" | "description" | "enum" | "const" | "$ref" | "pattern" | "multipleOf"
            | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "minItems"
            | "maxItems" => value.clone(),
            "format" if FORMATS.iter().any(|f| value == f) => value.clone(),
            "items" => strict_node(value)?,
            "anyOf" | "oneOf" => {
                let choices: Option<Vec<_>> = value.as_array()?.iter().map(strict_node).collect();
                strict.insert("anyOf".to_owned(), Value::Array(choices?));
                continue;
            }
            "$defs" | "definitions" => {
                let definitions: Option<Map<_, _>> = value
                    .as_object()?
                    .iter()
                    .map(|(name, node)| Some((name.clone(), strict_node(node)?)))
                    .collect();
                Value::Object(definitions?)
            }
            "allOf" | "not" | "if" | "prefixItems" | "patternProperties" => return None,
            "additionalProperties" if *value != json!(false) => return None,
            // What only describes, or only our own check knows.
            _ => continue,
        };
        strict.insert(name.clone(), kept);
    }
    let is_object = node.get("type").is_some_and(|t| t == "object");
    if !is_object {
        return (!strict.is_empty()).then_some(strict.into());
    }
    let required = node.get("required").and_then(Value::as_array);
    let mut properties = Map::new();
    for (name, property) in node.get("properties").and_then(Value::as_object)? {
        let property = strict_node(property)?;
        let is_required = required.is_some_and(|all| all.iter().any(|r| r == name));
        properties.insert(
            name.clone(),
            if is_required {
                property
            } else {
                or_null(property)
            },
        );
    }
    let names: Vec<&String> = properties.keys().collect();
    strict.insert("required".to_owned(), json!(names));
    strict.insert("properties".to_owned(), Value::Object(properties));
    strict.insert("additionalProperties".to_owned(), json!(false));
    Some(strict.into())
}

fn or_null(schema: Value) -> Value {
    let allows_null = |s: &Value| match s.get("type") {
        Some(Value::Array(types)) => types.iter().any(|t| t == "null"),
        other => other.is_some_and(|t| t == "null"),
    };
    let choices = schema.get("anyOf").and_then(Value::as_array);
    if allows_null(&schema) || choices.is_some_and(|all| all.iter().any(allows_null)) {
        schema
    } else {
        json!({"anyOf": [schema, {"type": "null"}]})
    }
}

/// The schema as Gemini wants it: a subset of OpenAPI 3.0, without references.
/// Source: <https://ai.google.dev/api/caching#Schema>.
pub(crate) fn subset(schema: &Value) -> Value {
    subset_node(schema, schema, 0)
}

/// The same for a function's arguments; `None` where there are none.
pub(crate) fn arguments_subset(schema: &Value) -> Option<Value> {
    let subset = subset(schema);
    let has_some = subset
        .get("properties")
        .and_then(Value::as_object)
        .is_some_and(|properties| !properties.is_empty());
    has_some.then_some(subset)
}

fn subset_node(node: &Value, root: &Value, depth: usize) -> Value {
    // Anything goes there: a text can hold it, and our own check has the last word.
    let anything = || json!({"type": "string"});
    if depth > MOST_DEPTH {
        return anything();
    }
    let below = |node: &Value| subset_node(node, root, depth + 1);
    let Some(fields) = node.as_object().filter(|fields| !fields.is_empty()) else {
        return anything();
    };
    if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|p| root.pointer(p));
        let mut inlined = target.map_or_else(anything, below);
        // What is said beside the reference holds for this use of it.
        if let Some(description) = fields.get("description") {
            inlined["description"] = description.clone();
        }
        return inlined;
    }
    let mut subset = Map::new();
    for (name, value) in fields {
        let kept = match name.as_str() {
            "description" | "required" | "minItems" | "maxItems" | "minimum" | "maximum"
            | "minLength" | "maxLength" | "pattern" | "nullable" => value.clone(),
            "type" => match value {
                Value::Array(types) => {
                    let (null, other): (Vec<_>, Vec<_>) =
                        types.iter().cloned().partition(|t| t == "null");
                    if !null.is_empty() {
                        subset.insert("nullable".to_owned(), json!(true));
                    }
                    other.into_iter().next().unwrap_or_else(|| json!("string"))
                }
                one => one.clone(),
            },
            "enum"
                if value
                    .as_array()
                    .is_some_and(|v| v.iter().all(Value::is_string)) =>
            {
                value.clone()
            }
            "const" if value.is_string() => {
                subset.insert("type".to_owned(), json!("string"));
                subset.insert("enum".to_owned(), json!([value]));
                continue;
            }
            "items" => below(value),
            "properties" => value
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, property)| (name.clone(), below(property)))
                .collect::<Map<_, _>>()
                .into(),
            "anyOf" | "oneOf" | "allOf" => {
                let is_null = |s: &Value| s.get("type").is_some_and(|t| t == "null");
                let choices = value.as_array().map(Vec::as_slice).unwrap_or_default();
                if choices.iter().any(is_null) {
                    subset.insert("nullable".to_owned(), json!(true));
                }
                let others: Vec<Value> =
                    choices.iter().filter(|s| !is_null(s)).map(below).collect();
                match <[Value; 1]>::try_from(others) {
                    Ok([Value::Object(only)]) => subset.extend(only),
                    Ok(_) => {}
                    Err(several) => {
                        subset.insert("anyOf".to_owned(), several.into());
                    }
                }
                continue;
            }
            _ => continue,
        };
        subset.insert(name.clone(), kept);
    }
    if !subset.contains_key("type") && !subset.contains_key("anyOf") {
        let kind = if subset.contains_key("properties") {
            "object"
        } else {
            "string"
        };
        subset.insert("type".to_owned(), json!(kind));
    }
    Value::Object(subset)
}
