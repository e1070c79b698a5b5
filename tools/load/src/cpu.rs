//! CPU time from `/proc`: of this process, of others that were named, and of the machine.

use std::fs;

/// Ticks a second in `/proc`: 100 on every Linux that Rust runs on (`USER_HZ`, part of the kernel's interface).
const TICKS_PER_SECOND: u64 = 100;
/// µs in a tick.
const TICK_US: u64 = 1_000_000 / TICKS_PER_SECOND;

/// CPU time of process `pid`, user and system, µs; `None` if there is none.
pub(crate) fn process_us(pid: u32) -> Option<u64> {
    parse_process(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// CPU time of this process, user and system, µs.
pub(crate) fn own_us() -> Option<u64> {
    process_us(std::process::id())
}

/// CPU time of all cores that was not idle, µs.
pub(crate) fn machine_us() -> Option<u64> {
    parse_machine(&fs::read_to_string("/proc/stat").ok()?)
}

/// `stat` of a process: after the name in brackets, which may contain anything, fields 3 on; utime is 14, stime 15.
fn parse_process(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) * TICK_US)
}

/// The line `cpu` of the machine's `stat`: user, nice, system, idle, iowait, irq, softirq, steal, and guests that are in user already.
fn parse_machine(stat: &str) -> Option<u64> {
    let fields: Vec<u64> = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|place: &usize| fields.get(*place)).sum::<u64>();
    (fields.len() >= 4).then_some(busy * TICK_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_process_is_read_whatever_its_name() {
        let stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        assert_eq!(parse_process(stat), Some(2_000_000));
        assert_eq!(parse_process("nonsense"), None);
    }

    #[test]
    fn idle_and_waiting_time_of_the_machine_is_not_busy() {
        assert_eq!(parse_machine("cpu  10 1 20 900 50 1 1 2 7 0\ncpu0 1"), Some(350_000));
        assert_eq!(parse_machine("cpu0 1 2 3 4"), None);
    }

    #[test]
    fn this_machine_can_be_read() {
        assert!(own_us().is_some() && machine_us().is_some());
        assert_eq!(process_us(u32::MAX), None);
    }
}
