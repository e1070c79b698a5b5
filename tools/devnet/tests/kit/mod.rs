//! What the tests share: a blocking JSON-RPC client over HTTP and signed transactions.

#![allow(dead_code, reason = "each test binary uses its own part of the kit")]
#![allow(clippy::needless_pass_by_value, reason = "parameters are written in place, as json!([…])")]

use std::{fmt, time::Duration};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::Encodable2718,
    hex,
    primitives::{Address, B256, Signature, TxKind, U256, keccak256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};

/// No answer of a node takes longer than this, faults included.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(20);

pub(crate) const GWEI: u128 = 1_000_000_000;

/// A JSON-RPC error as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<String>,
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.message)
    }
}

/// A client of one node. Every request has a connection of its own, so that a cut one spoils no other.
pub(crate) struct Client {
    authority: String,
    runtime: Runtime,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        let authority = url.strip_prefix("http://").expect("the URL is http").to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an event loop");
        Self { authority, runtime }
    }

    /// Posts a body and gives the whole response, or what went wrong with the connection.
    pub(crate) fn post(&self, body: &str) -> Result<Response<Bytes>, String> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.runtime.block_on(async { timeout(ANSWER_MAX, send(&self.authority, body)).await.map_err(|_| "no answer in time".to_owned())? })
    }

    /// Posts JSON and gives the JSON of the reply.
    pub(crate) fn exchange(&self, body: &Value) -> Value {
        let response = self.post(&body.to_string()).expect("the node answers");
        serde_json::from_slice(response.body()).expect("the answer is JSON")
    }

    pub(crate) fn call(&self, method: &str, params: Value) -> Result<Value, CallError> {
        result_of(self.exchange(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})))
    }

    /// A call that must succeed.
    pub(crate) fn ask(&self, method: &str, params: Value) -> Value {
        self.call(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub(crate) fn send(&self, raw: &[u8]) -> Result<B256, CallError> {
        let hash = self.call("eth_sendRawTransaction", json!([hex::encode_prefixed(raw)]))?;
        Ok(hash.as_str().and_then(|hash| hash.parse().ok()).expect("the result is a hash"))
    }

    pub(crate) fn receipt(&self, hash: B256) -> Value {
        self.ask("eth_getTransactionReceipt", json!([hash]))
    }

    pub(crate) fn nonce(&self, address: Address, block: &str) -> u64 {
        number(&self.ask("eth_getTransactionCount", json!([address, block])))
    }

    pub(crate) fn head(&self) -> u64 {
        number(&self.ask("eth_blockNumber", json!([])))
    }
}

async fn send(authority: &str, body: Bytes) -> Result<Response<Bytes>, String> {
    let words = |error: &dyn fmt::Display| error.to_string();
    let stream = TcpStream::connect(authority).await.map_err(|error| words(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| words(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::post("/")
        .header("host", authority)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .map_err(|error| words(&error))?;
    let (head, body) = sender.send_request(request).await.map_err(|error| words(&error))?.into_parts();
    let body = body.collect().await.map_err(|error| words(&error))?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(head, body))
}

/// The result of a reply, or its error.
pub(crate) fn result_of(mut reply: Value) -> Result<Value, CallError> {
    match reply.get("error") {
        None => Ok(reply["result"].take()),
        Some(error) => Err(CallError {
            code: error["code"].as_i64().expect("an error has a code"),
            message: error["message"].as_str().expect("an error has a message").to_owned(),
            data: error["data"].as_str().map(str::to_owned),
        }),
    }
}

/// A quantity of EIP-1474 as a number.
pub(crate) fn number(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or_else(|| panic!("{value} is no quantity"));
    u64::from_str_radix(digits, 16).expect("the quantity fits 64 bits")
}

/// A key that depends on a name only.
pub(crate) fn signer(name: &str) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(name)).expect("a hash is a key but for a chance of 2^-128")
}

/// A transfer of one wei with room for any base fee.
pub(crate) fn transfer(chain_id: u64, nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 100 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to: TxKind::Call(Address::repeat_byte(0x42)),
        value: U256::from(1),
        ..TxEip1559::default()
    }
}

/// Signs a transaction of any type and encodes it.
pub(crate) fn sign<T>(signer: &PrivateKeySigner, tx: T) -> Vec<u8>
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy::consensus::Signed<T>>,
{
    let signature = signer.sign_hash_sync(&tx.signature_hash()).expect("signing a hash succeeds");
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
}
