//! Times and sizes of a sequencer.

use std::time::Duration;

/// Times and sizes of a sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// After this long without a heartbeat its sender counts as gone.
    pub grace: Duration,
    /// After this long without an answer a request is sent again.
    pub request_timeout: Duration,
    /// After this long an assembly that has not come is given up, and the next one tried.
    pub assemble_timeout: Duration,
    /// Pause before a transaction that was refused or reverted is assembled again; four times longer each time.
    pub retry_min: Duration,
    /// The longest of these pauses.
    pub retry_max: Duration,
    /// Most transactions in one request to assemble.
    pub run_max: usize,
}
