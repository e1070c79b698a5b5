//! Who else used a nonce of ours: looked up at the node for the transactions that a block shows and nobody here signed (row B6).
//!
//! A receipt names the sender, not the nonce, so the transaction is asked for. An authorization (EIP-7702) takes a nonce of the account
//! that signed it only if it was valid in its turn: the account's transaction count behind the block tells. A node that has the block and
//! does not keep the states of old ones cannot tell; then only a count at the head that has not come so far says something, and all else is
//! no evidence. A node that does not have the block is behind and says nothing: its head is older than what is asked about.

use alloy::consensus::crypto::secp256k1::recover_signer;
use alloy::eips::eip7702::SignedAuthorization;
use alloy::primitives::{Address, B256, U64};
use netio::{Calls, End, Room};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::decode::Header;
use super::follow::{Follow, Stop, unanswered};
use crate::sabotage::{self, Sabotage};
use crate::txmgr::{BlockEffects, SeenNonce, SeenReceipt};

/// What is needed of a transaction.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTransaction {
    hash: B256,
    from: Address,
    nonce: U64,
    #[serde(default)]
    block_hash: Option<B256>,
    #[serde(default)]
    authorization_list: Vec<SignedAuthorization>,
}

/// The nonce that a transaction of this block took; `None` if the node does not know it in this block (any more).
fn sender_nonce(json: &str, header: &Header) -> Result<Option<SeenNonce>, serde_json::Error> {
    let wire: Option<WireTransaction> = serde_json::from_str(json)?;
    Ok(wire.filter(|wire| wire.block_hash == Some(header.hash)).map(|wire| SeenNonce {
        address: wire.from,
        nonce: wire.nonce.to(),
        transaction_hash: wire.hash,
    }))
}

/// The nonces that the authorizations of a transaction of this block name; `None` if the node does not know it in this block.
fn authorized_nonces(json: &str, header: &Header) -> Result<Option<Vec<SeenNonce>>, serde_json::Error> {
    let wire: Option<WireTransaction> = serde_json::from_str(json)?;
    Ok(wire.filter(|wire| wire.block_hash == Some(header.hash)).map(|wire| {
        let signer = |authorization: &SignedAuthorization| {
            let signature = authorization.signature().ok()?;
            recover_signer(&signature, authorization.signature_hash()).ok()
        };
        let seen = |authorization: &SignedAuthorization| {
            // One that was not signed by anybody took nobody's nonce.
            Some(SeenNonce { address: signer(authorization)?, nonce: authorization.nonce, transaction_hash: wire.hash })
        };
        wire.authorization_list.iter().filter_map(seen).collect()
    }))
}

impl<R: Room> Follow<R> {
    /// Nonces that the block's authorizations name.
    pub(super) async fn authorizations(&mut self, header: &Header, receipts: &[SeenReceipt]) -> Result<Vec<SeenNonce>, Stop> {
        let carries = |receipt: &&SeenReceipt| receipt.authorizes && !sabotage::on(Sabotage::AuthorizationsUnseen);
        let carriers: Vec<B256> = receipts.iter().filter(carries).map(|receipt| receipt.transaction_hash).collect();
        let mut named = Vec::new();
        for json in self.transactions(&carriers).await? {
            let seen = authorized_nonces(json.get(), header).map_err(|error| unreadable(&error))?;
            named.extend(seen.ok_or_else(|| gone(header))?);
        }
        Ok(named)
    }

    /// Nonces of ours that others' transactions in the block took.
    pub(super) async fn taken(&mut self, header: &Header, effects: &[BlockEffects]) -> Result<Vec<SeenNonce>, Stop> {
        let strangers: Vec<B256> = effects.iter().flat_map(|part| &part.strangers).copied().collect();
        let mut taken = Vec::new();
        for json in self.transactions(&strangers).await? {
            taken.push(sender_nonce(json.get(), header).map_err(|error| unreadable(&error))?.ok_or_else(|| gone(header))?);
        }
        let named: Vec<SeenNonce> = effects.iter().flat_map(|part| &part.authorizations).copied().collect();
        if !named.is_empty() {
            taken.extend(self.authorized(header, named).await?);
        }
        Ok(taken)
    }

    /// Which of these nonces the block's authorizations took.
    async fn authorized(&mut self, header: &Header, named: Vec<SeenNonce>) -> Result<Vec<SeenNonce>, Stop> {
        let mut calls = Calls::new();
        for seen in &named {
            calls.push("eth_getTransactionCount", &(seen.address, U64::from(header.number)));
            calls.push("eth_getTransactionCount", &(seen.address, "latest"));
        }
        calls.push("eth_getBlockByNumber", &(U64::from(header.number), false));
        let mut ends = self.lane.exchange(&calls).await.ends;
        let has_block = match ends.pop() {
            Some(End::Answered(Ok(json))) => {
                let block: Option<Header> = serde_json::from_str(json.get()).map_err(|error| unreadable(&error))?;
                block.is_some_and(|block| block.hash == header.hash)
            }
            _ => false,
        };
        let mut counts = Vec::with_capacity(ends.len());
        for end in ends {
            counts.push(match end {
                End::Answered(Ok(json)) => Ok(serde_json::from_str::<U64>(json.get()).map_err(|error| unreadable(&error))?.to()),
                End::Answered(Err(error)) => Err(error.to_string()),
                End::BeforeSend(fault) | End::Ambiguous(fault) => {
                    return Err(unanswered("a transaction count", self.lane.endpoint(), &fault));
                }
            });
        }
        let (mut taken, mut open) = (Vec::new(), None);
        for (seen, pair) in named.into_iter().zip(counts.chunks_exact(2)) {
            match verdict(seen.nonce, &pair[0], &pair[1], has_block) {
                Ok(true) => taken.push(seen),
                Ok(false) if sabotage::on(Sabotage::AuthorizationsTrusted) => taken.push(seen),
                Ok(false) => {}
                Err(error) => open = Some((seen, error)),
            }
        }
        if open.is_some() && !has_block {
            return Err(gone(header));
        }
        let Some((seen, error)) = open else {
            self.untold = Untold::default();
            return Ok(taken);
        };
        if self.untold.ask_again() {
            return Err(Stop::Later(format!("the transaction count of {} at block {} is not told: {error}", seen.address, header.number)));
        }
        if self.untold.is_news() {
            tracing::warn!(address = %seen.address, nonce = seen.nonce, block = header.number, error, node = %self.lane.endpoint(),
                "the node does not tell the transaction counts of old blocks, so it is not known whether authorizations there took nonces of ours; they count as not taken");
        }
        Ok(taken)
    }

    async fn transactions(&mut self, hashes: &[B256]) -> Result<Vec<Box<RawValue>>, Stop> {
        let mut calls = Calls::new();
        for hash in hashes {
            calls.push("eth_getTransactionByHash", &[hash]);
        }
        self.results(&calls).await
    }

    /// The result of every call, or a stop.
    async fn results(&mut self, calls: &Calls) -> Result<Vec<Box<RawValue>>, Stop> {
        let ends = if calls.is_empty() { Vec::new() } else { self.lane.exchange(calls).await.ends };
        let result = |end| match end {
            End::Answered(Ok(json)) => Ok(json),
            End::Answered(Err(error)) => Err(Stop::Later(format!("a transaction in a block cannot be looked up: {error}"))),
            End::BeforeSend(fault) | End::Ambiguous(fault) => Err(unanswered("a transaction in a block", self.lane.endpoint(), &fault)),
        };
        ends.into_iter().map(result).collect()
    }
}

/// Whether an authorization took the nonce it names, by the account's counts behind its block and at the head of a node that has that block
/// or does not; or why that is not known.
fn verdict(nonce: u64, behind: &Result<u64, String>, latest: &Result<u64, String>, has_block: bool) -> Result<bool, String> {
    match (behind, latest) {
        (Ok(count), _) => Ok(*count > nonce),
        // A count never falls: what is not used at a head behind the block was not used in the block.
        (Err(_), Ok(count)) if *count <= nonce && has_block => Ok(false),
        // Used by now, by whomever: that is no evidence.
        (Err(error), _) => Err(error.clone()),
    }
}

/// Looks at a block for which the node does not tell a count after which the follower goes on without: long enough for another node to
/// take over, if there is one, and for a fault that passes.
const GO_ON_AFTER: u32 = 20;

/// How often in a row a node has not told the transaction count at a block.
#[derive(Clone, Copy, Debug, Default)]
pub struct Untold(u32);

impl Untold {
    /// Once more. True while the node is to be asked again; a node that was asked so often cannot tell it for later blocks either.
    const fn ask_again(&mut self) -> bool {
        self.0 = self.0.saturating_add(1);
        self.0 < GO_ON_AFTER
    }

    /// The follower goes on without for the first time.
    const fn is_news(self) -> bool {
        self.0 == GO_ON_AFTER
    }
}

fn unreadable(error: &serde_json::Error) -> Stop {
    Stop::Later(format!("a transaction in a block cannot be read: {error}"))
}

fn gone(header: &Header) -> Stop {
    Stop::Later(format!("the node does not tell of block {} what it is asked", header.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            number: 9,
            hash: B256::repeat_byte(9),
            parent_hash: B256::repeat_byte(8),
            timestamp: 0,
            transactions: vec![B256::repeat_byte(1)],
        }
    }

    #[test]
    fn a_transaction_of_another_block_is_no_evidence() {
        let json = |block: u8| {
            format!(
                r#"{{"hash":"{}","from":"0x3333333333333333333333333333333333333333","nonce":"0x7","blockHash":"{}"}}"#,
                B256::repeat_byte(1),
                B256::repeat_byte(block)
            )
        };
        assert_eq!(sender_nonce(&json(9), &header()).expect("well formed").map(|seen| seen.nonce), Some(7));
        assert_eq!(sender_nonce(&json(8), &header()).expect("well formed"), None);
        assert_eq!(sender_nonce("null", &header()).expect("null is allowed"), None);
    }

    #[test]
    fn a_count_that_a_pruned_node_does_not_tell_is_no_evidence_and_does_not_stop_the_follower() {
        let pruned: Result<u64, String> = Err("missing trie node".into());
        let unknown: Result<bool, String> = Err("missing trie node".into());
        assert_eq!(verdict(4, &Ok(5), &Ok(9), true), Ok(true));
        assert_eq!(verdict(4, &Ok(4), &Ok(9), true), Ok(false));
        assert_eq!(verdict(4, &pruned, &Ok(4), true), Ok(false), "it is unused up to the head");
        assert_eq!(verdict(4, &pruned, &Ok(5), true), unknown, "somebody has used it since");
        assert_eq!(verdict(4, &pruned, &pruned, true), unknown);
        let mut untold = Untold::default();
        assert_eq!((0..100).filter(|_| untold.ask_again()).count(), GO_ON_AFTER as usize - 1);
        let mut untold = Untold::default();
        let told = (0..100).filter(|_| !untold.ask_again() && untold.is_news()).count();
        assert_eq!(told, 1, "it is said once");
    }

    #[test]
    fn the_head_of_a_node_that_does_not_have_the_block_says_nothing_about_what_the_block_took() {
        let behind: Result<u64, String> = Err("header not found".into());
        assert_eq!(verdict(4, &behind, &Ok(4), false), Err("header not found".into()));
        assert_eq!(verdict(4, &Ok(5), &Ok(4), false), Ok(true), "what was told of the block itself counts");
    }

    #[test]
    fn an_authorization_names_its_signer_and_the_nonce() {
        use alloy::eips::eip7702::Authorization;
        use alloy::primitives::U256;
        use alloy::signers::{SignerSync, local::PrivateKeySigner};
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(5)).expect("a key");
        let authorization = Authorization { chain_id: U256::ZERO, address: Address::ZERO, nonce: 4 };
        let signature = signer.sign_hash_sync(&authorization.signature_hash()).expect("a signature");
        let list = serde_json::to_string(&[authorization.into_signed(signature)]).expect("JSON");
        let json = format!(
            r#"{{"hash":"{}","from":"0x3333333333333333333333333333333333333333","nonce":"0x7","blockHash":"{}","authorizationList":{list}}}"#,
            B256::repeat_byte(1),
            B256::repeat_byte(9)
        );
        let seen = authorized_nonces(&json, &header()).expect("well formed").expect("in the block");
        assert_eq!(seen, [SeenNonce { address: signer.address(), nonce: 4, transaction_hash: B256::repeat_byte(1) }]);
    }
}
