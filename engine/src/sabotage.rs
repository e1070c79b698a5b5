//! Mistakes of the engine made on purpose: see [`storage::sabotage`].

storage::sabotages! {
    /// What a commit makes true counts as true before the writer has answered.
    AcknowledgedBeforeSync = "acknowledged-before-sync",
    /// Signed bytes are sent before their record is on disk.
    SentBeforeDurable = "sent-before-durable",
    /// The shard does not hear that the disk refused its commit.
    RefusalUnheard = "refusal-unheard",
    /// A further attempt that the disk refused stays in memory.
    RefusedAttemptKept = "refused-attempt-kept",
    /// What waits on disk is forgotten by a restart.
    QueueForgotten = "queue-forgotten",
    /// What was bound and not mined is not sent again after a restart.
    BoundForgotten = "bound-forgotten",
    /// What was bound and not mined counts as never sent after a restart: its nonce is given out again.
    BoundCountedUnsent = "bound-counted-unsent",
    /// A nonce whose bytes may have arrived is given out again.
    AmbiguousNonceReused = "ambiguous-nonce-reused",
    /// A lost reply ends the work on a transaction.
    LostReplyDrops = "lost-reply-drops",
    /// A lost reply counts as the node's refusal.
    LostReplyRefuses = "lost-reply-refuses",
    /// The next nonce is what a node says, however far it lags.
    NonceFollowsNode = "nonce-follows-node",
    /// An idempotency key is free again once its submission has been handed to a shard.
    KeyReleasedEarly = "key-released-early",
    /// The disk is not asked for an idempotency key.
    KeyNotLookedUp = "key-not-looked-up",
    /// The same key with another body is not told from a repeat.
    ConflictUnseen = "conflict-unseen",
    /// A receipts call that answers null is taken for an empty block.
    NullReceiptsTrusted = "null-receipts-trusted",
    /// A list of receipts shorter than its block is taken for all of it.
    ShortReceiptsTrusted = "short-receipts-trusted",
    /// Only the first attempt's hash is looked for in blocks.
    FirstHashOnly = "first-hash-only",
    /// A block's parent is not compared with the stored block.
    ReorgUnseen = "reorg-unseen",
    /// A reorg is followed however deep it goes.
    FinalityNotHeld = "finality-not-held",
    /// How deep a reorg goes is counted from the newest block, not from the highest there was.
    FinalityMovesDown = "finality-moves-down",
    /// Transactions are sent also while the chain cannot be followed.
    SentWithoutChain = "sent-without-chain",
    /// What a block held stays confirmed when the block leaves the chain.
    ReorgNotTakenBack = "reorg-not-taken-back",
    /// Transactions of a block that left the chain are not sent again.
    OrphansNotSent = "orphans-not-sent",
    /// What is in a block leaves the memory before that block is final.
    ArchivedBeforeFinal = "archived-before-final",
    /// An address's floor is stored as what comes after everything in flight.
    FloorTooHigh = "floor-too-high",
    /// The checkpoint is stored ahead of the block's effects.
    CheckpointBeforeEffects = "checkpoint-before-effects",
    /// What a pool dropped is never sent again.
    DroppedNotSent = "dropped-not-sent",
    /// A replacement is priced from the first attempt, whatever came after it and whatever the market asks for.
    ReplacementTooLow = "replacement-too-low",
    /// A request that can never be mined ends, and its nonce is left open.
    NonceNotClosed = "nonce-not-closed",
    /// What the price cap holds is not looked at again.
    HoldForgotten = "hold-forgotten",
    /// What another wallet's transaction took is queued again before that transaction is final.
    DisplacedBeforeFinal = "displaced-before-final",
    /// Another wallet's transactions of our addresses are not looked at.
    RivalUnseen = "rival-unseen",
    /// Authorizations in a block are not looked at.
    AuthorizationsUnseen = "authorizations-unseen",
    /// An authorization in a block counts as valid, whatever the chain's count says.
    AuthorizationsTrusted = "authorizations-trusted",
    /// A nonce that opened again below ours is left open.
    HoleNotFilled = "hole-not-filled",
    /// The answer to a sign job that was given up counts for the next one at the same nonce.
    LateSignatureBinds = "late-signature-binds",
    /// What is bound counts as cancelled before anything that closes its nonce is on disk.
    CancelledUnsaved = "cancelled-unsaved",
    /// What was cancelled stays in its line, and is bound when its turn comes.
    CancelledStillBound = "cancelled-still-bound",
    /// What was suspended stays in its line, and is bound when its turn comes.
    SuspendedStillBound = "suspended-still-bound",
    /// What depends on others is released as soon as those are bound.
    ReleasedEarly = "released-early",
    /// What depends on a transaction does not hear that it has failed.
    FailureNotTold = "failure-not-told",
    /// What depends on a transaction is not looked at again after a restart.
    DependentsForgotten = "dependents-forgotten",
    /// A receipt names the newest generation, whichever was mined.
    ReceiptOfNewest = "receipt-of-newest",
    /// An update prices a new generation as if nothing had been sent.
    UpdateTooLow = "update-too-low",
    /// What is in a block is told to listeners before that block is deep enough.
    ToldBeforeDeep = "told-before-deep",
    /// A replacement with blobs is priced as one without: 10 % more.
    BlobReplacementTooLow = "blob-replacement-too-low",
    /// Transactions with blobs and others of an address are in flight at the same time.
    KindsMixed = "kinds-mixed",
    /// The nonce of a blob transaction is closed by a transfer without blobs.
    BlobNonceClosedPlain = "blob-nonce-closed-plain",
    /// The blobs of a transaction are dropped when a block holds it, which may leave the chain.
    SidecarDroppedEarly = "sidecar-dropped-early",
    /// A transaction is accepted before its blobs are on disk.
    SidecarNotAwaited = "sidecar-not-awaited",
    /// The balance of an address that waits for money is not read again.
    FundsNotLookedAtAgain = "funds-not-looked-at-again",
}
