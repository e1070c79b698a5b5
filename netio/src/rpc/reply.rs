//! What a reply says about each call of the request.
//!
//! Answers borrow from the reply's body: nothing is copied here but errors, which are rare and short. Replies are matched by
//! id, in any order.
//!
//! The hard part is a reply to the batch as such. It is a refusal only where it is plain that nothing was executed: the
//! node says that it takes no batches or only smaller ones, or that it could not read the request. Anything less plain is in doubt.

use std::ops::Range;

use hyper::StatusCode;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::connection::HttpReply;
use super::end::{Fault, RpcError};

/// The node's word on one call.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    /// Its result.
    Result(&'a RawValue),
    /// Its error.
    Error(RpcError),
    /// Nothing that can be relied on.
    Missing(Fault),
}

/// What a reply says.
#[derive(Debug)]
pub(super) enum Verdict<'a> {
    /// One answer for each call, in call order.
    Answers(Vec<Answer<'a>>),
    /// Nothing about any call.
    Doubt(Fault),
    /// The node takes smaller batches only, in these words. It executed nothing.
    TooLarge(String),
    /// The node takes no batches, in these words. It executed nothing.
    NoBatches(String),
}

/// Reads the reply to a request with the calls whose ids are `run`.
pub(super) fn judge(reply: &HttpReply, run: Range<usize>) -> Verdict<'_> {
    if reply.status == StatusCode::TOO_MANY_REQUESTS {
        return Verdict::Doubt(reply.refusal());
    }
    if reply.status == StatusCode::PAYLOAD_TOO_LARGE {
        let words = format!("HTTP status {}", reply.status);
        return if run.len() > 1 {
            Verdict::TooLarge(words)
        } else {
            Verdict::Doubt(Fault::TooLarge(format!("the node refuses the request of a single call with {words}")))
        };
    }
    match parse(&reply.body) {
        Err(reason) => without_json(reply, run.len(), reason),
        Ok(mut said) if run.len() > 1 && said.len() == 1 => match said.remove(0) {
            Said { id, error: Some(error), .. } => to_the_batch(reply, run, id, error),
            one => by_id(reply, run, vec![one]),
        },
        Ok(said) => by_id(reply, run, said),
    }
}

/// One reply object.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<RpcError>,
}

/// A result of `null` is a result: that of a receipt that is not there yet.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Said<'_> {
    /// The call it belongs to. Some servers turn a number into a string.
    fn call(&self) -> Option<usize> {
        self.id?.get().trim_matches('"').parse().ok()
    }
}

/// The result of the only call of a request, read from the body in one pass: where it is large, a second one would cost as much. `None`
/// where anything is out of the ordinary, which [`judge`] tells apart.
pub(super) fn result<T: DeserializeOwned>(reply: &HttpReply, call: usize) -> Option<T> {
    #[derive(Deserialize)]
    #[serde(bound = "T: DeserializeOwned")]
    struct Plain<T> {
        id: usize,
        #[serde(deserialize_with = "given")]
        result: T,
        error: Option<IgnoredAny>,
    }
    let plain: Plain<T> = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == StatusCode::OK)?;
    (plain.id == call && plain.error.is_none()).then_some(plain.result)
}

/// A result that is left out is none, though it could be null.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(deserializer)
}

fn parse(body: &[u8]) -> Result<Vec<Said<'_>>, String> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'[') => serde_json::from_slice(body),
        Some(_) => serde_json::from_slice(body).map(|one| vec![one]),
        None => return Err("it is empty".to_owned()),
    }
    .map_err(|error| error.to_string())
}

fn without_json(reply: &HttpReply, calls: usize, reason: String) -> Verdict<'static> {
    let status = reply.status;
    if calls > 1 && cannot_read_batches(status) {
        return Verdict::NoBatches(format!("HTTP status {status}"));
    }
    Verdict::Doubt(if status.is_success() { Fault::Malformed(reason) } else { reply.refusal() })
}

/// Statuses by which a server says that it could not make sense of the request, so that it did nothing.
fn cannot_read_batches(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::NOT_IMPLEMENTED
    )
}

/// One error came back for many calls. reth and other servers give it no id; geth gives it the id of the first call.
fn to_the_batch<'a>(reply: &HttpReply, run: Range<usize>, id: Option<&'a RawValue>, error: RpcError) -> Verdict<'a> {
    let words = error.message.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| words.contains(word));
    if says(&["rate limit", "request rate", "too many requests"]) {
        return Verdict::Doubt(Fault::Throttled { retry_after: reply.retry_after });
    }
    // Invalid request, unknown method, unreadable JSON: the node did not see calls in it. Gateways use 5xx for what they do not know.
    let unread = id.is_none() && matches!(error.code, -32600 | -32601 | -32700);
    if says(&["batch"]) || (unread && !reply.status.is_server_error()) {
        return if says(&["too large", "too many", "limit", "exceed", "max"]) {
            Verdict::TooLarge(error.to_string())
        } else {
            Verdict::NoBatches(error.to_string())
        };
    }
    let lone = Said { id, result: None, error: Some(error) };
    by_id(reply, run, vec![lone])
}

fn by_id<'a>(reply: &HttpReply, run: Range<usize>, said: Vec<Said<'a>>) -> Verdict<'a> {
    let alone = run.len() == 1 && said.len() == 1;
    let mut answers: Vec<Option<Answer<'a>>> = run.clone().map(|_| None).collect();
    for one in said {
        // A node that could not read the request's id answers with a null one; where one call was asked it is that one.
        let call = match one.call() {
            None if alone && one.id.is_none() => Some(run.start),
            call => call,
        };
        let place = call.and_then(|call| answers.get_mut(call.checked_sub(run.start)?));
        if let Some(place @ None) = place {
            *place = Some(answer(reply.status, one));
        }
    }
    Verdict::Answers(
        run.zip(answers)
            .map(|(call, answer)| answer.unwrap_or_else(|| Answer::Missing(Fault::Malformed(format!("it has no answer with id {call}")))))
            .collect(),
    )
}

fn answer(status: StatusCode, said: Said<'_>) -> Answer<'_> {
    match (said.error, said.result) {
        // A gateway that lost its node says so in JSON-RPC's form, with a status of 5xx: that is not the node's word.
        (Some(error), _) if status.is_server_error() => Answer::Missing(http_fault(status, &error.to_string())),
        (Some(error), _) => Answer::Error(error),
        (None, Some(result)) => Answer::Result(result),
        (None, None) => Answer::Missing(Fault::Malformed("an answer has neither result nor error".to_owned())),
    }
}

fn http_fault(status: StatusCode, detail: &str) -> Fault {
    Fault::Http { status: status.as_u16(), detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> HttpReply {
        HttpReply { status: StatusCode::from_u16(status).expect("a status"), retry_after: None, body: body.to_owned().into() }
    }

    /// What a reply to `calls` calls says, in short.
    fn said(status: u16, body: &str, calls: usize) -> String {
        match judge(&reply(status, body), 0..calls) {
            Verdict::Answers(answers) => answers
                .iter()
                .map(|answer| match answer {
                    Answer::Result(result) => result.get().to_owned(),
                    Answer::Error(error) => error.code.to_string(),
                    Answer::Missing(_) => "?".to_owned(),
                })
                .collect::<Vec<_>>()
                .join(" "),
            Verdict::Doubt(Fault::Throttled { .. }) => "throttled".to_owned(),
            Verdict::Doubt(Fault::Http { status, .. }) => format!("http {status}"),
            Verdict::Doubt(Fault::Malformed(_)) => "malformed".to_owned(),
            Verdict::Doubt(fault) => fault.to_string(),
            Verdict::TooLarge(_) => "too large".to_owned(),
            Verdict::NoBatches(_) => "no batches".to_owned(),
        }
    }

    #[test]
    fn answers_find_their_calls_by_id_in_any_order() {
        let body = r#"[{"id":2,"result":"c"},{"id":0,"result":null},{"id":"1","error":{"code":-3,"message":"no"}}]"#;
        assert_eq!(said(200, body, 3), r#"null -3 "c""#);
    }

    #[test]
    fn a_call_left_out_or_answered_with_nothing_is_in_doubt_alone() {
        assert_eq!(said(200, r#"[{"id":1,"result":1},{"id":9,"result":2},{"id":2}]"#, 3), "? 1 ?");
    }

    #[test]
    fn the_first_of_two_answers_to_a_call_counts() {
        assert_eq!(said(200, r#"[{"id":0,"result":1},{"id":0,"result":2}]"#, 1), "1");
    }

    #[test]
    fn ids_of_a_later_request_of_an_exchange_do_not_begin_at_0() {
        let reply = reply(200, r#"[{"id":3,"result":33},{"id":2,"result":22}]"#);
        let Verdict::Answers(answers) = judge(&reply, 2..4) else {
            panic!("no answers");
        };
        assert!(matches!(answers[0], Answer::Result(raw) if raw.get() == "22"));
    }

    #[test]
    fn geth_and_reth_refuse_a_batch_in_their_own_ways() {
        let geth = r#"[{"jsonrpc":"2.0","id":0,"error":{"code":-32600,"message":"batch too large"}}]"#;
        let reth = r#"{"jsonrpc":"2.0","error":{"code":-32010,"message":"The batch request was too large","data":"Exceeded max limit of 100"},"id":null}"#;
        let none = r#"{"jsonrpc":"2.0","error":{"code":-32005,"message":"Batched requests are not supported by this server"},"id":null}"#;
        assert_eq!(said(200, geth, 5), "too large");
        assert_eq!(said(200, reth, 5), "too large");
        assert_eq!(said(200, none, 5), "no batches");
        assert_eq!(said(413, "", 5), "too large");
        for status in [400, 405, 415, 422, 501] {
            assert_eq!(said(status, "what is this", 5), "no batches");
        }
    }

    #[test]
    fn a_server_that_expects_an_object_takes_no_batches() {
        let body = r#"{"id":null,"error":{"code":-32600,"message":"Invalid Request"}}"#;
        assert_eq!(said(200, body, 5), "no batches");
        assert_eq!(said(400, body, 5), "no batches");
    }

    #[test]
    fn one_error_that_does_not_speak_of_the_batch_leaves_every_call_in_doubt() {
        let body = r#"{"id":null,"error":{"code":-32603,"message":"internal error"}}"#;
        assert_eq!(said(200, body, 3), "? ? ?");
        let gateway = r#"{"id":null,"error":{"code":-32600,"message":"upstream timed out"}}"#;
        assert_eq!(said(504, gateway, 2), "? ?");
    }

    #[test]
    fn a_request_for_fewer_requests_is_heard_in_http_and_in_words() {
        assert_eq!(said(429, "", 3), "throttled");
        let body = r#"{"id":null,"error":{"code":-32005,"message":"daily request count exceeded, request rate limited"}}"#;
        assert_eq!(said(200, body, 3), "throttled");
    }

    #[test]
    fn a_lone_call_gets_the_nodes_word_even_without_an_id() {
        let body = r#"{"id":null,"error":{"code":-32700,"message":"parse error"}}"#;
        assert_eq!(said(400, body, 1), "-32700");
        assert_eq!(said(200, r#"{"id":7,"result":1}"#, 1), "?");
    }

    #[test]
    fn an_error_that_comes_with_5xx_is_not_the_nodes_word() {
        let body = r#"{"id":0,"error":{"code":-32000,"message":"no backend"}}"#;
        assert_eq!(said(502, body, 1), "?");
    }

    #[test]
    fn what_is_not_json_is_an_http_fault_or_malformed() {
        assert_eq!(said(502, "<html>Bad Gateway</html>", 1), "http 502");
        assert_eq!(said(400, "no", 1), "http 400");
        assert_eq!(said(200, "<html>", 2), "malformed");
        assert_eq!(said(200, r#"[{"id":0,"result":1}"#, 2), "malformed");
        assert_eq!(said(200, "  ", 1), "malformed");
        assert_eq!(said(200, "17", 1), "malformed");
    }

    #[test]
    fn a_lone_result_is_read_in_one_pass_only_where_nothing_is_out_of_the_ordinary() {
        let of = |status, body| result::<Option<u64>>(&reply(status, body), 0);
        assert_eq!(of(200, r#"{"jsonrpc":"2.0","id":0,"result":7}"#), Some(Some(7)));
        assert_eq!(of(200, r#"{"jsonrpc":"2.0","result":null,"error":null,"id":0}"#), Some(None));
        for odd in
            [r#"{"id":0}"#, r#"{"id":1,"result":7}"#, r#"{"id":"0","result":7}"#, r#"{"result":7}"#, r#"[{"id":0,"result":7}]"#, "7", ""]
        {
            assert_eq!(of(200, odd), None, "{odd}");
        }
        assert_eq!(of(200, r#"{"id":0,"result":7,"error":{"code":-3,"message":"no"}}"#), None);
        assert_eq!(of(502, r#"{"id":0,"result":7}"#), None);
        assert_eq!(of(200, r#"{"id":0,"result":"seven"}"#), None);
    }

    #[test]
    fn error_data_is_kept() {
        let reply = reply(200, r#"{"id":0,"error":{"code":3,"message":"execution reverted","data":"0x08c3"}}"#);
        let Verdict::Answers(answers) = judge(&reply, 0..1) else {
            panic!("no answers");
        };
        let Answer::Error(error) = &answers[0] else {
            panic!("no error");
        };
        assert_eq!(error.data.as_ref().map(|data| data.get()), Some("\"0x08c3\""));
    }
}
