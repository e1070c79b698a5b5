//! Bodies as nodes and callers write them.

use std::fmt::Write as _;

use alloy::primitives::{Address, keccak256};

/// A node's reply to `count` calls of `eth_sendRawTransaction`, each of them taken. One call is answered with an object.
#[must_use]
pub fn taken(count: u64) -> String {
    list(count, |number, out| write!(out, r#"{{"jsonrpc":"2.0","id":{number},"result":"{}"}}"#, keccak256(number.to_be_bytes())))
}

/// The result of `eth_getBlockReceipts` for a block of `count` transfers of as many senders, with all that nodes write into it.
#[must_use]
pub fn receipts(count: u64) -> String {
    let bloom = "0".repeat(512);
    let one = |number: u64, out: &mut String| {
        let (hash, sender) = (keccak256(number.to_be_bytes()), sender(number));
        write!(
            out,
            concat!(
                r#"{{"type":"0x2","status":"0x1","cumulativeGasUsed":"{gas:#x}","logs":[],"logsBloom":"0x{bloom}","transactionHash":"{hash}","#,
                r#""transactionIndex":"{number:#x}","blockHash":"0x2222222222222222222222222222222222222222222222222222222222222222","#,
                r#""blockNumber":"0x3e8","gasUsed":"0x5208","effectiveGasPrice":"0x3b9aca07","from":"{sender:?}","#,
                r#""to":"0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","contractAddress":null}}"#
            ),
            gas = (number + 1) * 21_000,
            bloom = bloom,
            hash = hash,
            number = number,
            sender = sender,
        )
    };
    format!("[{}]", joined(count, one))
}

/// A sender, spread over the shards as addresses are.
#[must_use]
pub fn sender(number: u64) -> Address {
    Address::from_word(keccak256(number.to_le_bytes()))
}

/// A caller's body of `count` calls of `ptx_sendTransaction`. One call is an object, more are a batch.
#[must_use]
pub fn sends(count: u64) -> String {
    list(count, |number, out| {
        write!(out, r#"{{"jsonrpc":"2.0","id":{number},"method":"ptx_sendTransaction","params":["#)?;
        transaction(number, out)?;
        out.write_str("]}")
    })
}

/// A caller's body of one `ptx_sendTransactions` with `count` transfers.
#[must_use]
pub fn send_many(count: u64) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ptx_sendTransactions","params":[[{}]]}}"#, joined(count, transaction))
}

fn transaction(number: u64, out: &mut String) -> std::fmt::Result {
    write!(
        out,
        concat!(
            r#"{{"from":"{:?}","to":"0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","value":"0x1","gas":"0x5208","#,
            r#""maxFeePerGas":"0xb2d05e00","maxPriorityFeePerGas":"0x3b9aca00","idempotencyKey":"bench-{:012}"}}"#
        ),
        sender(number),
        number
    )
}

fn list(count: u64, one: impl Fn(u64, &mut String) -> std::fmt::Result) -> String {
    let objects = joined(count, one);
    if count == 1 { objects } else { format!("[{objects}]") }
}

fn joined(count: u64, one: impl Fn(u64, &mut String) -> std::fmt::Result) -> String {
    let mut out = String::new();
    for number in 0..count {
        if number > 0 {
            out.push(',');
        }
        one(number, &mut out).expect("a string grows");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decoders_take_every_body() {
        for count in [1, 3] {
            let calls = usize::try_from(count).expect("few");
            let ends = netio::rpc::read_reply(taken(count).into(), calls);
            assert!(ends.len() == calls && ends.iter().all(|end| matches!(end, netio::End::Answered(Ok(_)))), "{ends:?}");
            let seen = engine::chain::receipts_from_json(&receipts(count)).expect("well formed").expect("not null");
            assert_eq!((seen.len(), seen[0].from), (calls, sender(0)));
            for body in [sends(count), send_many(count)] {
                assert_eq!(engine::api::submissions(body.as_bytes(), 10).expect("well formed").len(), calls);
            }
        }
    }
}
