//! What the replies to one body may have together: a batch is answered as a whole, so all of them are in memory at once.
//!
//! **How it fails.** A request whose turn comes when the room is taken is not carried out, and its error says so. A result that does not fit
//! becomes an error that says that there was one. Errors, and results that are no longer than such an error, always fit: what became of a
//! transaction is never lost here, and a batch has a bounded number of them.

use std::cell::Cell;

use serde_json::value::RawValue;

use crate::jsonrpc::error::{INTERNAL, RpcError};

/// Bytes of the results to one body: a client that needs more asks in several.
const RESULTS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A result of so many bytes or fewer takes no more than the error in its place would.
const SMALL_BYTES: usize = 256;

/// The room that is left for the results to one body.
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Cell::new(RESULTS_BYTES_MAX))
    }

    /// Whether another request may be carried out.
    ///
    /// # Errors
    /// There is no room left.
    pub(super) fn check(&self) -> Result<(), RpcError> {
        if self.0.get() > 0 { Ok(()) } else { Err(over("this request was not carried out")) }
    }

    /// The result, if it fits; it then has its room until the batch is answered.
    ///
    /// # Errors
    /// It does not fit.
    pub(super) fn take(&self, result: Box<RawValue>) -> Result<Box<RawValue>, RpcError> {
        let bytes = result.get().len();
        match self.0.get().checked_sub(bytes) {
            Some(left) => self.0.set(left),
            // From now on there is none, or the batch would be answered in parts at random.
            None => {
                self.0.set(0);
                if bytes > SMALL_BYTES {
                    return Err(over(&format!("this request was carried out, and its result of {bytes} bytes left out")));
                }
            }
        }
        Ok(result)
    }
}

fn over(what: &str) -> RpcError {
    RpcError::new(
        INTERNAL,
        format!("the results of this batch are over the limit of {RESULTS_BYTES_MAX} bytes: {what}; send smaller batches"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(bytes: usize) -> Box<RawValue> {
        RawValue::from_string(format!("\"{}\"", "x".repeat(bytes - 2))).expect("JSON")
    }

    #[test]
    fn the_results_of_a_batch_are_bounded_and_small_ones_are_never_lost() {
        let budget = Budget::new();
        for _ in 0..3 {
            budget.check().expect("room");
            budget.take(result(20 << 20)).expect("it fits");
        }
        budget.check().expect("room");
        let error = budget.take(result(20 << 20)).expect_err("over");
        assert!(error.message.contains("67108864") && error.message.contains("left out"), "{}", error.message);
        let error = budget.check().expect_err("nothing is left");
        assert!(error.message.contains("not carried out"), "{}", error.message);
        budget.take(result(SMALL_BYTES)).expect("a hash, of what was under way");
        budget.take(result(SMALL_BYTES + 1)).expect_err("over");
    }
}
