//! A batch as it is read: a page of the feed, by a reader, and what contracts said where they have reverted.
//!
//! ```text
//! reader: page ─► all reasons known ─► JSON
//!     ▲    └────► reverted, and nobody asked yet ─► its request, by a reader ─► the node ─┐
//!     └───────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The page is read again behind the questions, so that what a reorg has taken back meanwhile is not delivered. A page on which nothing has
//! reverted, as nearly all are, is read once, and nobody is asked.
//!
//! **How it fails.** A node that does not tell, or not in time, leaves `revertReason` out; the batch comes all the same.

use std::collections::HashMap;
use std::time::Duration;

use alloy::primitives::B256;
use netio::EpollRoom;
use serde_json::value::RawValue;
use storage::{Store, StoreError};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::delivery::Found;
use super::render;
use crate::api::contracts;
use crate::engine::Engine;
use crate::feed::{End, Page};
use crate::jsonrpc::upstream::Upstream;

/// How long the node is asked for the reasons of one batch, all together: one that does not answer must not hold up the delivery.
const REASONS_WAIT: Duration = Duration::from_secs(2);
/// Bytes of a reason in a batch; the whole of a longer one is in the receipt by itself (`ptx_getTransactionReceipt`).
const REASON_BYTES_MAX: usize = 1024;

/// A batch, and its endings as JSON.
pub(super) type Read = (Found, Box<RawValue>);

/// What was said of a receipt; `None` where nobody could tell.
pub(super) type Reasons = HashMap<Reverted, Option<String>>;

/// A receipt of something that has reverted: which transaction, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reverted {
    pub(super) id: Uuid,
    pub(super) block_number: u64,
    pub(super) block_hash: B256,
}

/// What a reader found.
enum Looked {
    Ready(Read),
    /// Of these nobody knows why yet; what is known of others.
    Why(Vec<Reverted>, Reasons),
}

/// The batch above a sequence, and not above `through`; `None` if it cannot be read now.
pub(super) async fn read<S: Store>(engine: &Engine<S>, upstream: &Upstream<EpollRoom>, above: u64, through: u64) -> Option<Read> {
    let required = engine.required_confirmations();
    let deadline = Instant::now() + REASONS_WAIT;
    let mut reasons = Reasons::new();
    loop {
        let look = move |store: &S| Page::read(store, above, through, required).map(|page| looked(&page, reasons));
        match engine.readers().run(look).await.ok()?.ok()?? {
            Looked::Ready(read) => return Some(read),
            Looked::Why(reverted, known) => {
                reasons = known;
                for one in reverted {
                    // A question that is cut short costs its connection, so none is begun that has no time.
                    let ask = Instant::now() < deadline;
                    let said = if ask { timeout_at(deadline, why(engine, upstream, one)).await.unwrap_or_default() } else { None };
                    reasons.insert(one, said.map(bounded));
                }
            }
        }
    }
}

/// `None` if it cannot be written as JSON.
fn looked(page: &Page, reasons: Reasons) -> Option<Looked> {
    let unknown: Vec<_> = page.endings.iter().filter_map(|ending| reverted(ending.id, &ending.end)).collect();
    let unknown: Vec<_> = unknown.into_iter().filter(|one| !reasons.contains_key(one)).collect();
    if !unknown.is_empty() {
        return Some(Looked::Why(unknown, reasons));
    }
    let found = Found { last: page.endings.last().map(|ending| ending.sequence), covered: page.covered, more: page.more };
    let receipts = render::receipts(page, &reasons);
    let receipts = receipts.inspect_err(|error| tracing::error!(%error, "a batch cannot be written")).ok()?;
    Some(Looked::Ready((found, receipts)))
}

/// What has reverted, if this has.
pub(super) fn reverted(id: Uuid, end: &End) -> Option<Reverted> {
    match end {
        End::Mined(row) if !row.success => Some(Reverted { id, block_number: row.block_number, block_hash: row.block_hash }),
        End::Mined(_) | End::Failed(_) => None,
    }
}

async fn why<S: Store>(engine: &Engine<S>, upstream: &Upstream<EpollRoom>, of: Reverted) -> Option<String> {
    let look = move |store: &S| -> Result<_, StoreError> { storage::read::transaction(store, of.id) };
    let row = engine.readers().run(look).await.ok()?.ok()??;
    contracts::why(engine, upstream, &row.request, of.block_number.saturating_sub(1)).await
}

fn bounded(mut reason: String) -> String {
    if reason.len() > REASON_BYTES_MAX {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        reason.push('…');
    }
    reason
}
