//! What a test can ask of a dev chain and of a proxy alike: faults, lies, counts, and an end of WebSockets.
//!
//! The control methods of both are taken apart here, so that they have one name and one form.

use std::collections::BTreeMap;

use crate::{
    error::RpcError,
    faults::{FAULTS_MAX, Faults, Rule, Strike},
    json,
    lies::Lies,
    rpc::Params,
};

/// Names of methods that are counted one by one; calls of further ones are counted together. The names come from clients.
const METHODS_MAX: usize = 256;
/// The name under which further ones are counted.
const OTHERS: &str = "(others)";

/// Faults, lies and counts.
#[derive(Debug, Default)]
pub(crate) struct Tricks {
    pub(crate) faults: Faults,
    pub(crate) lies: Lies,
    pub(crate) counts: CallCounts,
}

/// What the sockets are to do after a control call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketErrand {
    /// Let held replies go.
    pub(crate) release_held: bool,
    /// Whether WebSockets are allowed from now on; those that are open end when they are not.
    pub(crate) websockets: Option<bool>,
}

impl Tricks {
    /// What happens to a request with these methods, if a fault waits for it.
    pub(crate) fn strike(&mut self, methods: &[&str]) -> Option<Strike> {
        if self.faults.is_empty() { None } else { self.faults.strike(methods) }
    }

    /// Adds a fault.
    ///
    /// # Errors
    ///
    /// When too many wait already.
    pub(crate) fn add_fault(&mut self, rule: Rule) -> Result<(), RpcError> {
        if self.faults.add(rule) {
            return Ok(());
        }
        Err(RpcError::server(format!("{FAULTS_MAX} faults wait already: clear them with devnet_clearFaults")))
    }

    /// Forgets faults, lies and refusals; says how many faults and refusals there were.
    pub(crate) fn clear(&mut self) -> usize {
        self.faults.clear() + self.lies.clear()
    }

    /// Carries out a control method that dev chain and proxy share; `None` when it is none of them.
    pub(crate) fn control(&mut self, method: &str, params: &Params<'_>, errand: &mut SocketErrand) -> Option<Result<Done, RpcError>> {
        let done = match method {
            "devnet_addFault" => params.required(0).and_then(|rule| self.add_fault(rule)),
            "devnet_fail" => params.required(0).and_then(|refusal| self.lies.refuse(refusal)),
            "devnet_clearFaults" => {
                errand.release_held = true;
                return Some(Ok(Done::Count(self.clear() as u64)));
            }
            "devnet_releaseHeld" => {
                errand.release_held = true;
                Ok(())
            }
            "devnet_cutWebSockets" | "devnet_allowWebSockets" => {
                errand.websockets = Some(method == "devnet_allowWebSockets");
                Ok(())
            }
            "devnet_setReceiptLag" => both(params).map(|(blocks, calls)| self.lies.set_receipt_lag(blocks, calls)),
            "devnet_skewNonces" => both(params).map(|(delta, calls)| self.lies.set_nonce_skew(delta, calls)),
            "devnet_shortenReceipts" => params.optional(0).map(|calls| self.lies.set_short_receipts(calls)),
            _ => return None,
        };
        Some(done.map(|()| Done::Plain))
    }
}

/// What a control call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// That it is done.
    Plain,
    /// A count.
    Count(u64),
}

/// What a lie is, and for how many calls.
fn both<'a, T: serde::Deserialize<'a>>(params: &Params<'a>) -> Result<(T, Option<u64>), RpcError> {
    Ok((params.required(0)?, params.optional(1)?))
}

/// How often each method was called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallCounts(BTreeMap<String, u64>);

impl CallCounts {
    /// Counts a call.
    pub(crate) fn count(&mut self, method: &str) {
        if let Some(calls) = self.0.get_mut(method) {
            *calls += 1;
        } else {
            let name = if self.0.len() < METHODS_MAX { method } else { OTHERS };
            *self.0.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// Writes an object with a quantity for each method.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (method, calls)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::text(out, method);
            out.push(b':');
            json::quantity(out, *calls);
        }
        out.push(b'}');
    }

    /// By method, in the order of the alphabet.
    pub(crate) fn by_method(&self) -> &BTreeMap<String, u64> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_methods_do_not_fill_the_memory() {
        let mut counts = CallCounts::default();
        for number in 0..1_000 {
            counts.count(&format!("eth_{number}"));
        }
        counts.count("eth_1");
        assert_eq!(counts.by_method().len(), METHODS_MAX + 1);
        assert_eq!((counts.by_method()["eth_1"], counts.by_method()[OTHERS]), (2, 744));
    }
}
