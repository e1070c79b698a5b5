//! The `authorizationList` of a transaction (EIP-7702), as callers write it and read it.

use alloy::primitives::{Address, U64, U256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use storage::Authorization;

use super::params::address;
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::quantity::{Quantity, Text};
use crate::jsonrpc::schema;

/// A signed authorization as callers write it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AuthorizationParams<'a> {
    /// The chain it is for; 0 for all.
    #[serde(borrow)]
    chain_id: Quantity<'a>,
    /// The account whose code is delegated to.
    #[serde(borrow)]
    #[schemars(with = "schema::Address")]
    address: Text<'a>,
    /// Nonce of the account that gives it.
    #[serde(borrow)]
    nonce: Quantity<'a>,
    /// Parity of its signature, 0 or 1.
    #[serde(borrow)]
    y_parity: Quantity<'a>,
    /// Its signature.
    #[serde(borrow)]
    r: Quantity<'a>,
    /// Its signature.
    #[serde(borrow)]
    s: Quantity<'a>,
}

/// The list, checked: a list that is there has at least one.
pub(super) fn authorizations(list: Vec<AuthorizationParams<'_>>) -> Result<Vec<Authorization>, RpcError> {
    if list.is_empty() {
        return Err(RpcError::params("authorizationList: empty; give at least one authorization, or leave it out"));
    }
    let one = |(place, raw): (usize, AuthorizationParams<'_>)| {
        let field = |name: &str| format!("authorizationList[{place}].{name}");
        let y_parity = raw.y_parity.u64(&field("yParity"))?;
        let y_parity = u8::try_from(y_parity).ok().filter(|parity| *parity < 2);
        Ok(Authorization {
            chain_id: raw.chain_id.u256(&field("chainId"))?,
            address: address(&field("address"), &raw.address.0)?,
            nonce: raw.nonce.u64(&field("nonce"))?,
            y_parity: y_parity.ok_or_else(|| RpcError::params(format!("{}: must be 0 or 1", field("yParity"))))?,
            r: raw.r.u256(&field("r"))?,
            s: raw.s.u256(&field("s"))?,
        })
    };
    list.into_iter().enumerate().map(one).collect()
}

/// A signed authorization as callers read it.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Authorized {
    #[schemars(with = "schema::HexQuantity")]
    chain_id: U256,
    #[schemars(with = "schema::Address")]
    address: Address,
    #[schemars(with = "schema::HexQuantity")]
    nonce: U64,
    #[schemars(with = "schema::HexQuantity")]
    y_parity: U64,
    #[schemars(with = "schema::HexQuantity")]
    r: U256,
    #[schemars(with = "schema::HexQuantity")]
    s: U256,
}

impl From<&Authorization> for Authorized {
    fn from(authorization: &Authorization) -> Self {
        let Authorization { chain_id, address, nonce, y_parity, r, s } = *authorization;
        Self { chain_id, address, nonce: U64::from(nonce), y_parity: U64::from(y_parity), r, s }
    }
}
