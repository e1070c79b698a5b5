//! Writes JSON straight into a byte buffer.
//!
//! A block with ten thousand receipts is ten megabytes of JSON. Building a tree of values first would cost more than
//! running the transactions, so objects are written field by field.

use alloy::{hex, primitives::U256};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Writes `"0x…"` with two digits a byte.
pub(crate) fn data(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"\"0x");
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    hex::encode_to_slice(bytes, &mut out[start..]).expect("the room is twice the bytes");
    out.push(b'"');
}

/// Writes a quantity of EIP-1474: hex without leading zeros.
pub(crate) fn quantity(out: &mut Vec<u8>, value: u64) {
    let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
    out.extend_from_slice(b"\"0x");
    out.extend((0..digits).rev().map(|digit| HEX[(value >> (4 * digit)) as usize & 0xf]));
    out.push(b'"');
}

/// Writes a quantity of up to 256 bits.
pub(crate) fn quantity_wide(out: &mut Vec<u8>, value: U256) {
    if let Ok(small) = u64::try_from(value) {
        return quantity(out, small);
    }
    let digits = value.bit_len().div_ceil(4);
    out.extend_from_slice(b"\"0x");
    out.extend((0..digits).rev().map(|digit| HEX[usize::from(value.byte(digit / 2) >> (4 * (digit % 2)) & 0xf)]));
    out.push(b'"');
}

/// Writes a string with JSON's escapes.
pub(crate) fn text(out: &mut Vec<u8>, value: &str) {
    serde_json::to_writer(&mut *out, value).expect("a string always serialises and a Vec always takes it");
}

/// Writes the elements of an array, each by `write`.
pub(crate) fn array<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// An object that is being written. `end` closes it.
#[must_use]
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Writes a name and gives the buffer for its value. Names need no escapes.
    pub(crate) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(crate) fn quantity(&mut self, name: &str, value: u64) {
        quantity(self.name(name), value);
    }

    pub(crate) fn quantity_wide(&mut self, name: &str, value: impl TryInto<U256, Error: std::fmt::Debug>) {
        quantity_wide(self.name(name), value.try_into().expect("an unsigned integer fits 256 bits"));
    }

    pub(crate) fn data(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        data(self.name(name), bytes.as_ref());
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        text(self.name(name), value);
    }

    /// Writes JSON that is already JSON: a literal, or `null`.
    pub(crate) fn raw(&mut self, name: &str, json: &str) {
        self.name(name).extend_from_slice(json.as_bytes());
    }

    pub(crate) fn end(self) {
        self.out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    #[test]
    fn quantities_have_no_leading_zeros() {
        assert_eq!(written(|out| quantity(out, 0)), "\"0x0\"");
        assert_eq!(written(|out| quantity(out, 0x10)), "\"0x10\"");
        assert_eq!(written(|out| quantity(out, u64::MAX)), "\"0xffffffffffffffff\"");
        assert_eq!(written(|out| quantity_wide(out, U256::from(1) << 68)), "\"0x100000000000000000\"");
        assert_eq!(written(|out| quantity_wide(out, U256::MAX)), format!("\"0x{}\"", "f".repeat(64)));
    }

    #[test]
    fn objects_and_arrays_close_with_commas_between() {
        let json = written(|out| {
            let mut object = Object::begin(out);
            object.text("a", "x\"y");
            object.data("b", [0x0f, 0xa0]);
            array(object.name("c"), [1, 2], quantity);
            object.end();
        });
        assert_eq!(json, r#"{"a":"x\"y","b":"0x0fa0","c":["0x1","0x2"]}"#);
    }
}
