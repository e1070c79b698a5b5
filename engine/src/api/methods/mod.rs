//! The table of methods: what each is called, takes and gives, an example, and what it does.
//!
//! ```text
//!                      ┌─► find: dispatch of a request
//! Method … Method ─────┼─► names: the list in the error for an unknown one
//! (one for each)       └─► the OpenRPC document at rpc.discover, which a test runs the examples of
//! ```
//!
//! A method is added by adding an entry: nothing else names it. The table is looked through from its beginning, so what is called most
//! stands first.

mod addresses;
mod contracts;
mod discover;
mod listeners;
mod orders;
mod transactions;

use serde_json::value::RawValue;

use super::calls::Plan;
use crate::engine::Submission;
use crate::jsonrpc::error::{METHOD_NOT_FOUND, RpcError};
use crate::jsonrpc::quantity::shortened;
use crate::jsonrpc::schema::SchemaOf;

/// The whole table, by subject.
static TABLE: [&[Method]; 6] =
    [&transactions::METHODS, &orders::METHODS, &addresses::METHODS, &contracts::METHODS, &listeners::METHODS, &discover::METHODS];

/// One method of the interface.
pub(super) struct Method {
    /// Its name.
    name: &'static str,
    /// What it does, in a sentence.
    summary: &'static str,
    /// What it takes, in order.
    params: &'static [Param],
    /// What it gives: a name for it, and its schema.
    result: (&'static str, SchemaOf),
    /// A call as it is made on a dev chain, and what it gave: `params` and `result` as JSON. Ids, hashes and times differ from run to run.
    example: (&'static str, &'static str),
    /// Reads the parameters.
    pub(super) plan: fn(Args<'_>) -> Result<Plan, RpcError>,
}

/// One parameter of a method.
struct Param {
    name: &'static str,
    /// What it means, in a sentence.
    summary: &'static str,
    required: bool,
    schema: SchemaOf,
}

/// What a plan is made of.
pub(super) struct Args<'a> {
    /// As they were written.
    pub(super) params: Option<&'a RawValue>,
    /// Most elements of a list of transactions.
    pub(super) most: usize,
    /// Where sends put what they ask for.
    pub(super) submissions: &'a mut Vec<Submission>,
}

/// The method of this name.
///
/// # Errors
/// There is none; the error names all there are.
pub(super) fn find(name: &str) -> Result<&'static Method, RpcError> {
    all().find(|method| method.name == name).ok_or_else(|| {
        let names: Vec<_> = all().map(|method| method.name).collect();
        let message = format!("unknown method \"{}\"; there are {}", shortened(name), names.join(", "));
        RpcError::new(METHOD_NOT_FOUND, message)
    })
}

fn all() -> impl Iterator<Item = &'static Method> {
    TABLE.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_found_once() {
        let names: Vec<_> = all().map(|method| method.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        for name in names {
            assert_eq!(find(name).map(|method| method.name).ok(), Some(name));
        }
    }

    #[test]
    fn an_unknown_method_is_told_all_there_are() {
        let error = find("ptx_sendTransactoin").err().expect("unknown");
        assert_eq!(error.code, METHOD_NOT_FOUND);
        for name in ["ptx_sendTransactoin", "ptx_sendTransaction,", "ptx_getAddress", "rpc.discover"] {
            assert!(error.message.contains(name), "{name} in {}", error.message);
        }
    }

    #[test]
    fn every_example_is_json_and_its_parameters_are_read() {
        for method in all() {
            let params: Box<RawValue> = serde_json::from_str(method.example.0).expect(method.name);
            serde_json::from_str::<Box<RawValue>>(method.example.1).expect(method.name);
            let args = Args { params: Some(&params), most: 10, submissions: &mut Vec::new() };
            assert!((method.plan)(args).is_ok(), "{}", method.name);
        }
    }
}
