//! What a process has used, from `/proc`.

use std::iter::Sum;
use std::ops::Add;

use anyhow::Context;

/// CPU time of all threads of a process, user and system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTime {
    micros: u64,
}

impl CpuTime {
    /// In microseconds; the kernel counts in ticks of 10 ms.
    pub(crate) fn micros(self) -> u64 {
        self.micros
    }
}

impl Add for CpuTime {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { micros: self.micros + other.micros }
    }
}

impl Sum for CpuTime {
    fn sum<I: Iterator<Item = Self>>(times: I) -> Self {
        times.fold(Self::default(), Add::add)
    }
}

/// CPU time of process `id`, also if it has ended and is not yet reaped.
pub(crate) fn cpu_time(id: u32) -> anyhow::Result<CpuTime> {
    let path = format!("/proc/{id}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    parse_stat(&text, rustix::param::clock_ticks_per_second()).with_context(|| format!("{path} is not of the known form"))
}

/// Largest resident memory process `id` has had, in KiB; `None` once it has ended.
pub(crate) fn peak_memory_kib(id: u32) -> Option<u64> {
    parse_peak(&std::fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

/// Fields 14 and 15 of proc(5)'s `stat`. The second field is a name in parentheses that may hold anything, also parentheses.
fn parse_stat(text: &str, ticks_per_second: u64) -> Option<CpuTime> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(CpuTime { micros: (user + system) * 1_000_000 / ticks_per_second })
}

fn parse_peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn cpu_time_is_user_and_system_whatever_the_process_is_called() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 100 1 2";
        assert_eq!(parse_stat(stat, 100).unwrap().micros(), 3_000_000);
        assert_eq!(parse_stat("nonsense", 100), None);
    }

    #[test]
    fn peak_memory_is_read_in_kib() {
        assert_eq!(parse_peak("Name:\tx\nVmHWM:\t   12345 kB\nVmRSS:\t 99 kB\n"), Some(12_345));
        assert_eq!(parse_peak("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_has_an_account() {
        let id = std::process::id();
        assert!(peak_memory_kib(id).unwrap() > 100);
        cpu_time(id).unwrap();
    }
}
