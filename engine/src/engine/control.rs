//! Orders about accepted transactions, and what submissions depend on (rows A6, A17).

use std::collections::BTreeMap;

use alloy::primitives::Address;
use storage::{Dependency, Store, read};
use uuid::Uuid;

use super::{Engine, RETRY_AFTER_MS, Submission, SubmitError};
use crate::shard::{Mail, TransactionOrder};
use crate::txmgr::order::{Change, Command, Done};

/// Most transactions that one may depend on: each is looked up when it is accepted and whenever one of them ends.
const DEPENDENCIES_MAX: usize = 100;

/// Signing addresses of what submissions of one call depend on.
pub(super) struct Dependencies {
    /// `None` for an id that nobody has; an error where the disk was not asked.
    known: Result<BTreeMap<Uuid, Option<Address>>, SubmitError>,
}

impl Dependencies {
    /// What this submission depends on.
    ///
    /// # Errors
    /// An unknown id, too many of them, and a store that could not be read.
    pub(super) fn of(&self, submission: &Submission) -> Result<Vec<Dependency>, SubmitError> {
        let ids = &submission.depends_on;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        if ids.len() > DEPENDENCIES_MAX {
            let count = ids.len();
            return Err(SubmitError::Invalid(format!(
                "dependsOn: {count} transactions are over the limit of {DEPENDENCIES_MAX}: name fewer"
            )));
        }
        let known = self.known.as_ref().map_err(Clone::clone)?;
        let mut dependencies: Vec<Dependency> = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(from) = known.get(id).copied().flatten() else {
                return Err(SubmitError::Invalid(format!(
                    "dependsOn: no transaction has the id {id}: name ids that were returned by an earlier call"
                )));
            };
            if !dependencies.iter().any(|dependency| dependency.id == *id) {
                dependencies.push(Dependency { id: *id, from });
            }
        }
        Ok(dependencies)
    }
}

impl<S: Store> Engine<S> {
    /// Looks up what the submissions depend on; nothing, and at no cost, where none does.
    pub(super) async fn dependencies(&self, submissions: &[Submission]) -> Dependencies {
        let ids: Vec<Uuid> =
            submissions.iter().flat_map(|submission| submission.depends_on.iter().take(DEPENDENCIES_MAX)).copied().collect();
        if ids.is_empty() {
            return Dependencies { known: Ok(BTreeMap::new()) };
        }
        let rows = self.readers().run(move |store| read::transactions(store, &ids).map(|rows| (ids, rows))).await;
        let known = match rows {
            Ok(Ok((ids, rows))) => Ok(ids.into_iter().zip(rows.into_iter().map(|row| row.map(|row| row.request.from))).collect()),
            Ok(Err(_)) | Err(_) => Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS }),
        };
        Dependencies { known }
    }

    /// Cancels a transaction. Before it is bound it ends at once; afterwards a transfer to oneself bids for its nonce, and it ends as
    /// cancelled only if that one is mined. `Ok`: on disk. A repeat gives the same answer.
    ///
    /// # Errors
    /// An unknown id, a transaction that is mined or has ended, and those of every write.
    pub async fn cancel(&self, id: Uuid) -> Result<Done, SubmitError> {
        self.order_about(id, Command::Cancel).await
    }

    /// Keeps a transaction from being bound until it is resumed. `Ok`: on disk.
    ///
    /// # Errors
    /// As [`Engine::cancel`], and a transaction that is bound.
    pub async fn suspend(&self, id: Uuid) -> Result<Done, SubmitError> {
        self.order_about(id, Command::Suspend).await
    }

    /// Ends the suspension of a transaction, if there is one: it waits at the end of its line. `Ok`: on disk.
    ///
    /// # Errors
    /// As [`Engine::suspend`], and one of which something that it depends on has failed: it has ended by this.
    pub async fn resume_transaction(&self, id: Uuid) -> Result<Done, SubmitError> {
        self.order_about(id, Command::Resume).await
    }

    /// Gives a transaction that is not mined a new generation with other content, at the same nonce if it has one. `Ok`: on disk. An update
    /// to what it asks for already changes nothing.
    ///
    /// # Errors
    /// As [`Engine::cancel`]; content that can never be mined; a price that does not replace what may have been sent.
    pub async fn update(&self, id: Uuid, change: Change) -> Result<Done, SubmitError> {
        self.order_about(id, Command::Update(change)).await
    }

    async fn order_about(&self, id: Uuid, command: Command) -> Result<Done, SubmitError> {
        let row = match self.readers().run(move |store| read::transaction(store, id)).await {
            Ok(Ok(row)) => row,
            Ok(Err(_)) | Err(_) => return Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS }),
        };
        let Some(row) = row else {
            return Err(SubmitError::Invalid(format!("no transaction has the id {id}: give an id that was returned when one was sent")));
        };
        let from = row.request.from;
        self.known(from)?;
        let (reply, answer) = flume::bounded(1);
        if !self.mailbox(&from).ask(Mail::Order(TransactionOrder { id, from, command, reply })) {
            return Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS });
        }
        answer.recv_async().await.unwrap_or(Err(SubmitError::Unknown))
    }
}
