//! The messages of a subscription: the request, its answer, and the notifications.
//!
//! Fails with the node's words, or with what is wrong with a message.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::rpc::{Fault, RpcError};

/// The only request on the connection.
pub(super) const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"eth_subscribe","params":["newHeads"]}"#;

/// What a node may send.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(default)]
    error: Option<RpcError>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    subscription: &'a RawValue,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// The subscription's id as the node writes it, once `text` is the answer. A notification may come before it, and is passed over: who
/// subscribes reads the chain afterwards anyway.
pub(super) fn subscription(text: &str) -> Result<Option<Box<RawValue>>, Fault> {
    let message = read(text)?;
    match (message.result, message.params) {
        (Some(id), _) if id.get() != "null" => Ok(Some(id.to_owned())),
        (None, Some(_)) => Ok(None),
        _ => Err(Fault::Malformed("the answer to eth_subscribe has neither result nor error".to_owned())),
    }
}

/// The header in a notification of the subscription `id`; nothing in one of another subscription.
pub(super) fn header(text: &str, id: &RawValue) -> Result<Option<Box<RawValue>>, Fault> {
    let Some(params) = read(text)?.params else {
        return Err(Fault::Malformed("a message is not a notification of a head".to_owned()));
    };
    Ok((params.subscription.get() == id.get()).then(|| params.result.to_owned()))
}

fn read(text: &str) -> Result<Message<'_>, Fault> {
    let message: Message<'_> = serde_json::from_str(text).map_err(|error| Fault::Malformed(error.to_string()))?;
    match message.error {
        Some(RpcError { code, message, .. }) => Err(Fault::Refused { code, message }),
        None => Ok(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> Box<RawValue> {
        subscription(r#"{"jsonrpc":"2.0","id":0,"result":"0xa1"}"#).expect("an answer").expect("an id")
    }

    #[test]
    fn the_header_is_handed_on_as_it_was_sent() {
        let text = r#"{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xa1","result":{ "number" : "0x1" }}}"#;
        let header = header(text, &id()).expect("a notification").expect("of this subscription");
        assert_eq!(header.get(), r#"{ "number" : "0x1" }"#);
    }

    #[test]
    fn what_belongs_to_another_subscription_is_passed_over() {
        let text = r#"{"method":"eth_subscription","params":{"subscription":"0xb2","result":{}}}"#;
        assert!(header(text, &id()).expect("a notification").is_none());
        assert!(subscription(text).expect("a notification before the answer").is_none());
    }

    #[test]
    fn a_node_without_subscriptions_is_quoted() {
        let text = r#"{"id":0,"error":{"code":-32601,"message":"notifications not supported"}}"#;
        let fault = subscription(text).expect_err("refused");
        assert_eq!(fault, Fault::Refused { code: -32601, message: "notifications not supported".to_owned() });
        assert!(fault.to_string().contains("notifications not supported"));
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        for text in ["", "[]", "17", r#"{"id":0}"#, r#"{"id":0,"result":null}"#, r#"{"params":{"subscription":"0xa1"}}"#] {
            assert!(matches!(subscription(text), Err(Fault::Malformed(_))), "{text}");
            assert!(matches!(header(text, &id()), Err(Fault::Malformed(_))), "{text}");
        }
    }
}
