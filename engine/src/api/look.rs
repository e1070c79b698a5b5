//! Questions about transactions, answered by a reader from what is on disk and, for one that is open, by its shard.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use storage::{ReceiptRow, Request, Store};
use uuid::Uuid;

use super::render::{Dependencies, Full, Receipt, Transaction, Transactions};
use super::{Api, contracts};
use crate::jsonrpc::error::RpcError;
use crate::query::{Query, QueryError};
use crate::view::TransactionView;

/// How long a shard is waited for when it is asked about a transaction; many runs of it.
const LIVE_WAIT: Duration = Duration::from_millis(500);

/// Most of those that wait for one transaction in an answer.
const DEPENDENTS_SHOWN: usize = 1000;

/// A question to the store.
pub(super) enum Look {
    Transaction(Uuid),
    Full(Uuid),
    ByKey(String),
    Receipt(Uuid),
    Dependencies(Uuid),
    Query(Query),
}

/// What a reader found.
enum Found {
    /// The answer.
    Answer(Box<RawValue>),
    /// An open transaction, of which its shard knows more; and whether all of it is asked for.
    Open(Box<TransactionView>, bool),
    /// A receipt whose contract may say why it reverted.
    Reverted(Box<(ReceiptRow, Request)>),
}

impl Look {
    /// Asks a reader; the answer is written as JSON there, off the control thread.
    pub(super) async fn up<S: Store>(self, api: &Api<S>) -> Result<Box<RawValue>, RpcError> {
        let required = api.required_confirmations;
        match api.engine.readers().run(move |store| self.answer(store, required)).await?? {
            Found::Answer(answer) => Ok(answer),
            Found::Reverted(reverted) => {
                let (row, request) = *reverted;
                let mut receipt = Receipt::from(&row);
                receipt.revert_reason = contracts::why(&api.engine, &api.upstream, &request, row.block_number.saturating_sub(1)).await;
                json(Some(receipt))
            }
            Found::Open(mut view, full) => {
                // A shard that is busy for so long is not waited for: what is on disk is true as well.
                view.live = tokio::time::timeout(LIVE_WAIT, api.engine.live(view.asked())).await.unwrap_or_default();
                shown(&view, full)
            }
        }
    }

    fn answer<S: Store>(&self, store: &S, required: u64) -> Result<Found, RpcError> {
        match self {
            Self::Transaction(id) => found(TransactionView::read(store, *id, required)?, false),
            Self::Full(id) => found(TransactionView::read(store, *id, required)?, true),
            Self::ByKey(key) => {
                let view = match storage::read::by_key(store, key)? {
                    Some((id, _)) => TransactionView::read(store, id, required)?,
                    None => None,
                };
                found(view, false)
            }
            Self::Receipt(id) => {
                let receipt = storage::read::receipt(store, *id)?;
                let reverted = receipt.as_ref().filter(|receipt| !receipt.success);
                let row = reverted.map(|_| storage::read::transaction(store, *id)).transpose()?.flatten();
                match (receipt, row) {
                    (Some(receipt), Some(row)) => Ok(Found::Reverted(Box::new((receipt, row.request)))),
                    (receipt, _) => json(receipt.as_ref().map(Receipt::from)).map(Found::Answer),
                }
            }
            Self::Dependencies(id) => {
                let Some(row) = storage::read::transaction(store, *id)? else { return json(()).map(Found::Answer) };
                let waiting = storage::read::dependents(store, Some(*id), None, DEPENDENTS_SHOWN)?;
                json(Dependencies::new(&row, &waiting)).map(Found::Answer)
            }
            Self::Query(query) => match query.run(store, required) {
                Ok(page) => json(Transactions::from(&page)).map(Found::Answer),
                Err(QueryError::Store(error)) => Err(error.into()),
                Err(error) => Err(RpcError::params(error.to_string())),
            },
        }
    }
}

fn shown(view: &TransactionView, full: bool) -> Result<Box<RawValue>, RpcError> {
    if full { json(Some(Full::from(view))) } else { json(Some(Transaction::from(view))) }
}

/// An open transaction is shown once its shard has been asked; any other one at once.
fn found(view: Option<TransactionView>, full: bool) -> Result<Found, RpcError> {
    match view {
        Some(view) if view.is_open() => Ok(Found::Open(Box::new(view), full)),
        Some(view) => shown(&view, full).map(Found::Answer),
        None => json(()).map(Found::Answer),
    }
}

fn json(value: impl Serialize) -> Result<Box<RawValue>, RpcError> {
    serde_json::value::to_raw_value(&value).map_err(RpcError::internal)
}
