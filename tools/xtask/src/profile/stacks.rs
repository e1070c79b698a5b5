//! Call stacks, counted.
//!
//! A stack is its frames from the outermost to the innermost, joined by `;`: the folded form that all flamegraph tools read and write.

use std::collections::BTreeMap;

/// How much was seen of each stack.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Stacks(pub(super) BTreeMap<String, u64>);

impl Stacks {
    pub(super) fn add(&mut self, stack: String, weight: u64) {
        *self.0.entry(stack).or_default() += weight;
    }

    pub(super) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The weight of stacks that have a frame containing one of `names`, and none of the `names` of an earlier entry: parts that do not
    /// overlap. The last part is the rest.
    pub(super) fn parts(&self, parts: &[(&'static str, &[&str])]) -> Vec<(&'static str, u64)> {
        let mut sums: Vec<(&'static str, u64)> = parts.iter().map(|(part, _)| (*part, 0)).chain([("other", 0)]).collect();
        for (stack, weight) in &self.0 {
            let place = parts.iter().position(|(_, names)| names.iter().any(|name| stack.contains(name)));
            sums[place.unwrap_or(parts.len())].1 += weight;
        }
        sums
    }

    /// Reads lines of `frame;frame;frame weight`.
    pub(super) fn folded(text: &str) -> Self {
        let mut stacks = Self::default();
        for line in text.lines() {
            if let Some((stack, weight)) = line.rsplit_once(' ')
                && let Ok(weight) = weight.parse()
            {
                stacks.add(stack.split(';').map(short).collect::<Vec<_>>().join(";"), weight);
            }
        }
        stacks
    }
}

/// A function without what no reader needs: the hash that ends a Rust symbol, and the offset in it.
pub(super) fn short(symbol: &str) -> String {
    let symbol = symbol.rsplit_once("+0x").map_or(symbol, |(name, _)| name);
    let symbol = match symbol.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => name,
        _ => symbol,
    };
    symbol.replace(';', ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_lose_hash_and_offset() {
        assert_eq!(short("engine::shard::run::h0123456789abcdef+0x1f"), "engine::shard::run");
        assert_eq!(short("rocksdb::DB::help"), "rocksdb::DB::help");
    }

    #[test]
    fn parts_do_not_overlap_and_leave_a_rest() {
        let stacks = Stacks::folded("a;sign;hash 3\na;hash 2\na 1\nnot a line\n");
        assert_eq!(stacks.total(), 6);
        assert_eq!(stacks.parts(&[("signing", &["sign"]), ("hashing", &["hash"])]), [("signing", 3), ("hashing", 2), ("other", 1)]);
    }
}
