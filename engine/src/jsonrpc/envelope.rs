//! JSON-RPC 2.0 as it stands in a body: one request object, or a batch of them.
//!
//! Nothing is copied: the parts of a request are slices of the body. What is not JSON fails with -32700, what is JSON but no
//! request with -32600 (an entry of a batch: only that entry), as the specification asks.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::{INVALID_REQUEST, PARSE, RpcError};
use super::quantity::{Text, shortened};

/// One request of a body.
pub(crate) struct Request<'a> {
    /// As it was written; `None` for a notification, which gets no reply.
    pub(crate) id: Option<&'a RawValue>,
    /// Method and parameters, or why this is no request.
    pub(crate) call: Result<Call<'a>, RpcError>,
}

pub(crate) struct Call<'a> {
    pub(crate) method: Cow<'a, str>,
    pub(crate) params: Option<&'a RawValue>,
}

/// All requests of a body.
pub(crate) enum Body<'a> {
    Single(Request<'a>),
    Batch(Vec<Request<'a>>),
}

/// The members of a request, before any is looked at.
#[derive(serde::Deserialize)]
struct Members<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// Keeps `null` apart from absence: a request with `"id": null` wants a reply.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a body. `Err`: the one error that answers all of it.
pub(crate) fn read(body: &[u8], max_batch: usize) -> Result<Body<'_>, RpcError> {
    let text = std::str::from_utf8(body).map_err(|error| RpcError::new(PARSE, format!("the body is not UTF-8: {error}")))?;
    if !text.trim_start().starts_with('[') {
        return request(text).map(Body::Single);
    }
    let entries = bounded::<&RawValue>(text, max_batch).map_err(|error| not_json(&error))?;
    let entries = match entries {
        Bounded::All(entries) => entries,
        Bounded::TooMany(count) => {
            return Err(invalid(format!(
                "a batch of {count} requests is over the limit of {max_batch} (api.max_batch): send smaller batches"
            )));
        }
    };
    if entries.is_empty() {
        return Err(invalid("an empty batch: put at least one request into it"));
    }
    // Each entry is known to be JSON; one that is no request is answered by itself.
    let requests = entries
        .into_iter()
        .map(|entry| request(entry.get()).unwrap_or_else(|error| Request { id: Some(RawValue::NULL), call: Err(error) }));
    Ok(Body::Batch(requests.collect()))
}

fn not_json(error: &serde_json::Error) -> RpcError {
    RpcError::new(PARSE, format!("the body is not JSON: {error}"))
}

fn invalid(message: impl Into<String>) -> RpcError {
    RpcError::new(INVALID_REQUEST, message)
}

fn request(text: &str) -> Result<Request<'_>, RpcError> {
    let members: Members<'_> = serde_json::from_str(text).map_err(|error| {
        // Members that are wrong may stand before bytes that are no JSON at all.
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => invalid(format!("not a JSON-RPC request object: {error}")),
            Err(error) => not_json(&error),
        }
    })?;
    let id = members.id;
    if let Some(raw) = id
        && !matches!(raw.get().as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9' | b'n'))
    {
        let call = Err(invalid("id must be a string, a number or null"));
        return Ok(Request { id: Some(RawValue::NULL), call });
    }
    let call = call(&members);
    // A request that is not understood is answered even without an id: the caller did not ask for silence in a valid way.
    let id = if call.is_err() { id.or(Some(RawValue::NULL)) } else { id };
    Ok(Request { id, call })
}

fn call<'a>(members: &Members<'a>) -> Result<Call<'a>, RpcError> {
    match members.jsonrpc.map(RawValue::get) {
        Some("\"2.0\"") => {}
        Some(other) => return Err(invalid(format!("jsonrpc is {}, it must be \"2.0\"", shortened(other)))),
        None => return Err(invalid("jsonrpc is missing: add \"jsonrpc\": \"2.0\"")),
    }
    let method = members.method.ok_or_else(|| invalid("method is missing: name the method to call"))?;
    let method = serde_json::from_str::<Text<'_>>(method.get())
        .map_err(|_| invalid(format!("method is {}, it must be a string", shortened(method.get()))))?;
    Ok(Call { method: method.0, params: members.params })
}

/// A JSON array of which no more than a number of elements is kept in memory.
pub(crate) enum Bounded<T> {
    All(Vec<T>),
    /// How many there were.
    TooMany(usize),
}

/// Reads an array, stopping to keep elements once there are more than `most`.
pub(crate) fn bounded<'a, T: Deserialize<'a>>(text: &'a str, most: usize) -> Result<Bounded<T>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let elements = Elements::new(most).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(elements)
}

/// The recipe for [`Bounded`].
pub(crate) struct Elements<T> {
    most: usize,
    element: PhantomData<T>,
}

impl<T> Elements<T> {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, element: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Elements<T> {
    type Value = Bounded<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
    type Value = Bounded<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.most {
            match elements.next_element()? {
                Some(element) => kept.push(element),
                None => return Ok(Bounded::All(kept)),
            }
        }
        let mut more = 0;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            more += 1;
        }
        Ok(if more == 0 { Bounded::All(kept) } else { Bounded::TooMany(self.most + more) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> i32 {
        match read(body.as_bytes(), 2) {
            Err(error) => error.code,
            Ok(Body::Single(request)) => request.call.err().map_or(0, |error| error.code),
            Ok(Body::Batch(requests)) => requests.into_iter().find_map(|request| request.call.err()).map_or(0, |error| error.code),
        }
    }

    #[test]
    fn what_is_not_json_is_a_parse_error() {
        for body in ["", "{", "nonsense", "{\"jsonrpc\": 2.0,}", "[1,", "[{]", "{\"jsonrpc\":1 \"x\"}", "{} x"] {
            assert_eq!(code(body), PARSE, "{body}");
        }
        assert_eq!(read(b"\xff\xfe", 2).err().map(|error| error.code), Some(PARSE));
    }

    #[test]
    fn json_that_is_no_request_is_an_invalid_request() {
        for body in [
            "1",
            "null",
            "\"x\"",
            "{}",
            "[]",
            "[1]",
            r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#,
        ] {
            assert_eq!(code(body), INVALID_REQUEST, "{body}");
        }
    }

    #[test]
    fn a_batch_over_the_limit_is_refused_naming_the_limit() {
        let error = read(b"[1,2,3]", 2).err().expect("refused");
        assert_eq!(error.code, INVALID_REQUEST);
        assert!(error.message.contains("batch of 3") && error.message.contains("limit of 2"), "{}", error.message);
    }

    #[test]
    fn null_is_an_id_and_a_missing_id_is_a_notification() {
        for (body, id) in [
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, Some("null")),
            (r#"{"jsonrpc":"2.0","id":"a b","method":"m"}"#, Some("\"a b\"")),
            (r#" {"jsonrpc":"2.0","id":-7,"method":"m","params":[]}"#, Some("-7")),
            (r#"{"jsonrpc":"2.0","method":"m"}"#, None),
        ] {
            let Ok(Body::Single(request)) = read(body.as_bytes(), 2) else { panic!("a request: {body}") };
            assert!(request.call.is_ok(), "{body}");
            assert_eq!(request.id.map(RawValue::get), id, "{body}");
        }
    }
}
