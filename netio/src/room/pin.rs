//! Pinning a thread to one processor, for both executors alike.
//!
//! Fails when the processor does not exist or the process may not use it (cpusets of a container); nothing has changed then.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::RoomError;

/// Processors that this process may use, numbered as in `/proc/cpuinfo`: a container's may begin anywhere. Empty where the system
/// does not tell.
#[must_use]
pub fn processors() -> Vec<usize> {
    sched_getaffinity(None).map(|allowed| (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect()).unwrap_or_default()
}

/// Binds the calling thread to processor `cpu`, numbered from 0.
pub(super) fn this_thread(cpu: usize) -> Result<(), RoomError> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(RoomError::Cpu { cpu, reason: format!("the system numbers processors 0 to {}", CpuSet::MAX_CPU - 1) });
    }
    let mut processors = CpuSet::new();
    processors.set(cpu);
    sched_setaffinity(None, &processors).map_err(|error| RoomError::Cpu { cpu, reason: error.to_string() })
}
