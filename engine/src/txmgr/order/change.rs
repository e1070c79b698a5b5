//! What an update changes (row A6).

use alloy::primitives::{Address, Bytes, U256};
use storage::{AttemptFees, Fees, Request};

use super::{Case, Refusal};
use crate::txmgr::check::check;
use crate::txmgr::increase::{blob_cap, fee_cap, replacement_minimum, tip_cap};

/// New content for a transaction; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Begin with the content of this earlier generation.
    pub generation: Option<u16>,
    /// Recipient.
    pub to: Option<Address>,
    /// Wei.
    pub value: Option<U256>,
    /// Call data, or the init code of a creation.
    pub data: Option<Bytes>,
    /// Gas limit.
    pub gas: Option<u64>,
    /// Price; [`Fees::Market`] ends a fixed one.
    pub fees: Option<Fees>,
}

impl Change {
    /// The whole content after the change.
    ///
    /// # Errors
    /// A generation that is not there; content that can never be mined.
    pub fn apply(&self, case: &Case) -> Result<Request, Refusal> {
        let present = case.row.generation;
        let mut request = match self.generation {
            Some(asked) if asked > present => {
                return Err(Refusal::Content(format!(
                    "generation {asked} of the transaction does not exist: its newest is {present}; name that or an earlier one"
                )));
            }
            // One without a row asked for what the next one asks for.
            Some(asked) => {
                let earlier = case.generations.iter().find(|(generation, _)| *generation >= asked);
                earlier.map_or_else(|| case.row.request.clone(), |(_, row)| row.request.clone())
            }
            None => case.row.request.clone(),
        };
        request.to = self.to.or(request.to);
        request.value = self.value.unwrap_or(request.value);
        request.data = self.data.clone().unwrap_or(request.data);
        request.gas = self.gas.or(request.gas);
        request.fees = self.fees.unwrap_or(request.fees);
        check(&request, request.blob_hashes().len(), None, None).map_err(Refusal::Content)?;
        Ok(request)
    }
}

/// A fixed price must be one that a pool takes as a replacement of every earlier attempt.
///
/// # Errors
/// The least price that would do.
pub fn replaces(fees: Fees, earlier: &[AttemptFees]) -> Result<AttemptFees, Refusal> {
    let (max_fee, tip, blob) = replacement_minimum(earlier);
    let fees = match fees {
        Fees::Legacy { gas_price } => AttemptFees::Legacy { gas_price },
        Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas },
        Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas } => {
            AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas }
        }
        Fees::Market => return Err(Refusal::Content("the market's price is not a fixed one".to_owned())),
    };
    let carries_blobs = matches!(fees, AttemptFees::Blob { .. });
    if fee_cap(&fees) >= max_fee && tip_cap(&fees) >= tip && (!carries_blobs || blob_cap(&fees) >= blob) {
        return Ok(fees);
    }
    let (given_fee, given_tip, given_blob) = (fee_cap(&fees), tip_cap(&fees), blob_cap(&fees));
    if carries_blobs {
        return Err(Refusal::Content(format!(
            "a price of {given_fee} wei per gas with a tip of {given_tip} and {given_blob} per blob gas does not replace what was sent: with blobs it takes twice that, at least maxFeePerGas {max_fee}, maxPriorityFeePerGas {tip} and maxFeePerBlobGas {blob}"
        )));
    }
    Err(Refusal::Content(format!(
        "a price of {given_fee} wei per gas with a tip of {given_tip} does not replace what was sent: it takes at least maxFeePerGas {max_fee} and maxPriorityFeePerGas {tip}, or gasPrice {}",
        max_fee.max(tip)
    )))
}
