//! Choosing the executor: which one the settings ask for, which one the machine allows, and what to change where it does not.
//!
//! Fails when io_uring is demanded and refused. `auto` never fails: it says in one log line why it runs on epoll.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::glommio;

/// What to do where the kernel knows no io_uring at all, or not enough of it.
const REMEDY_KERNEL: &str = "run on Linux 5.8 or newer built with CONFIG_IO_URING, or set executor = \"epoll\"";

const FORBIDDEN_SWITCH: &str = "/proc/sys/kernel/io_uring_disabled";

/// The setting `executor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Executor {
    /// io_uring where the machine allows it, else epoll.
    #[default]
    Auto,
    /// glommio on io_uring, or an error.
    IoUring,
    /// tokio's current-thread runtime on epoll.
    Epoll,
}

/// An executor that this machine was seen to allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// glommio on io_uring.
    IoUring,
    /// tokio's current-thread runtime on epoll.
    Epoll,
}

impl fmt::Display for Chosen {
    /// The name it has in the settings.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// Why a room did not open.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    /// io_uring is not to be had on this machine as it is set up.
    #[error("executor io_uring cannot start: {reason}; {remedy}")]
    IoUring {
        /// What the machine said.
        reason: String,
        /// Which setting to change, and how.
        remedy: String,
    },
    /// Not even epoll: the process is out of file descriptors or memory.
    #[error("executor epoll cannot start: {source}; raise `ulimit -n` (systemd: LimitNOFILE)")]
    Epoll {
        /// What the system said.
        source: io::Error,
    },
    /// The thread could not be pinned.
    #[error("cannot pin this thread to processor {cpu}: {reason}; see `nproc` and the container's cpuset for those it may use")]
    Cpu {
        /// The processor asked for, numbered from 0.
        cpu: usize,
        /// What the system said.
        reason: String,
    },
}

/// Which executor this machine allows. Tries to build one where io_uring is wanted; `Auto` falls back to epoll with a warning
/// in the log that names the setting to change.
///
/// # Errors
/// [`RoomError::IoUring`] if `IoUring` was demanded and is not to be had.
pub fn choose(executor: Executor) -> Result<Chosen, RoomError> {
    if executor == Executor::Epoll {
        return Ok(Chosen::Epoll);
    }
    match glommio::probe() {
        Ok(()) => Ok(Chosen::IoUring),
        Err(error) if executor == Executor::Auto => {
            tracing::warn!("running on epoll instead: {error}");
            Ok(Chosen::Epoll)
        }
        Err(error) => Err(error),
    }
}

/// Wall-clock time since 1970, for the rooms; 0 on a machine whose clock is set before that.
pub(super) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Fewer bytes may be locked (`RLIMIT_MEMLOCK`) than an executor needs.
pub(super) fn too_little_locked_memory(allowed_bytes: u64, needed_bytes: u64) -> RoomError {
    RoomError::IoUring {
        reason: format!("{} KiB of locked memory are allowed and {} KiB are needed", allowed_bytes / 1024, needed_bytes / 1024),
        remedy: "raise `ulimit -l` (systemd: LimitMEMLOCK; docker: --ulimit memlock), or set executor = \"epoll\"".to_owned(),
    }
}

/// The library gave up in its own way; it does so where the kernel lacks operations it needs.
pub(super) fn library_panicked() -> RoomError {
    RoomError::IoUring { reason: "its library panicked".to_owned(), remedy: REMEDY_KERNEL.to_owned() }
}

/// The kernel refused a ring.
pub(super) fn io_uring_refused(error: &io::Error) -> RoomError {
    // The switch is absent before Linux 6.6, which then cannot be what forbids it.
    let switch = std::fs::read_to_string(FORBIDDEN_SWITCH).unwrap_or_default();
    RoomError::IoUring { reason: error.to_string(), remedy: remedy(error.kind(), switch.trim()) }
}

fn remedy(kind: io::ErrorKind, switch: &str) -> String {
    match (kind, switch) {
        (io::ErrorKind::PermissionDenied, "1" | "2") => {
            format!("kernel.io_uring_disabled is {switch}: set it to 0 (`sysctl kernel.io_uring_disabled=0`), or set executor = \"epoll\"")
        }
        (io::ErrorKind::PermissionDenied, _) => {
            "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile, or set executor = \"epoll\""
                .to_owned()
        }
        (io::ErrorKind::OutOfMemory, _) => {
            "raise `ulimit -l` (systemd: LimitMEMLOCK; docker: --ulimit memlock), or set executor = \"epoll\"".to_owned()
        }
        _ => REMEDY_KERNEL.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_names_are_those_of_the_executors() {
        let read = |name: &str| serde_json::from_value::<Executor>(name.into());
        assert_eq!(read("auto").expect("known"), Executor::Auto);
        assert_eq!(read(&Chosen::IoUring.to_string()).expect("known"), Executor::IoUring);
        assert_eq!(read(&Chosen::Epoll.to_string()).expect("known"), Executor::Epoll);
        assert!(read("threads").is_err());
    }

    #[test]
    fn each_refusal_names_the_setting_that_refuses() {
        use io::ErrorKind::{OutOfMemory, PermissionDenied, Unsupported};
        assert!(remedy(PermissionDenied, "2").contains("kernel.io_uring_disabled=0"));
        assert!(remedy(PermissionDenied, "0").contains("seccomp"));
        assert!(remedy(PermissionDenied, "").contains("seccomp"));
        assert!(remedy(OutOfMemory, "0").contains("LimitMEMLOCK"));
        assert!(remedy(Unsupported, "").contains("Linux 5.8"));
        let error = too_little_locked_memory(256 * 1024, 512 * 1024).to_string();
        assert!(error.contains("256 KiB") && error.contains("ulimit -l"), "{error}");
    }
}
