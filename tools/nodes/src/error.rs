//! Why a node does not run.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a node does not run, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The program is not installed.
    #[error("no {program} in {}: run `cargo xtask setup`", place.display())]
    Missing {
        /// Which program, with its version.
        program: String,
        /// Where it was looked for.
        place: PathBuf,
    },
    /// Neither `XDG_CACHE_HOME` nor `HOME` says where programs are kept.
    #[error("neither XDG_CACHE_HOME nor HOME is set; set one to say where programs are kept")]
    NoCache,
    /// A file or a process could not be had.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The program ended with a failure.
    #[error("{what} ended ({status}): {output}")]
    Failed {
        /// What was run.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// What the program wrote is not what it should be.
    #[error("{what} is not of the known form: {source}")]
    Form {
        /// What was read.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The node does not answer.
    #[error("{what} does not answer on port {port} after {patience:?}: {output}")]
    Silent {
        /// Which node.
        what: String,
        /// The port it was told to listen on.
        port: u16,
        /// How long was waited.
        patience: Duration,
        /// The end of what it wrote.
        output: String,
    },
}

impl NodeError {
    /// A failure of the system in doing `what`.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::System { what: what.into(), source }
    }
}
