//! What is changed in a node's answer, and in the parameters of a question.

use serde_json::{Value, json};

use super::replacements::Sent;
use crate::lies::skewed;

/// Members of a block that its announcement to subscribers does not have.
const NOT_IN_HEADS: [&str; 4] = ["transactions", "uncles", "size", "withdrawals"];

/// What is done to the answer of a call. Blocks above `until` are not there yet; −1 means that none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Nothing.
    None,
    /// A nonce is wrong by so much.
    Skew(i64),
    /// A receipt or a list of them.
    Receipts { until: Option<i64>, short: bool },
    /// A block.
    Block { until: i64 },
    /// A transaction, which is pending where its block is not there yet.
    Transaction { until: i64 },
    /// Nothing, but the node has taken a transaction.
    Taken(Sent),
}

impl Edit {
    /// Changes the result of a call.
    pub(super) fn apply(self, result: &mut Value) {
        match self {
            Self::None | Self::Taken(_) => {}
            Self::Skew(delta) => {
                if let Some(nonce) = quantity(result) {
                    *result = hex(skewed(nonce, delta));
                }
            }
            Self::Receipts { until, short } => edit_receipts(result, until, short),
            Self::Block { until } => {
                if is_above(&result["number"], until) {
                    *result = Value::Null;
                }
            }
            Self::Transaction { until } => {
                if is_above(&result["blockNumber"], until) {
                    for place in ["blockHash", "blockNumber", "transactionIndex"] {
                        result[place] = Value::Null;
                    }
                }
            }
        }
    }
}

fn edit_receipts(result: &mut Value, until: Option<i64>, short: bool) {
    let of_hidden_block = |receipt: &Value| until.is_some_and(|until| is_above(&receipt["blockNumber"], until));
    let hidden = match &*result {
        Value::Array(receipts) => receipts.first().is_some_and(of_hidden_block),
        receipt => of_hidden_block(receipt),
    };
    match result {
        _ if hidden => *result = Value::Null,
        Value::Array(receipts) if short => drop(receipts.pop()),
        _ => {}
    }
}

fn is_above(number: &Value, until: i64) -> bool {
    quantity(number).is_some_and(|number| i64::try_from(number).is_ok_and(|number| number > until))
}

/// A quantity of EIP-1474 that fits 64 bits.
pub(super) fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}

/// A quantity in JSON.
pub(super) fn hex(number: u64) -> Value {
    json!(format!("{number:#x}"))
}

/// The announcement of a block as `eth_getBlockByNumber` gives it.
pub(super) fn as_head(mut block: Value) -> Value {
    if let Some(members) = block.as_object_mut() {
        members.retain(|name, _| !NOT_IN_HEADS.contains(&name.as_str()));
    }
    block
}

/// What a call asks about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A block that is there, or something else.
    There,
    /// A block above the head that is shown.
    NotThereYet,
}

/// Makes a block parameter mean the head that is shown where it means the newest block. `pending` is left alone where it means the pool.
pub(super) fn lag_block(params: &mut Vec<Value>, at: usize, head: u64, pending_is_pool: bool) -> Asked {
    if params.len() == at {
        params.push(Value::Null);
    }
    let Some(block) = params.get_mut(at) else { return Asked::There };
    match block.as_str() {
        Some("latest") => *block = hex(head),
        Some("pending") if !pending_is_pool => *block = hex(head),
        None if block.is_null() => *block = hex(head),
        _ => {
            let number = block.get("blockNumber").unwrap_or(block);
            if !is_hash(number) && quantity(number).is_some_and(|number| number > head) {
                return Asked::NotThereYet;
            }
        }
    }
    Asked::There
}

/// As [`lag_block`], for the end of a filter.
pub(super) fn lag_filter(filter: &mut Value, head: u64) {
    let Some(filter) = filter.as_object_mut().filter(|filter| !filter.contains_key("blockHash")) else { return };
    for (name, default) in [("fromBlock", "latest"), ("toBlock", "latest")] {
        let block = filter.entry(name).or_insert_with(|| json!(default));
        let is_above = quantity(block).is_some_and(|number| number > head);
        // A range that begins above the head is empty for the node as well.
        if matches!(block.as_str(), Some("latest" | "pending")) || block.is_null() || (is_above && name == "toBlock") {
            *block = hex(head);
        }
    }
}

fn is_hash(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 66)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(edit: Edit, mut result: Value) -> Value {
        edit.apply(&mut result);
        result
    }

    #[test]
    fn receipts_of_blocks_that_are_not_there_are_null_and_lists_lose_their_last() {
        let edit = Edit::Receipts { until: Some(4), short: true };
        let receipt = |number: u64| json!({"blockNumber": hex(number)});
        assert_eq!(edited(edit, json!([receipt(4), receipt(4)])), json!([receipt(4)]));
        assert_eq!(edited(edit, json!([receipt(5)])), Value::Null);
        assert_eq!(edited(edit, receipt(5)), Value::Null);
        assert_eq!(edited(edit, receipt(4)), receipt(4));
        assert_eq!(edited(edit, json!([])), json!([]));
    }

    #[test]
    fn a_transaction_in_a_block_that_is_not_there_is_pending() {
        let edit = Edit::Transaction { until: 4 };
        let mined = json!({"hash": "0x1", "blockNumber": "0x5", "blockHash": "0x2", "transactionIndex": "0x0"});
        let pending = json!({"hash": "0x1", "blockNumber": null, "blockHash": null, "transactionIndex": null});
        assert_eq!(edited(edit, mined), pending);
        assert_eq!(edited(edit, Value::Null), Value::Null);
    }

    #[test]
    fn the_newest_block_is_the_one_that_is_shown() {
        let lagged = |block: Option<Value>, pool| {
            let mut params: Vec<Value> = [Some(json!("0xab")), block].into_iter().flatten().collect();
            let asked = lag_block(&mut params, 1, 7, pool);
            (params[1].clone(), asked)
        };
        assert_eq!(lagged(Some(json!("latest")), true), (json!("0x7"), Asked::There));
        assert_eq!(lagged(None, true), (json!("0x7"), Asked::There));
        assert_eq!(lagged(Some(json!("pending")), true), (json!("pending"), Asked::There));
        assert_eq!(lagged(Some(json!("pending")), false), (json!("0x7"), Asked::There));
        assert_eq!(lagged(Some(json!("0x8")), false).1, Asked::NotThereYet);
        assert_eq!(lagged(Some(json!({"blockNumber": "0x8"})), false).1, Asked::NotThereYet);
        assert_eq!(lagged(Some(json!(format!("0x{}", "f".repeat(64)))), false).1, Asked::There);
    }
}
