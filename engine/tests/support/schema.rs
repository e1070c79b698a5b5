//! JSON Schema, draft 7, as far as the interface's own document uses it: a keyword that is not known here is an error, so that none is passed over.
//! A library for all of it would change the features of the crates that the engine itself is built with.

use regex::Regex;
use serde_json::Value;

/// Whether a value fits a schema.
///
/// # Errors
/// Where it does not, and why.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    let keywords = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(keywords) => keywords,
        other => return Err(format!(": {other} is no schema")),
    };
    for (keyword, said) in keywords {
        let fits = match keyword.as_str() {
            "title" | "description" | "format" | "default" => true,
            "type" => types(said).iter().any(|kind| is(kind, value)),
            "enum" => list(said).contains(value),
            "const" => said == value,
            "pattern" => value.as_str().is_none_or(|text| Regex::new(said.as_str().expect("text")).expect("a pattern").is_match(text)),
            "minLength" => value.as_str().is_none_or(|text| text.len() as u64 >= number(said)),
            "maxLength" => value.as_str().is_none_or(|text| text.len() as u64 <= number(said)),
            "minimum" => value.as_u64().is_none_or(|given| given >= number(said)),
            "maximum" => value.as_u64().is_none_or(|given| given <= number(said)),
            "anyOf" => list(said).iter().any(|schema| check(schema, value).is_ok()),
            "oneOf" => list(said).iter().filter(|schema| check(schema, value).is_ok()).count() == 1,
            "allOf" => list(said).iter().all(|schema| check(schema, value).is_ok()),
            "required" => {
                value.as_object().is_none_or(|members| list(said).iter().all(|name| members.contains_key(name.as_str().expect("text"))))
            }
            "items" => {
                for (place, element) in value.as_array().into_iter().flatten().enumerate() {
                    check(said, element).map_err(|misfit| format!("[{place}]{misfit}"))?;
                }
                true
            }
            "properties" => {
                for (name, schema) in said.as_object().expect("an object") {
                    if let Some(member) = value.get(name) {
                        check(schema, member).map_err(|misfit| format!(".{name}{misfit}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = keywords.get("properties").and_then(Value::as_object);
                let more = value.as_object().into_iter().flatten().filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                let more: Vec<_> = more.collect();
                match said {
                    Value::Bool(allowed) => *allowed || more.is_empty(),
                    schema => more.iter().all(|(_, member)| check(schema, member).is_ok()),
                }
            }
            unknown => return Err(format!(": the keyword {unknown} is not known here")),
        };
        if !fits {
            return Err(format!(": {value} does not fit {keyword}: {said}"));
        }
    }
    Ok(())
}

fn types(said: &Value) -> Vec<&str> {
    match said {
        Value::String(one) => vec![one],
        several => list(several).iter().map(|kind| kind.as_str().expect("text")).collect(),
    }
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        unknown => panic!("no type of JSON: {unknown}"),
    }
}

fn list(said: &Value) -> &[Value] {
    said.as_array().expect("a list")
}

fn number(said: &Value) -> u64 {
    said.as_u64().or_else(|| said.as_f64().map(|number| number as u64)).expect("a number")
}
