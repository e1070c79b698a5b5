//! What is refused at the door: a request that can never be mined as it is.

use storage::{Fees, Request};

/// Gas that every transaction takes (yellow paper, G_transaction).
const BASE_GAS: u64 = 21_000;
/// More for a contract creation (EIP-2).
const CREATE_GAS: u64 = 32_000;
/// For each 32 bytes of init code (EIP-3860).
const INIT_CODE_WORD_GAS: u64 = 2;
/// For each authorization (EIP-7702).
const AUTHORIZATION_GAS: u64 = 25_000;
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
    let authorizations = AUTHORIZATION_GAS * request.authorizations.len() as u64;
    (BASE_GAS + TOKEN_GAS * tokens + create + authorizations).max(BASE_GAS + FLOOR_TOKEN_GAS * tokens)
}

/// Why a request can never be mined as it is.
///
/// # Errors
/// A sentence for the user: the value, and what to do.
pub fn check(request: &Request, chain_id: Option<u64>, chain: Option<u64>) -> Result<(), String> {
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
    if let Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } = request.fees
        && max_priority_fee_per_gas > max_fee_per_gas
    {
        return Err(format!("maxPriorityFeePerGas {max_priority_fee_per_gas} is above maxFeePerGas {max_fee_per_gas}: lower it"));
    }
    let (limit, what) = if request.to.is_some() { (MAX_DATA, "data") } else { (MAX_INIT_CODE, "init code") };
    if request.data.len() > limit {
        return Err(format!("{what} of {} bytes is longer than the {limit} that nodes take", request.data.len()));
    }
    if !request.authorizations.is_empty() {
        check_authorized(request)?;
    }
    if request.to.is_none() && request.data.is_empty() {
        return Err("a transaction without `to` creates a contract and needs init code in `data`".into());
    }
    Ok(())
}

/// What is particular to a transaction of type 4 (EIP-7702).
fn check_authorized(request: &Request) -> Result<(), String> {
    let count = request.authorizations.len();
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
    use alloy::primitives::{Address, Bytes, U256};

    use super::*;

    fn transfer(gas: u64) -> Request {
        Request {
            from: Address::ZERO,
            to: Some(Address::ZERO),
            value: U256::ONE,
            data: Bytes::new(),
            gas: Some(gas),
            fees: Fees::Market,
            authorizations: Vec::new(),
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
        assert!(check(&transfer(20_999), None, Some(1)).is_err_and(|why| why.contains("20999") && why.contains("21000")));
        assert!(check(&transfer(21_000), Some(5), Some(1)).is_err_and(|why| why.contains("chainId 5")));
        assert!(check(&transfer(21_000), Some(1), Some(1)).is_ok());
    }

    #[test]
    fn authorizations_cost_gas_and_need_a_recipient_and_a_price_of_two_parts() {
        let authorization =
            storage::Authorization { chain_id: U256::ZERO, address: Address::ZERO, nonce: 0, y_parity: 0, r: U256::ONE, s: U256::ONE };
        let two = |request: Request| Request { authorizations: vec![authorization; 2], ..request };
        assert_eq!(intrinsic_gas(&two(transfer(0))), 71_000);
        assert!(check(&two(transfer(71_000)), None, None).is_ok());
        let priced = Request { fees: Fees::Legacy { gas_price: 7 }, ..transfer(71_000) };
        assert!(check(&two(priced), None, None).is_err_and(|why| why.contains("gasPrice 7")));
        let creation = Request { to: None, data: Bytes::from_static(&[1]), ..transfer(200_000) };
        assert!(check(&two(creation), None, None).is_err_and(|why| why.contains("give `to`")));
        let many = Request { authorizations: vec![authorization; 101], ..transfer(16_000_000) };
        assert!(check(&many, None, None).is_err_and(|why| why.contains("101")));
    }

    #[test]
    fn a_tip_above_the_fee_cap_is_refused() {
        let fees = Fees::Dynamic { max_fee_per_gas: 1, max_priority_fee_per_gas: 2 };
        assert!(check(&Request { fees, ..transfer(21_000) }, None, None).is_err());
    }
}
