//! Cases of the protocol: broken requests and their codes.

use serde_json::{Value, json};

use super::{
    Anvil::{Differs, Same},
    Case, World, verdict,
};

/// The codes in the replies to a body.
fn codes(world: &World, body: &str) -> String {
    let response = world.client.post(body).expect("the node answers");
    let reply: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    match &reply {
        Value::Array(replies) => replies.iter().map(|reply| reply["error"]["code"].to_string()).collect::<Vec<_>>().join(" "),
        reply => reply["error"]["code"].to_string(),
    }
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "an unknown method has code -32601",
            run: |world| codes(world, r#"{"jsonrpc":"2.0","id":1,"method":"eth_nothing","params":[]}"#),
            devnet: "-32601",
            anvil: Same,
        },
        Case {
            name: "wrong parameters have code -32602",
            run: |world| {
                let call = |method: &str, params: Value| world.client.call(method, params).map_or_else(|error| error.code, |_| 0);
                format!(
                    "{} {} {}",
                    call("eth_getBalance", json!(["0x12", "latest"])),
                    call("eth_getTransactionReceipt", json!([])),
                    call("eth_sendRawTransaction", json!(["0xzz"])),
                )
            },
            devnet: "-32602 -32602 -32602",
            anvil: Same,
        },
        Case {
            name: "broken JSON has code -32700, JSON that is no request -32600",
            run: |world| format!("{} {}", codes(world, "{\"jsonrpc\":"), codes(world, "{\"a\":1}")),
            devnet: "-32700 -32600",
            anvil: Differs("-32600 -32600"),
        },
        Case {
            name: "a call that cannot be paid is an error",
            run: |world| {
                let signer = super::kit::signer("never funded");
                let call = json!([{"from": signer.address(), "to": signer.address(), "value": "0x1"}, "latest"]);
                let verdict = verdict(world.client.call("eth_call", call));
                verdict.split(": address").next().unwrap_or_default().to_owned()
            },
            devnet: "-32000 err: insufficient funds for gas * price + value",
            anvil: Differs("-32003 Insufficient funds for gas * price + value"),
        },
    ]
}
