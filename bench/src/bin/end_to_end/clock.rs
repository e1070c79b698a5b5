//! CPU clocks of this process.

use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads of this process, ended ones included, user and system, µs.
pub(crate) fn process_cpu_us() -> f64 {
    micros(ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread, µs.
pub(crate) fn thread_cpu_us() -> f64 {
    micros(ClockId::ThreadCPUTime)
}

fn micros(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_used_at_least_what_one_of_its_threads_has() {
        let thread_us = thread_cpu_us();
        assert!(thread_us > 0.0 && process_cpu_us() >= thread_us);
    }
}
