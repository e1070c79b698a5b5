//! Calls being gathered for one request.
//!
//! Their JSON is written once, into the buffer the socket is fed from: it is a valid batch at every moment, so that sending
//! all of it copies nothing. The place of each call in it is kept, for nodes that take fewer at a time.
//!
//! Cannot fail, but for parameters that cannot be written as JSON, which is a fault of the program.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::limits::Limits;

/// Calls that go to a node together. A call's id is its index.
#[derive(Debug, Default)]
pub struct Calls {
    /// `[{…},{…}]`, or nothing when there are no calls. Shared with the connection while it is being written; whoever pushes
    /// while a dead connection still holds it gets a copy.
    batch: Arc<Vec<u8>>,
    /// Where each call's object begins and ends in it.
    places: Vec<Range<usize>>,
}

impl Calls {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a call. `params` is what stands behind `"params"`: an array or tuple, as a rule.
    ///
    /// # Panics
    /// If `params` cannot be written as JSON (a map whose keys are not strings, or a `Serialize` that fails).
    pub fn push(&mut self, method: &str, params: &impl Serialize) {
        self.write(method, |batch| {
            serde_json::to_writer(batch, params).expect("parameters can be written as JSON");
        });
    }

    /// Adds `eth_sendRawTransaction` of the signed bytes `raw`, which are hex-encoded in place.
    pub fn push_raw_transaction(&mut self, raw: &[u8]) {
        self.write("eth_sendRawTransaction", |batch| {
            batch.extend_from_slice(b"[\"0x");
            let begin = batch.len();
            batch.resize(begin + 2 * raw.len(), 0);
            const_hex::encode_to_slice(raw, &mut batch[begin..]).expect("two digits fit for each byte");
            batch.extend_from_slice(b"\"]");
        });
    }

    /// Number of calls.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Length of the request body in bytes.
    pub fn bytes(&self) -> usize {
        self.batch.len()
    }

    /// Whether one more call that adds `more_bytes` to the body keeps within the limits of one request. A raw transaction adds
    /// twice its length and less than 100 bytes around it.
    pub fn fits(&self, more_bytes: usize, limits: &Limits) -> bool {
        self.len() < limits.batch_calls && self.bytes() + more_bytes <= limits.batch_bytes
    }

    /// Forgets all calls and keeps the memory.
    pub fn clear(&mut self) {
        self.places.clear();
        match Arc::get_mut(&mut self.batch) {
            Some(batch) => batch.clear(),
            None => self.batch = Arc::default(),
        }
    }

    fn write(&mut self, method: &str, params: impl FnOnce(&mut Vec<u8>)) {
        let id = self.places.len();
        let batch = Arc::make_mut(&mut self.batch);
        match batch.last_mut() {
            Some(bracket) => *bracket = b',',
            None => batch.push(b'['),
        }
        let begin = batch.len();
        batch.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        serde_json::to_writer(&mut *batch, &id).expect("a number can be written as JSON");
        batch.extend_from_slice(br#","method":"#);
        serde_json::to_writer(&mut *batch, method).expect("a string can be written as JSON");
        batch.extend_from_slice(br#","params":"#);
        params(batch);
        batch.push(b'}');
        let end = batch.len();
        batch.push(b']');
        self.places.push(begin..end);
    }

    /// The body of a request with the calls of `run`: one object for one call, else a batch.
    pub(super) fn body(&self, run: Range<usize>) -> Bytes {
        if run.len() == 1 {
            return self.whole().slice(self.places[run.start].clone());
        }
        if run.len() == self.len() {
            return self.whole();
        }
        let objects = self.places[run.start].start..self.places[run.end - 1].end;
        let mut body = Vec::with_capacity(objects.len() + 2);
        body.push(b'[');
        body.extend_from_slice(&self.batch[objects]);
        body.push(b']');
        body.into()
    }

    fn whole(&self) -> Bytes {
        Bytes::from_owner(Shared(Arc::clone(&self.batch)))
    }
}

/// Lets [`Bytes`] own the buffer without copying it.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(body: &Bytes) -> Value {
        serde_json::from_slice(body).expect("a body is JSON")
    }

    fn three() -> Calls {
        let mut calls = Calls::new();
        calls.push("eth_chainId", &[(); 0]);
        calls.push_raw_transaction(&[0x02, 0xff]);
        calls.push("eth_getBalance", &("0x00", "latest"));
        calls
    }

    #[test]
    fn all_calls_are_a_batch_with_their_index_as_id() {
        let expected = json!([
            {"jsonrpc": "2.0", "id": 0, "method": "eth_chainId", "params": []},
            {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x02ff"]},
            {"jsonrpc": "2.0", "id": 2, "method": "eth_getBalance", "params": ["0x00", "latest"]},
        ]);
        assert_eq!(parse(&three().body(0..3)), expected);
    }

    #[test]
    fn a_part_is_a_batch_of_its_own_and_one_call_is_an_object() {
        let calls = three();
        assert_eq!(parse(&calls.body(1..3))[0]["id"], 1);
        assert_eq!(parse(&calls.body(1..3)).as_array().map(Vec::len), Some(2));
        assert_eq!(parse(&calls.body(2..3))["method"], "eth_getBalance");
    }

    #[test]
    fn the_whole_batch_is_sent_from_where_it_was_written() {
        let calls = three();
        assert_eq!(calls.body(0..3).as_ptr(), calls.batch.as_ptr());
    }

    #[test]
    fn a_push_leaves_what_is_being_sent_alone() {
        let mut calls = three();
        let sent = calls.body(0..3);
        let before = sent.to_vec();
        calls.push("eth_blockNumber", &[(); 0]);
        assert_eq!(sent, before);
        calls.clear();
        calls.push("eth_blockNumber", &[(); 0]);
        assert_eq!(sent, before);
        assert_eq!(parse(&calls.body(0..1))["id"], 0);
    }

    #[test]
    fn a_call_fits_while_both_limits_hold() {
        let calls = three();
        let limits = |batch_calls, batch_bytes| Limits { batch_calls, batch_bytes, ..Limits::default() };
        assert!(calls.fits(10, &limits(4, calls.bytes() + 10)));
        assert!(!calls.fits(11, &limits(4, calls.bytes() + 10)));
        assert!(!calls.fits(10, &limits(3, calls.bytes() + 10)));
    }
}
