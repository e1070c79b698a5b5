//! What is refused at the door: a request that can never be mined as it is.

use storage::{Extras, Fees, Request};

use crate::blobs::BLOBS_MAX;

/// Gas that every transaction takes (yellow paper, G_transaction).
const BASE_GAS: u64 = 21_000;
/// More for a contract creation (EIP-2).
const CREATE_GAS: u64 = 32_000;
/// For each 32 bytes of init code (EIP-3860).
const INIT_CODE_WORD_GAS: u64 = 2;
/// For each authorization (EIP-7702).
const AUTHORIZATION_GAS: u64 = 25_000;
/// For each address of an access list, and for each of its storage keys (EIP-2930).
const LISTED_ADDRESS_GAS: u64 = 2400;
const LISTED_KEY_GAS: u64 = 1900;
/// Most authorizations of a transaction: each is looked up when it is in a block.
const MAX_AUTHORIZATIONS: usize = 100;
/// Gas of a token of call data; a non-zero byte is four tokens (EIP-2028).
const TOKEN_GAS: u64 = 4;
/// Least gas of a token of call data (EIP-7623).
const FLOOR_TOKEN_GAS: u64 = 10;
/// Longest init code (EIP-3860), bytes.
const MAX_INIT_CODE: usize = 2 * 24_576;
/// Pools take no transaction longer than this (geth's `txMaxSize`); what surrounds the data takes less than 512 bytes.
const MAX_DATA: usize = 128 * 1024 - 512;

/// Gas that a request takes before any of its code runs.
#[must_use]
pub fn intrinsic_gas(request: &Request) -> u64 {
    let non_zero = request.data.iter().filter(|byte| **byte != 0).count() as u64;
    let tokens = request.data.len() as u64 + 3 * non_zero;
    let create = match request.to {
        Some(_) => 0,
        None => CREATE_GAS + INIT_CODE_WORD_GAS * (request.data.len() as u64).div_ceil(32),
    };
    let extras = request.extras.as_ref().map_or(0, |extras| extras_gas(extras));
    (BASE_GAS + TOKEN_GAS * tokens + create + extras).max(BASE_GAS + FLOOR_TOKEN_GAS * tokens)
}

fn extras_gas(extras: &Extras) -> u64 {
    let items = &extras.access_list.0;
    let keys: usize = items.iter().map(|item| item.storage_keys.len()).sum();
    AUTHORIZATION_GAS * extras.authorizations.len() as u64 + LISTED_ADDRESS_GAS * items.len() as u64 + LISTED_KEY_GAS * keys as u64
}

/// Why a request with so many `blobs` can never be mined as it is.
///
/// # Errors
/// A sentence for the user: the value, and what to do.
pub fn check(request: &Request, blobs: usize, chain_id: Option<u64>, chain: Option<u64>) -> Result<(), String> {
    if let (Some(asked), Some(chain)) = (chain_id, chain)
        && asked != chain
    {
        return Err(format!("chainId {asked} is not this engine's chain {chain}: leave it out, or send to the engine of that chain"));
    }
    let needed = intrinsic_gas(request);
    if let Some(gas) = request.gas.filter(|gas| *gas < needed) {
        return Err(format!(
            "gas {gas} is below the intrinsic gas {needed} of this transaction: raise it, or leave it out to have it estimated"
        ));
    }
    if let Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } | Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas, .. } =
        request.fees
        && max_priority_fee_per_gas > max_fee_per_gas
    {
        return Err(format!("maxPriorityFeePerGas {max_priority_fee_per_gas} is above maxFeePerGas {max_fee_per_gas}: lower it"));
    }
    let (limit, what) = if request.to.is_some() { (MAX_DATA, "data") } else { (MAX_INIT_CODE, "init code") };
    if request.data.len() > limit {
        return Err(format!("{what} of {} bytes is longer than the {limit} that nodes take", request.data.len()));
    }
    if blobs > 0 {
        check_blobs(request, blobs)?;
    } else if let Fees::Blob { max_fee_per_blob_gas, .. } = request.fees {
        return Err(format!("maxFeePerBlobGas {max_fee_per_blob_gas} without blobs: leave it out, or give blobs"));
    }
    if !request.authorizations().is_empty() {
        check_authorized(request)?;
    }
    if request.to.is_none() && request.data.is_empty() {
        return Err("a transaction without `to` creates a contract and needs init code in `data`".into());
    }
    Ok(())
}

/// What is particular to a transaction of type 3 (EIP-4844).
fn check_blobs(request: &Request, count: usize) -> Result<(), String> {
    if count > BLOBS_MAX {
        return Err(format!("blobs: {count} are over the limit of {BLOBS_MAX} for a transaction (EIP-7594): send several"));
    }
    if !request.authorizations().is_empty() {
        return Err("blobs and an authorizationList cannot be in one transaction (EIP-4844, EIP-7702): send two".into());
    }
    if request.to.is_none() {
        return Err("a transaction with blobs cannot create a contract (EIP-4844): give `to`".into());
    }
    match request.fees {
        Fees::Market | Fees::Blob { max_fee_per_blob_gas: 1.., .. } => Ok(()),
        Fees::Blob { max_fee_per_blob_gas, .. } => Err(format!(
            "maxFeePerBlobGas {max_fee_per_blob_gas} is below the least price of 1 wei that a blob's gas ever has (EIP-4844): raise it"
        )),
        Fees::Legacy { gas_price } => Err(format!(
            "gasPrice {gas_price} cannot price a transaction with blobs (EIP-4844): give maxFeePerGas, maxPriorityFeePerGas and maxFeePerBlobGas, or no price"
        )),
        Fees::Dynamic { .. } => {
            Err("maxFeePerBlobGas: missing beside maxFeePerGas; with blobs give all three prices, or none for the market's".into())
        }
    }
}

/// What is particular to a transaction of type 4 (EIP-7702).
fn check_authorized(request: &Request) -> Result<(), String> {
    let count = request.authorizations().len();
    if count > MAX_AUTHORIZATIONS {
        return Err(format!(
            "authorizationList: {count} authorizations are over the limit of {MAX_AUTHORIZATIONS}: send several transactions"
        ));
    }
    if request.to.is_none() {
        return Err("a transaction with an authorizationList cannot create a contract (EIP-7702): give `to`".into());
    }
    if let Fees::Legacy { gas_price } = request.fees {
        return Err(format!(
            "gasPrice {gas_price} cannot price a transaction with an authorizationList (EIP-7702): give maxFeePerGas and maxPriorityFeePerGas, or no price"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloy::eips::eip2930::{AccessList, AccessListItem};
    use alloy::primitives::{Address, B256, Bytes, U256};

    use super::*;

    fn transfer(gas: u64) -> Request {
        Request {
            from: Address::ZERO,
            to: Some(Address::ZERO),
            value: U256::ONE,
            data: Bytes::new(),
            gas: Some(gas),
            fees: Fees::Market,
            extras: None,
        }
    }

    #[test]
    fn intrinsic_gas_is_that_of_the_yellow_paper_and_eip_7623() {
        assert_eq!(intrinsic_gas(&transfer(0)), 21_000);
        let call = Request { data: Bytes::from_static(&[0, 1]), ..transfer(0) };
        assert_eq!(intrinsic_gas(&call), 21_050);
        let create = Request { to: None, data: Bytes::from(vec![0; 64]), ..transfer(0) };
        assert_eq!(intrinsic_gas(&create), 21_000 + 64 * 4 + 32_000 + 4);
    }

    #[test]
    fn gas_below_intrinsic_and_a_wrong_chain_are_refused_with_what_to_do() {
        assert!(check(&transfer(20_999), 0, None, Some(1)).is_err_and(|why| why.contains("20999") && why.contains("21000")));
        assert!(check(&transfer(21_000), 0, Some(5), Some(1)).is_err_and(|why| why.contains("chainId 5")));
        assert!(check(&transfer(21_000), 0, Some(1), Some(1)).is_ok());
    }

    #[test]
    fn authorizations_cost_gas_and_need_a_recipient_and_a_price_of_two_parts() {
        let authorization =
            storage::Authorization { chain_id: U256::ZERO, address: Address::ZERO, nonce: 0, y_parity: 0, r: U256::ONE, s: U256::ONE };
        let with = |count, request: Request| Request {
            extras: Extras { authorizations: vec![authorization; count], ..Extras::default() }.boxed(),
            ..request
        };
        let two = |request| with(2, request);
        assert_eq!(intrinsic_gas(&two(transfer(0))), 71_000);
        assert!(check(&two(transfer(71_000)), 0, None, None).is_ok());
        let priced = Request { fees: Fees::Legacy { gas_price: 7 }, ..transfer(71_000) };
        assert!(check(&two(priced), 0, None, None).is_err_and(|why| why.contains("gasPrice 7")));
        let creation = Request { to: None, data: Bytes::from_static(&[1]), ..transfer(200_000) };
        assert!(check(&two(creation), 0, None, None).is_err_and(|why| why.contains("give `to`")));
        let many = with(101, transfer(16_000_000));
        assert!(check(&many, 0, None, None).is_err_and(|why| why.contains("101")));
    }

    #[test]
    fn an_access_list_costs_gas_for_each_address_and_key() {
        let item = AccessListItem { address: Address::ZERO, storage_keys: vec![B256::ZERO; 3] };
        let extras = Extras { access_list: AccessList(vec![item; 2]), ..Extras::default() };
        let listed = Request { extras: extras.boxed(), ..transfer(21_000 + 2 * 2400 + 6 * 1900) };
        assert_eq!(intrinsic_gas(&listed), 37_200);
        assert!(check(&listed, 0, None, None).is_ok());
    }

    #[test]
    fn blobs_need_a_recipient_their_own_price_and_no_authorizations() {
        let of = |fees| Request { fees, ..transfer(21_000) };
        let priced = |max_fee_per_blob_gas| Fees::Blob { max_fee_per_gas: 2, max_priority_fee_per_gas: 1, max_fee_per_blob_gas };
        assert!(check(&of(Fees::Market), 6, None, None).is_ok());
        assert!(check(&of(priced(1)), 1, None, None).is_ok());
        let refused = |request: &Request, blobs: usize, shown: &str| {
            let why = check(request, blobs, None, None).expect_err(shown);
            assert!(why.contains(shown), "{why}");
        };
        refused(&of(Fees::Market), 7, "7 are over the limit of 6");
        refused(&of(priced(0)), 1, "maxFeePerBlobGas 0");
        refused(&of(priced(9)), 0, "maxFeePerBlobGas 9 without blobs");
        refused(&of(Fees::Legacy { gas_price: 5 }), 1, "gasPrice 5");
        refused(&of(Fees::Dynamic { max_fee_per_gas: 2, max_priority_fee_per_gas: 1 }), 1, "maxFeePerBlobGas: missing");
        refused(&Request { to: None, data: Bytes::from_static(&[1]), gas: None, ..of(Fees::Market) }, 1, "give `to`");
        let authorization =
            storage::Authorization { chain_id: U256::ZERO, address: Address::ZERO, nonce: 0, y_parity: 0, r: U256::ONE, s: U256::ONE };
        let extras = Extras { authorizations: vec![authorization], ..Extras::default() };
        refused(&Request { extras: extras.boxed(), ..transfer(46_000) }, 1, "send two");
    }

    #[test]
    fn a_tip_above_the_fee_cap_is_refused() {
        let fees = Fees::Dynamic { max_fee_per_gas: 1, max_priority_fee_per_gas: 2 };
        assert!(check(&Request { fees, ..transfer(21_000) }, 0, None, None).is_err());
    }
}
