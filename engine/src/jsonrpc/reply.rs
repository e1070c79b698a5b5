//! Replies, written straight as JSON.

use serde::Serialize;
use serde_json::value::RawValue;

use super::error::RpcError;

/// What one reply takes, about, to make room for it at once.
pub(crate) const REPLY_BYTES: usize = 96;

/// A whole reply that is one error to nobody in particular.
pub(crate) fn error_reply(error: &RpcError) -> Vec<u8> {
    let mut out = Vec::with_capacity(REPLY_BYTES + error.message.len());
    write_reply(&mut out, RawValue::NULL, Err::<(), _>(error));
    out
}

/// Ends the list of replies, or takes the one reply out of it.
pub(crate) fn close(mut out: Vec<u8>, batch: bool) -> Vec<u8> {
    match (out.is_empty(), batch) {
        (true, _) => {}
        (false, true) => out.push(b']'),
        (false, false) => {
            out.remove(0);
        }
    }
    out
}

/// Writes the reply to the request with this id: its result, or why there is none.
pub(crate) fn write_reply<T: Serialize>(out: &mut Vec<u8>, id: &RawValue, result: Result<T, &RpcError>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.get().as_bytes());
    let written = match result {
        Ok(result) => {
            out.extend_from_slice(b",\"result\":");
            serde_json::to_writer(&mut *out, &result)
        }
        Err(error) => {
            out.extend_from_slice(b",\"error\":");
            serde_json::to_writer(&mut *out, error)
        }
    };
    written.expect("these types have string keys, and a Vec takes every byte");
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::error::BUSY;
    use super::*;

    #[test]
    fn a_reply_repeats_the_id_as_it_was_written() {
        let id = RawValue::from_string("\"a\\u0062\"".into()).expect("JSON");
        let mut out = Vec::new();
        write_reply(&mut out, &id, Ok(Uuid::nil()));
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":"a\u0062","result":"00000000-0000-0000-0000-000000000000"}"#);
    }

    #[test]
    fn an_error_carries_its_code_message_and_data() {
        let text = String::from_utf8(error_reply(&RpcError::busy("full", 20))).expect("UTF-8");
        let expected = format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":{BUSY},"message":"full","data":{{"retryAfterMs":20}}}}}}"#);
        assert_eq!(text, expected);
    }

    #[test]
    fn a_batch_is_a_list_and_silence_is_empty() {
        assert_eq!(close(b"[1,2".to_vec(), true), b"[1,2]");
        assert_eq!(close(b"[1".to_vec(), false), b"1");
        assert_eq!(close(Vec::new(), true), b"");
    }
}
