//! The price that an HTTP oracle tells (row A7): numbers at configured places of its JSON.

use alloy::eips::eip1559::Eip1559Estimation;
use alloy::primitives::utils::{ParseUnits, parse_units};
use serde_json::Value;

use super::gas_price::MarketPrice;
use crate::config::{GasConfig, PriceUnit};

/// Reads the price out of the oracle's reply, by the JSON pointers (RFC 6901) of the settings: a fee cap and a tip, or one price for
/// legacy transactions.
///
/// # Errors
/// What is missing or no price, with its pointer; never the reply as a whole.
pub fn price(reply: &[u8], gas: &GasConfig) -> Result<MarketPrice, String> {
    let reply: Value = serde_json::from_slice(reply).map_err(|error| format!("the reply is not JSON: {error}"))?;
    let max_fee_per_gas = wei(&reply, gas.oracle_max_fee.as_deref().unwrap_or_default(), gas.oracle_unit)?;
    if max_fee_per_gas == 0 {
        return Err("its price is 0: set gas.zero = true for a chain without gas prices".into());
    }
    let Some(tip) = &gas.oracle_tip else { return Ok(MarketPrice::Legacy(max_fee_per_gas)) };
    let max_priority_fee_per_gas = wei(&reply, tip, gas.oracle_unit)?.min(max_fee_per_gas);
    Ok(MarketPrice::Dynamic(Eip1559Estimation { max_fee_per_gas, max_priority_fee_per_gas }))
}

fn wei(reply: &Value, pointer: &str, unit: PriceUnit) -> Result<u128, String> {
    let found = reply.pointer(pointer).ok_or_else(|| format!("the reply has nothing at \"{pointer}\""))?;
    let text = match found {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(format!("\"{pointer}\" is neither a number nor a string"));
        }
    };
    let decimals = match unit {
        PriceUnit::Wei => "wei",
        PriceUnit::Gwei => "gwei",
    };
    match parse_units(&text, decimals) {
        Ok(ParseUnits::U256(wei)) => wei.try_into().map_err(|_| format!("\"{pointer}\" = {text} is too large")),
        Ok(ParseUnits::I256(_)) => Err(format!("\"{pointer}\" = {text} is negative")),
        Err(_) => Err(format!("\"{pointer}\" = {text} is not a decimal number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gas(max_fee: &str, tip: Option<&str>, unit: PriceUnit) -> GasConfig {
        GasConfig { oracle_max_fee: Some(max_fee.into()), oracle_tip: tip.map(Into::into), oracle_unit: unit, ..GasConfig::default() }
    }

    fn dynamic(max_fee_per_gas: u128, max_priority_fee_per_gas: u128) -> MarketPrice {
        MarketPrice::Dynamic(Eip1559Estimation { max_fee_per_gas, max_priority_fee_per_gas })
    }

    #[test]
    fn decimals_are_read_from_numbers_and_strings() {
        let reply = br#"{"fast": {"maxFee": 12.5, "maxPriorityFee": "1.000000001"}}"#;
        let gas = gas("/fast/maxFee", Some("/fast/maxPriorityFee"), PriceUnit::Gwei);
        assert_eq!(price(reply, &gas), Ok(dynamic(12_500_000_000, 1_000_000_001)));
    }

    #[test]
    fn one_price_is_a_legacy_price() {
        assert_eq!(
            price(br#"{"gas_price": "7000000000"}"#, &gas("/gas_price", None, PriceUnit::Wei)),
            Ok(MarketPrice::Legacy(7_000_000_000))
        );
    }

    #[test]
    fn a_pointer_reaches_into_lists_and_escapes_slashes() {
        let reply = br#"{"a/b": [1, 2]}"#;
        assert_eq!(price(reply, &gas("/a~1b/1", Some("/a~1b/0"), PriceUnit::Wei)), Ok(dynamic(2, 1)));
    }

    #[test]
    fn a_tip_above_the_fee_cap_is_lowered_to_it() {
        assert_eq!(price(b"[5, 9]", &gas("/0", Some("/1"), PriceUnit::Wei)), Ok(dynamic(5, 5)));
    }

    #[test]
    fn what_is_no_price_is_named_by_its_pointer() {
        let said = |reply: &str| price(reply.as_bytes(), &gas("/p", None, PriceUnit::Gwei)).expect_err("no price");
        assert!(said("{}").contains("nothing at \"/p\""));
        assert!(said(r#"{"p": "soon"}"#).contains("not a decimal number"));
        assert!(said(r#"{"p": -1}"#).contains("negative"));
        assert!(said(r#"{"p": []}"#).contains("neither a number nor a string"));
        assert!(said(r#"{"p": "0.0"}"#).contains("gas.zero"));
        assert!(said("<html>").contains("not JSON"));
    }
}
