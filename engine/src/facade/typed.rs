//! Typed data (EIP-712) whose types are bounded before it is hashed.
//!
//! Hashing copies a structure at every place that uses it, so some dozens of types that each use the next one twice stand for more values than
//! there is memory. Here they are counted first, each type once.
//!
//! **How it fails.** The reason names the type and the bound.

use std::collections::HashMap;

use alloy::primitives::B256;
use alloy_dyn_abi::{Eip712Types, TypedData};

use crate::api::types;
use crate::jsonrpc::quantity::shortened;

/// Structures and members that the primary type has, with each structure counted wherever it is used.
const NODES_MAX: usize = 1000;
/// Structures in each other.
const DEPTH_MAX: usize = 32;

/// What a type comes to when it is written out.
#[derive(Clone, Copy)]
struct Extent {
    nodes: usize,
    depth: usize,
}

/// The digest that is signed.
///
/// # Errors
/// The types are over their bounds, or the message does not fit them.
pub(super) fn signing_hash(data: &TypedData) -> Result<B256, String> {
    let defined = Eip712Types::from(&data.resolver);
    extent(&defined, &data.primary_type, 0, &mut HashMap::new())?;
    data.eip712_signing_hash().map_err(|error| error.to_string())
}

/// What a type comes to, at a place with so many structures above it.
fn extent<'a>(defined: &'a Eip712Types, kind: &'a str, above: usize, known: &mut HashMap<&'a str, Extent>) -> Result<Extent, String> {
    types::text(kind)?;
    if kind.contains('(') {
        return Err(format!("type {} is a tuple, which EIP-712 has not: define a structure", shortened(kind)));
    }
    let kind = kind.split('[').next().unwrap_or_default();
    let extent = match known.get(kind) {
        Some(extent) => *extent,
        None => {
            let mut whole = Extent { nodes: 1, depth: 0 };
            for member in defined.get(kind).into_iter().flatten() {
                // A circle ends here too, since what is in it does not become known.
                if above == DEPTH_MAX {
                    return Err(too_deep(kind));
                }
                let part = extent(defined, member.type_name(), above + 1, known)?;
                whole.nodes = whole.nodes.saturating_add(part.nodes);
                whole.depth = whole.depth.max(part.depth + 1);
                if whole.nodes > NODES_MAX {
                    return Err(format!("type {} has over {NODES_MAX} members, counted wherever they are used", shortened(kind)));
                }
            }
            known.insert(kind, whole);
            whole
        }
    };
    if above + extent.depth > DEPTH_MAX {
        return Err(too_deep(kind));
    }
    Ok(extent)
}

fn too_deep(kind: &str) -> String {
    format!("type {} is one of over {DEPTH_MAX} structures in each other, or of a circle", shortened(kind))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn hashed(types: &Value, message: &Value) -> Result<B256, String> {
        let data = json!({"types": types, "primaryType": "A0", "domain": {"name": "x"}, "message": message});
        signing_hash(&serde_json::from_value(data).expect("typed data"))
    }

    /// A0 has `uses` members of A1, and so on to one that has a number.
    fn chain(length: usize, uses: usize) -> Value {
        let members = |level: usize| -> Value {
            if level == length {
                return json!([{"name": "x", "type": "uint256"}]);
            }
            (0..uses).map(|place| json!({"name": format!("m{place}"), "type": format!("A{}", level + 1)})).collect()
        };
        (0..=length).map(|level| (format!("A{level}"), members(level))).collect()
    }

    #[test]
    fn ordinary_types_are_hashed() {
        let types =
            json!({"A0": [{"name": "to", "type": "A1[]"}, {"name": "twice", "type": "A1"}], "A1": [{"name": "x", "type": "uint256"}]});
        hashed(&types, &json!({"to": [{"x": 1}], "twice": {"x": "2"}})).expect("a digest");
        let mut message = json!({"x": 1});
        for _ in 0..20 {
            message = json!({"m0": message});
        }
        hashed(&chain(20, 1), &message).expect("a digest");
    }

    #[test]
    fn types_over_their_bounds_are_refused_before_they_are_written_out() {
        let deep = format!("uint256{}", "[]".repeat(400_000));
        for (types, shown) in [
            (chain(30, 2), "over 1000 members"),
            (chain(100_000, 1), "over 32 structures"),
            (json!({"A0": [{"name": "x", "type": "A1[]"}], "A1": [{"name": "x", "type": "A0[]"}]}), "a circle"),
            (json!({"A0": [{"name": "x", "type": deep}]}), "over the limit of"),
            (json!({"A0": [{"name": "x", "type": "uint8[][][][][]"}]}), "5 arrays in each other, over the limit of 4"),
            (json!({"A0": [{"name": "x", "type": "(A0)"}]}), "a tuple"),
        ] {
            let error = hashed(&types, &json!({})).expect_err(shown);
            assert!(error.contains(shown), "{error}");
        }
    }
}
