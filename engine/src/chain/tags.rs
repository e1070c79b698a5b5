//! The node's `safe` and `finalized` blocks, where it has such tags: asked for once after each newest block.

use netio::{Calls, End, Room};

use super::canonical::place;
use super::decode::Header;
use super::follow::{Follow, Stop};
use super::follower::{Follower, Step};

/// The tags, as nodes name them.
const NAMES: [&str; 2] = ["safe", "finalized"];

/// Which tags the node has refused; it is not asked for those again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tags {
    refused: [bool; 2],
}

impl<R: Room> Follow<R> {
    /// Asks for the tagged blocks, unless older blocks are still being read.
    pub(super) async fn tags(&mut self, follower: &mut Follower) -> Result<(), Stop> {
        if matches!(follower.next(), Some(Step::Read(_))) {
            return Ok(());
        }
        for (tag, name) in NAMES.into_iter().enumerate() {
            if self.tags.refused[tag] {
                continue;
            }
            match self.tagged(name).await {
                Ok(Some(number)) if tag == 0 => self.status.set_safe(number),
                Ok(Some(number)) => {
                    follower.finalized(number);
                    self.status.set_finalized(number);
                }
                // No answer says nothing; the next block asks again.
                Ok(None) => {}
                Err(words) => {
                    tracing::info!(node = %self.lane.endpoint(), tag = name, words, "the node does not tell this block; it is not asked for it again");
                    self.tags.refused[tag] = true;
                }
            }
        }
        Ok(())
    }

    /// The number of a tagged block: by its first transaction, or by the block itself where it is empty.
    async fn tagged(&mut self, tag: &str) -> Result<Option<u64>, String> {
        let mut first = Calls::new();
        first.push("eth_getTransactionByBlockNumberAndIndex", &(tag, "0x0"));
        match self.lane.exchange(&first).await.ends.pop() {
            Some(End::Answered(Ok(json))) => {
                if let Some((number, _)) = place(json.get()) {
                    return Ok(Some(number));
                }
            }
            Some(End::Answered(Err(error))) => return Err(error.message),
            Some(End::BeforeSend(_) | End::Ambiguous(_)) | None => return Ok(None),
        }
        let mut whole = Calls::new();
        whole.push("eth_getBlockByNumber", &(tag, false));
        match self.lane.exchange(&whole).await.ends.pop() {
            Some(End::Answered(Ok(json))) => {
                let header: Option<Header> = serde_json::from_str(json.get()).map_err(|error| error.to_string())?;
                Ok(header.map(|header| header.number))
            }
            Some(End::Answered(Err(error))) => Err(error.message),
            Some(End::BeforeSend(_) | End::Ambiguous(_)) | None => Ok(None),
        }
    }
}
