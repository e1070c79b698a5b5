//! Bounds on Solidity types as callers write them, held before anything is built from their text.
//!
//! Some bytes of text can ask for a great deal: each `[]` is a box in another one, which is dropped by recursion, and each `[N]` is N values.
//!
//! **How it fails.** The reason names the type and the bound. Contracts stay far below all of them.

use alloy::json_abi::{EventParam, Param};

use crate::jsonrpc::quantity::shortened;

/// Arrays of arrays: compilers write two or three.
const ARRAYS_MAX: usize = 4;
/// Bytes of one type: the longest ones are the names of structures, with those of their contracts.
const TEXT_BYTES_MAX: usize = 1024;
/// Values that the arrays of fixed size among some parameters have together: decoding makes room for all of them, whatever the data is.
const ELEMENTS_MAX: usize = 65_536;

/// What parameters of an ABI have in common.
pub(super) trait Typed {
    /// The type, and the parts of a tuple.
    fn typed(&self) -> (&str, &[Param]);
}

impl Typed for Param {
    fn typed(&self) -> (&str, &[Param]) {
        (&self.ty, &self.components)
    }
}

impl Typed for EventParam {
    fn typed(&self) -> (&str, &[Param]) {
        (&self.ty, &self.components)
    }
}

/// Whether a type may be read.
///
/// # Errors
/// It is too long, or has too many arrays in arrays.
pub(crate) fn text(text: &str) -> Result<(), String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("type {} has {} bytes, over the limit of {TEXT_BYTES_MAX}", shortened(text), text.len()));
    }
    let arrays = text.matches('[').count();
    if arrays > ARRAYS_MAX {
        return Err(format!("type {} has {arrays} arrays in each other, over the limit of {ARRAYS_MAX}", shortened(text)));
    }
    Ok(())
}

/// Whether parameters of an ABI, with all of their parts, may be resolved and decoded.
///
/// # Errors
/// As [`text`], or they have too many values.
pub(super) fn params<T: Typed>(params: &[T]) -> Result<(), String> {
    count(params, 1, 0).map(|_| ())
}

/// The values of some parameters that are there so many times, and those counted before.
fn count<T: Typed>(params: &[T], times: usize, mut total: usize) -> Result<usize, String> {
    for param in params {
        let (kind, components) = param.typed();
        text(kind)?;
        // A tuple may also be written out.
        let parts = kind.matches(',').count() + 1;
        let times = sizes(kind).fold(times, usize::saturating_mul);
        total = total.saturating_add(times.saturating_mul(parts));
        if total > ELEMENTS_MAX {
            return Err(format!("up to type {} the parameters have {total} values, over the limit of {ELEMENTS_MAX}", shortened(kind)));
        }
        total = count(components, times, total)?;
    }
    Ok(total)
}

/// The sizes of the arrays that have one; what is no size is refused where the type is parsed.
fn sizes(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.split('[').skip(1).filter_map(|size| size.split(']').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn param(kind: &str, components: Vec<Param>) -> Param {
        Param { ty: kind.into(), components, ..Param::default() }
    }

    #[test]
    fn what_contracts_have_is_within_the_bounds() {
        let list = param("tuple[][3]", vec![param("uint256[2]", Vec::new()), param("bytes", Vec::new())]);
        assert_eq!(params(&[list, param("uint256[][][][]", Vec::new()), param("bytes32[4096]", Vec::new())]), Ok(()));
    }

    #[test]
    fn what_few_bytes_would_blow_up_is_refused_with_its_bound() {
        let inner = param("uint256[300]", Vec::new());
        for (kind, components, shown) in [
            ("uint256[][][][][]", Vec::new(), "5 arrays in each other, over the limit of 4"),
            ("uint256[4000000000]", Vec::new(), "4000000000 values, over the limit of 65536"),
            ("(uint256,uint256)[40000]", Vec::new(), "80000 values"),
            ("tuple[300]", vec![inner], "type uint256[300]"),
            ("tuple", vec![param("uint256[][][][][]", Vec::new())], "over the limit of 4"),
            (&"x".repeat(2000), Vec::new(), "2000 bytes, over the limit of 1024"),
        ] {
            let error = params(&[param(kind, components)]).expect_err(shown);
            assert!(error.contains(shown), "{error}");
        }
        let many = vec![param("uint256[60000]", Vec::new()); 2];
        assert!(params(&many).is_err(), "the bound is on all of them together");
    }
}
