//! Whom a run drives: the engine through its JSON-RPC, or a node with transactions that the load signs itself.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::Arc;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::TxKind;
use alloy::signers::SignerSync;
use alloy::signers::local::Secp256k1Signer;
use anyhow::{Context, bail};
use serde::Deserialize;

use crate::api::{self, Reply, RpcError, Verdict, excerpt};
use crate::event::Terms;
use crate::plan::{Call, Plan};

/// Where transactions go.
pub(crate) enum Target {
    /// The engine: it gives nonces and prices, and signs.
    Engine(Arc<Plan>),
    /// A node.
    Node(Direct),
}

/// Signs transactions and puts them into a node's pool.
///
/// The nonce of a transaction follows from its number and signatures are deterministic (RFC 6979), so what is offered again, also
/// after a crash, is the same bytes.
pub(crate) struct Direct {
    plan: Arc<Plan>,
    signers: Vec<Secp256k1Signer>,
    base_nonces: Vec<u64>,
    terms: Terms,
    /// Transactions that were signed beforehand, by number; empty where each is signed when it is offered.
    ready: Vec<Box<str>>,
}

impl Direct {
    /// `signers` and `base_nonces` are in the order of the plan's senders.
    pub(crate) fn new(plan: Arc<Plan>, signers: Vec<Secp256k1Signer>, base_nonces: Vec<u64>, terms: Terms) -> Self {
        Self { plan, signers, base_nonces, terms, ready: Vec::new() }
    }

    /// Signs all of the plan now.
    pub(crate) fn sign_all(&mut self) -> anyhow::Result<()> {
        self.ready = (0..self.plan.transactions()).map(|number| self.raw(number).map(String::into_boxed_str)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// A transaction as a node takes it.
    fn raw(&self, number: u64) -> anyhow::Result<String> {
        Ok(alloy::hex::encode_prefixed(self.signed(number)?))
    }

    fn signed(&self, number: u64) -> anyhow::Result<Vec<u8>> {
        let (sender, before) = self.plan.place(number);
        let Call { to, value, input, .. } = self.plan.call(number);
        let transaction = TxEip1559 {
            chain_id: self.terms.chain_id,
            nonce: self.base_nonces[sender] + before,
            gas_limit: self.plan.scenario(number).gas(),
            max_fee_per_gas: self.terms.max_fee_per_gas.into(),
            max_priority_fee_per_gas: self.terms.max_priority_fee_per_gas.into(),
            to: to.map_or(TxKind::Create, TxKind::Call),
            value,
            input,
            ..TxEip1559::default()
        };
        let signature = self.signers[sender].sign_hash_sync(&transaction.signature_hash()).context("signing a transaction")?;
        Ok(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718())
    }

    fn request(&self, numbers: &[u64]) -> anyhow::Result<Vec<u8>> {
        let mut body = vec![b'['];
        for (index, &number) in numbers.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            let raw = match self.ready.get(usize::try_from(number)?) {
                Some(raw) => Cow::Borrowed(&**raw),
                None => Cow::Owned(self.raw(number)?),
            };
            write!(body, r#"{{"jsonrpc":"2.0","id":{index},"method":"eth_sendRawTransaction","params":["{raw}"]}}"#)?;
        }
        body.push(b']');
        Ok(body)
    }
}

impl Target {
    /// Body of the request that offers `numbers`.
    pub(crate) fn request(&self, numbers: &[u64]) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Engine(plan) => Ok(plan.request(numbers)),
            Self::Node(direct) => direct.request(numbers),
        }
    }

    /// What a reply says of each of `count` transactions, in order. `is_repeated` tells that they may have been offered before.
    pub(crate) fn judge(&self, reply: &Reply, count: usize, is_repeated: bool) -> anyhow::Result<Vec<Verdict>> {
        match self {
            Self::Engine(_) => api::judge(reply, count),
            Self::Node(_) => judge_node(reply, count, is_repeated),
        }
    }
}

#[derive(Deserialize)]
struct NodeReply {
    id: usize,
    error: Option<RpcError>,
}

/// Reads a node's reply to a batch of `eth_sendRawTransaction`; the ids are places in the batch, in any order.
fn judge_node(reply: &Reply, count: usize, is_repeated: bool) -> anyhow::Result<Vec<Verdict>> {
    if let Some(verdict) = api::judge_status(reply) {
        return Ok(vec![verdict; count]);
    }
    let replies: Vec<NodeReply> = match serde_json::from_slice(&reply.body) {
        Ok(replies) => replies,
        Err(error) => bail!("the node did not answer the batch with an array ({error}): {}", excerpt(&reply.body)),
    };
    let mut verdicts = vec![None; count];
    for NodeReply { id, error } in replies {
        let Some(slot) = verdicts.get_mut(id) else { bail!("the node answered call {id} of a batch of {count}") };
        *slot = Some(error.map_or(Verdict::Accepted, |error| pool_verdict(&error, is_repeated)));
    }
    let missing = verdicts.iter().filter(|verdict| verdict.is_none()).count();
    if missing > 0 {
        bail!("the node left {missing} of {count} calls of a batch unanswered");
    }
    Ok(verdicts.into_iter().flatten().collect())
}

/// What a pool's refusal means. Clients word them differently; what is not known here is final.
fn pool_verdict(error: &RpcError, is_repeated: bool) -> Verdict {
    /// The pool has the very same bytes already.
    const KNOWN: [&str; 3] = ["already known", "already imported", "known transaction"];
    /// The nonce is used or occupied: after an offer without an answer, by the same bytes. The chain has the last word.
    const OCCUPIED: [&str; 3] = ["nonce too low", "nonce is too low", "replacement transaction underpriced"];
    /// There is no room now.
    const FULL: [&str; 4] = ["txpool is full", "pool is full", "limit exceeded", "too many"];
    let message = error.message.to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| message.contains(phrase));
    if says(&KNOWN) || (is_repeated && says(&OCCUPIED)) {
        Verdict::Accepted
    } else if says(&FULL) {
        Verdict::Again(None)
    } else {
        Verdict::Refused(format!("{} ({})", error.message, error.code))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy::consensus::Transaction as _;
    use alloy::consensus::transaction::SignerRecoverable as _;
    use alloy::eips::eip2718::Decodable2718 as _;
    use bytes::Bytes;
    use hyper::StatusCode;

    use super::*;
    use crate::keys;
    use crate::plan::transfers;

    fn direct() -> Direct {
        let signers: Vec<_> = (0..3).map(|index| keys::derive(1, index).unwrap().1).collect();
        let plan = transfers(1, 10, signers.iter().map(Secp256k1Signer::address).collect());
        let terms = Terms { chain_id: 31337, max_fee_per_gas: 9, max_priority_fee_per_gas: 1 };
        Direct::new(Arc::new(plan), signers, vec![5, 6, 7], terms)
    }

    #[test]
    fn a_number_is_always_the_same_bytes_with_the_next_nonce_of_its_sender() {
        let direct = direct();
        let raw = direct.signed(4).unwrap();
        assert_eq!(raw, direct.signed(4).unwrap());
        let envelope = TxEnvelope::decode_2718(&mut raw.as_slice()).unwrap();
        assert_eq!((envelope.nonce(), envelope.chain_id()), (7, Some(31337)), "the second of the sender that began at 6");
        assert_eq!(envelope.recover_signer().unwrap(), direct.plan.call(4).from);
    }

    #[test]
    fn what_is_signed_beforehand_is_the_same_request() {
        let mut direct = direct();
        let request = direct.request(&[3, 9]).unwrap();
        direct.sign_all().unwrap();
        assert_eq!((direct.ready.len(), direct.request(&[3, 9]).unwrap()), (10, request));
    }

    fn judged(body: &str, count: usize, is_repeated: bool) -> anyhow::Result<Vec<Verdict>> {
        judge_node(&Reply { status: StatusCode::OK, body: Bytes::copy_from_slice(body.as_bytes()) }, count, is_repeated)
    }

    #[test]
    fn a_nodes_answers_are_taken_by_id_and_in_its_own_words() {
        let body = r#"[{"id":1,"error":{"code":-32000,"message":"already known"}},{"id":0,"result":"0x1"},
            {"id":2,"error":{"code":-32000,"message":"txpool is full"}},{"id":3,"error":{"code":-32000,"message":"intrinsic gas too low"}}]"#;
        let refused = Verdict::Refused("intrinsic gas too low (-32000)".into());
        assert_eq!(judged(body, 4, false).unwrap(), [Verdict::Accepted, Verdict::Accepted, Verdict::Again(None), refused]);
    }

    #[test]
    fn a_used_nonce_is_our_own_only_after_an_offer_without_an_answer() {
        let body = r#"[{"id":0,"error":{"code":-32000,"message":"nonce too low: next nonce 7, tx nonce 5"}}]"#;
        assert_eq!(judged(body, 1, true).unwrap(), [Verdict::Accepted]);
        assert!(matches!(&judged(body, 1, false).unwrap()[0], Verdict::Refused(_)));
    }

    #[test]
    fn a_batch_that_is_not_answered_call_by_call_is_an_error() {
        assert!(judged(r#"[{"id":0,"result":"0x1"}]"#, 2, false).is_err());
        assert!(judged(r#"{"error":{"code":-32600,"message":"no batches"}}"#, 2, false).is_err());
        assert!(judged(r#"[{"id":7,"result":"0x1"}]"#, 1, false).is_err());
    }
}
