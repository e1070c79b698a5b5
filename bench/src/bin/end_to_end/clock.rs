//! CPU clocks of this process.

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};

/// CPU time of all threads of this process, ended ones included, user and system, µs.
pub(crate) fn process_cpu_us() -> f64 {
    micros(ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread, µs.
pub(crate) fn thread_cpu_us() -> f64 {
    micros(ClockId::ThreadCPUTime)
}

/// CPU time of the threads of this process whose names begin with `prefix`, µs.
pub(crate) fn threads_cpu_us(prefix: &str) -> anyhow::Result<f64> {
    let mut sum_ns = 0;
    for thread in std::fs::read_dir("/proc/self/task").context("/proc/self/task")? {
        let path = thread?.path();
        let read = |name: &str| std::fs::read_to_string(path.join(name)).with_context(|| format!("reading {}/{name}", path.display()));
        if read("comm")?.starts_with(prefix) {
            // Its first number is the time on a core, ns.
            let text = read("schedstat")?;
            let ns = text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok());
            sum_ns += ns.with_context(|| format!("{}/schedstat holds `{}`", path.display(), text.trim()))?;
        }
    }
    Ok(sum_ns as f64 / 1e3)
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
