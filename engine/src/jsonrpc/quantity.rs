//! Quantities as callers write them: `"0x5208"`, `"21000"` or `21000`.
//!
//! A JSON number beyond 64 bits, or with a fraction, is refused: parsers on the way may have rounded it. Errors name the field,
//! the value, and what to write.

use std::borrow::Cow;
use std::fmt;

use alloy::primitives::U256;
use serde::de::{self, Deserialize, Deserializer};

use super::error::RpcError;

/// A quantity that is not converted yet, since only its field knows how wide it may be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Quantity<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    /// Negative, fractional, or too long to be exact.
    Inexact(f64),
}

impl<'de: 'a, 'a> Deserialize<'de> for Quantity<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Quantity<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity: a 0x hexadecimal string, a decimal string or a number")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Quantity::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Quantity::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Quantity::Number(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                u64::try_from(number).map(Quantity::Number).or_else(|_| self.visit_f64(number as f64))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Quantity::Inexact(number))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Quantity<'_> {
    pub(crate) fn u256(&self, field: &str) -> Result<U256, RpcError> {
        self.convert(field, 256, U256::from, |digits, radix| U256::from_str_radix(digits, radix.into()).ok())
    }

    pub(crate) fn u128(&self, field: &str) -> Result<u128, RpcError> {
        self.convert(field, 128, u128::from, |digits, radix| u128::from_str_radix(digits, radix).ok())
    }

    pub(crate) fn u64(&self, field: &str) -> Result<u64, RpcError> {
        self.convert(field, 64, |number| number, |digits, radix| u64::from_str_radix(digits, radix).ok())
    }

    fn convert<T>(
        &self,
        field: &str,
        bits: u32,
        from_number: impl FnOnce(u64) -> T,
        from_digits: impl FnOnce(&str, u32) -> Option<T>,
    ) -> Result<T, RpcError> {
        let text = match self {
            Self::Number(number) => return Ok(from_number(*number)),
            Self::Inexact(number) => {
                return Err(RpcError::params(format!(
                    "{field}: {number} is negative, fractional or too long for a JSON number; write it as a 0x hexadecimal or decimal string"
                )));
            }
            Self::Text(text) => text.as_ref(),
        };
        let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
        // The parsers below would also take signs and separators.
        let plain = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        plain.then(|| from_digits(digits, radix)).flatten().ok_or_else(|| {
            RpcError::params(format!(
                "{field}: \"{}\" is no quantity of at most {bits} bits; write a 0x hexadecimal or decimal string",
                shortened(text)
            ))
        })
    }
}

/// A string that is borrowed from the body where it has no escapes.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A value as an error repeats it: long ones are cut, so that an error stays readable and small.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    let mut short: String = text.chars().take(SHOWN_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Quantity<'_> {
        serde_json::from_str(json).expect("a quantity")
    }

    #[test]
    fn hexadecimal_decimal_and_numbers_mean_the_same() {
        for json in ["\"0x5208\"", "\"21000\"", "21000"] {
            assert_eq!(parse(json).u64("gas").expect("a number"), 21_000, "{json}");
            assert_eq!(parse(json).u128("gas").expect("a number"), 21_000, "{json}");
            assert_eq!(parse(json).u256("gas").expect("a number"), U256::from(21_000), "{json}");
        }
        let most = format!("\"0x{}\"", "f".repeat(64));
        assert_eq!(parse(&most).u256("value").expect("a number"), U256::MAX);
    }

    #[test]
    fn what_is_no_exact_quantity_is_refused_with_field_and_value() {
        for (json, shown) in [
            ("\"\"", "\"\""),
            ("\"0x\"", "\"0x\""),
            ("\"+5\"", "+5"),
            ("\"1_000\"", "1_000"),
            ("\"-1\"", "-1"),
            ("-1", "-1"),
            ("1.5", "1.5"),
            ("1000000000000000000000", "1000000000000000000000"),
            ("\"0xzz\"", "0xzz"),
            ("\"18446744073709551616\"", "18446744073709551616"),
        ] {
            let error = parse(json).u64("gas").expect_err(json);
            assert!(error.message.starts_with("gas: ") && error.message.contains(shown), "{}", error.message);
        }
        let long = format!("\"{}\"", "9".repeat(10_000));
        assert!(parse(&long).u256("value").expect_err("too long").message.len() < 300);
    }
}
