//! `eth_getLogs`: which logs a filter takes.

use alloy::primitives::{Address, B256, Log};
use serde::Deserialize;

use super::{
    params::{BlockId, Params},
    write::{self, Place},
};
use crate::{
    chain::{Block, SharedBlock},
    error::{LIMIT_EXCEEDED, RpcError},
    json,
    node::Node,
};

/// Most logs one answer holds: about 60 MB of JSON.
const LOGS_MAX: usize = 100_000;
/// Topics an EVM log can have.
const TOPICS_MAX: usize = 4;

/// One value or a list of them; an empty list takes all.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: PartialEq> OneOrMany<T> {
    fn takes(&self, value: &T) -> bool {
        match self {
            Self::One(wanted) => wanted == value,
            Self::Many(wanted) => wanted.is_empty() || wanted.contains(value),
        }
    }
}

/// The filter object of `eth_getLogs`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    from_block: Option<BlockId>,
    to_block: Option<BlockId>,
    block_hash: Option<B256>,
    address: Option<OneOrMany<Address>>,
    #[serde(default)]
    topics: Vec<Option<OneOrMany<B256>>>,
}

impl Filter {
    fn takes(&self, log: &Log) -> bool {
        let topics = log.topics();
        self.address.as_ref().is_none_or(|wanted| wanted.takes(&log.address))
            && self.topics.len() <= topics.len()
            && self.topics.iter().zip(topics).all(|(wanted, topic)| wanted.as_ref().is_none_or(|wanted| wanted.takes(topic)))
    }

    fn blocks(&self, node: &Node) -> Result<Vec<SharedBlock>, RpcError> {
        if let Some(hash) = &self.block_hash {
            if self.from_block.is_some() || self.to_block.is_some() {
                return Err(RpcError::params("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"));
            }
            return Ok(vec![node.block_by_hash(hash).ok_or_else(|| RpcError::server("unknown block"))?]);
        }
        let head = node.chain.head().number();
        let from = node.number_of(self.from_block.unwrap_or_default())?;
        let to = node.number_of(self.to_block.unwrap_or_default())?.min(head);
        if from > to && from <= head {
            return Err(RpcError::params("invalid block range params"));
        }
        Ok((from..=to).filter_map(|number| node.chain.block(number).cloned()).collect())
    }
}

/// Answers `eth_getLogs`.
pub(super) fn get_logs(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Result<(), RpcError> {
    let filter: Filter = params.required(0)?;
    if filter.topics.len() > TOPICS_MAX {
        return Err(RpcError::params("exceed max topics"));
    }
    let blocks = filter.blocks(node)?;
    let mut found = Vec::new();
    for block in blocks.iter().filter(|block| !block.header.logs_bloom.is_zero()) {
        found.extend(matches(block, &filter));
        if found.len() > LOGS_MAX {
            return Err(RpcError::new(LIMIT_EXCEEDED, format!("query returned more than {LOGS_MAX} results")));
        }
    }
    json::array(out, found, |out, (place, position, log)| write::log(out, place, position, log));
    Ok(())
}

fn matches<'a>(block: &'a Block, filter: &Filter) -> impl Iterator<Item = (Place<'a>, usize, &'a Log)> {
    write::places(block)
        .flat_map(|place| write::logs(place).map(move |(position, log)| (place, position, log)))
        .filter(|(_, _, log)| filter.takes(log))
}
