//! Counting open transactions by stage.

use super::super::census::ByStage;
use super::super::stage::Stage;
use super::Manager;

impl Manager {
    /// Open transactions by stage: what waits is queued, the others are where the stage function puts them. Walks over those whose nonce
    /// no stored block has used: the others come before them, because a chain takes nonces in order, and are complete.
    #[must_use]
    pub fn by_stage(&self) -> ByStage {
        let mut counts = ByStage::default();
        for address in &self.addresses {
            let queue = &address.waiting;
            counts[Stage::Queued as usize] += queue.buffer.len() as u64 + queue.unread + queue.unsaved;
            let complete = address.in_flight.partition_point(|tx| tx.taken_in().is_some());
            counts[Stage::Complete as usize] += complete as u64;
            for tx in address.in_flight.range(complete..) {
                counts[tx.stage() as usize] += 1;
            }
        }
        counts
    }
}
