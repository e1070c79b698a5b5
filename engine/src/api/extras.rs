//! Access lists (EIP-2930) and blobs (EIP-4844) of a transaction, as callers write them.
//!
//! They are read only where they are given: hardly any transaction has them, and the others shall not pay for it.

use alloy::eips::eip2930::{AccessList, AccessListItem};
use alloy::primitives::{Address, B256, Bytes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use storage::Fees;

use super::params::{TransactionParams, address, fixed, hexadecimal, parse};
use crate::blobs::{Blobs, GivenBlobs};
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::quantity::{Quantity, Text};
use crate::jsonrpc::schema;

/// An address of an access list as callers write it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AccessItemParams<'a> {
    #[serde(borrow)]
    #[schemars(with = "schema::Address")]
    address: Text<'a>,
    /// Its storage slots, 32 bytes each.
    #[serde(borrow)]
    #[schemars(with = "Vec<schema::Hash>")]
    storage_keys: Vec<Text<'a>>,
}

/// The same as callers read it.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    #[schemars(with = "schema::Address")]
    address: Address,
    #[schemars(with = "Vec<schema::Hash>")]
    storage_keys: Vec<B256>,
}

impl From<&AccessListItem> for Listed {
    fn from(item: &AccessListItem) -> Self {
        Self { address: item.address, storage_keys: item.storage_keys.clone() }
    }
}

/// A member that was left as text.
pub(super) fn raw<'a, T: Deserialize<'a>>(field: &str, value: &'a RawValue) -> Result<T, RpcError> {
    parse(value.get()).map_err(|error| RpcError::params(format!("{field}: {error}")))
}

/// The list; empty if none is given.
pub(super) fn access_list(given: Option<&RawValue>) -> Result<AccessList, RpcError> {
    let Some(given) = given else { return Ok(AccessList::default()) };
    let item = |(place, item): (usize, AccessItemParams<'_>)| {
        let field = |name: &str| format!("accessList[{place}].{name}");
        let key =
            |key: &Text<'_>| fixed(&field("storageKeys"), &key.0, "a storage slot: write 0x and 64 hexadecimal digits").map(B256::from);
        Ok(AccessListItem {
            address: address(&field("address"), &item.address.0)?,
            storage_keys: item.storage_keys.iter().map(key).collect::<Result<_, _>>()?,
        })
    };
    // Clients write null for none.
    let items = raw::<Option<Vec<AccessItemParams<'_>>>>("accessList", given)?.unwrap_or_default();
    items.into_iter().enumerate().map(item).collect::<Result<_, _>>().map(AccessList)
}

/// The blobs with what is given beside them; what there must be of them is looked at where they are proven.
pub(super) fn given_blobs(params: &TransactionParams<'_>) -> Result<Option<Box<Blobs>>, RpcError> {
    let list = |field: &str, given: Option<&RawValue>| -> Result<Option<Vec<Bytes>>, RpcError> {
        let texts = given.map(|given| raw::<Option<Vec<Text<'_>>>>(field, given)).transpose()?.flatten();
        let bytes = |(place, text): (usize, &Text<'_>)| hexadecimal(&format!("{field}[{place}]"), &text.0);
        texts.map(|texts| texts.iter().enumerate().map(bytes).collect::<Result<Vec<_>, _>>()).transpose()
    };
    let blobs = list("blobs", params.blobs)?;
    let commitments = list("commitments", params.commitments)?;
    let proofs = list("proofs", params.proofs)?;
    let hashes = list("blobVersionedHashes", params.blob_versioned_hashes)?;
    let Some(blobs) = blobs else {
        return match [("commitments", commitments), ("proofs", proofs), ("blobVersionedHashes", hashes)]
            .into_iter()
            .find(|(_, given)| given.is_some())
        {
            Some((field, _)) => Err(RpcError::params(format!(
                "blobs: missing beside {field}; a transaction with blobs is sent with them: give them, or leave {field} out"
            ))),
            None => Ok(None),
        };
    };
    let hash = |(place, hash): (usize, Bytes)| {
        B256::try_from(hash.as_ref())
            .map_err(|_| RpcError::params(format!("blobVersionedHashes[{place}]: has {} bytes; a hash has 32", hash.len())))
    };
    let hashes = hashes.map(|hashes| hashes.into_iter().enumerate().map(hash).collect::<Result<Vec<_>, _>>()).transpose()?;
    Ok(Some(Box::new(Blobs::Given(GivenBlobs { blobs, commitments, proofs, hashes }))))
}

/// A fixed price with that of a blob's gas.
pub(super) fn with_blob_price(fees: Fees, price: &Quantity<'_>) -> Result<Fees, RpcError> {
    match fees {
        Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => {
            Ok(Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas: price.u64("maxFeePerBlobGas")? })
        }
        Fees::Market | Fees::Legacy { .. } | Fees::Blob { .. } => Err(RpcError::params(
            "maxFeePerBlobGas: stands beside maxFeePerGas and maxPriorityFeePerGas only; give all three, or none for the market's prices",
        )),
    }
}
