//! What the end of a call of `eth_sendRawTransaction` says (row A12).

use alloy::primitives::{B256, Bytes};
use netio::End;

use crate::sabotage::{self, Sabotage};
use crate::txmgr::SendEnd;
use crate::txmgr::outcome::{Outcome, Reason, refused};

/// The end of one call as the manager knows it.
pub(super) fn ended(raw: &Bytes, end: End) -> SendEnd {
    match end {
        End::Answered(Ok(hash)) => {
            let ours = alloy::primitives::keccak256(raw);
            if serde_json::from_str::<B256>(hash.get()).is_ok_and(|hash| hash == ours) {
                SendEnd::Answered(Outcome::SubmittedNew, String::new())
            } else {
                // Row A12: a node that names another hash has not said that it took ours.
                let message = format!("the hash of the bytes is {ours}, and the node answered {}", hash.get());
                SendEnd::Answered(Outcome::FailedRequiresRetry(Reason::OtherHash), message)
            }
        }
        End::Answered(Err(error)) => SendEnd::Answered(refused(&error.message, error.code), error.message),
        End::BeforeSend(_) => SendEnd::BeforeSend,
        End::Ambiguous(_) if sabotage::on(Sabotage::LostReplyRefuses) => SendEnd::Answered(Outcome::Invalid, "no reply".into()),
        End::Ambiguous(_) => SendEnd::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_other_than_ours_is_an_answer_that_says_both_and_no_lost_reply() {
        let raw = Bytes::from_static(&[1, 2, 3]);
        let answered = |json: &str| ended(&raw, End::Answered(Ok(serde_json::value::RawValue::from_string(json.into()).expect("JSON"))));
        let ours = alloy::primitives::keccak256(&raw);
        assert_eq!(answered(&format!("\"{ours}\"")), SendEnd::Answered(Outcome::SubmittedNew, String::new()));
        for other in [format!("\"{}\"", B256::ZERO), "null".into(), "7".into()] {
            let SendEnd::Answered(Outcome::FailedRequiresRetry(Reason::OtherHash), message) = answered(&other) else {
                panic!("{other} is not our hash")
            };
            assert!(message.contains(&ours.to_string()) && message.contains(&other), "{message}");
        }
    }
}
