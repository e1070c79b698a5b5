//! Facts in, findings out. Pure: nothing here asks the system.
//!
//! A *problem* keeps the engine from running, from keeping its promises, or from running well whatever the load. *Advice* costs speed
//! under load, or will be a problem later. What is not known is no verdict.

use netio::Executor;
use serde::Serialize;

use super::{Facts, Figures};
use crate::config::Config;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// The oldest kernel with the io_uring operations that the executor needs.
const KERNEL_MIN: (u32, u32) = (5, 8);
/// glommio starts no executor where less memory may be locked.
const LOCKED_BYTES_MIN: u64 = 512 * KIB;
/// Locked memory of one shard's rings: counted, see `netio`'s room on glommio.
const LOCKED_BYTES_A_SHARD: u64 = 240 * KIB;
/// Files of the process besides tables and connections: logs, eventfds and rings of a shard, standard streams.
const FILES_OF_A_SHARD: u64 = 16;
const FILES_OF_THE_PROCESS: u64 = 64;
/// About what 1,000,000 transactions take: 640 bytes of log each, by `append_cost`; tables are assumed to be no larger.
const FREE_BYTES_WANTED: u64 = GIB;
/// The median sync from which on a caller notices it in his answer, and the one from which on nothing runs well: at 2,000 records an
/// append, 100 ms leave 20,000 transactions a second at best and each waits a tenth of one.
const SYNC_SLOW_US: f64 = 5_000.0;
const SYNC_TOO_SLOW_US: f64 = 100_000.0;
/// One sync in a hundred may take this long before it is worth a word.
const SYNC_STALL_US: f64 = 50_000.0;
/// No medium that keeps data without power answers so soon: memory does.
const SYNC_TOO_FAST_US: f64 = 15.0;
/// About three times what a core of today's servers takes (20 µs).
const SIGN_SLOW_US: f64 = 60.0;

/// What a finding means; ordered from harmless to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The system does not tell.
    Unknown,
    /// As it should be.
    Ok,
    /// It would be better otherwise.
    Advice,
    /// It keeps the engine from running well.
    Problem,
}

impl Verdict {
    /// Letters of the longest word.
    pub(super) const WIDTH: usize = 7;

    /// As it is shown.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Ok => "ok",
            Self::Advice => "advice",
            Self::Problem => "problem",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// What is there.
    pub found: String,
    /// What that means.
    pub verdict: Verdict,
    /// What to change, where something should be.
    pub change: Option<String>,
}

fn ok(check: &'static str, found: impl Into<String>) -> Finding {
    Finding { check, found: found.into(), verdict: Verdict::Ok, change: None }
}

fn unknown(check: &'static str) -> Finding {
    Finding { check, found: "not told by this system".into(), verdict: Verdict::Unknown, change: None }
}

fn advice(check: &'static str, found: impl Into<String>, change: impl Into<String>) -> Finding {
    Finding { check, found: found.into(), verdict: Verdict::Advice, change: Some(change.into()) }
}

fn problem(check: &'static str, found: impl Into<String>, change: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Problem, ..advice(check, found, change) }
}

/// All checks, in the order of the table.
#[must_use]
pub fn judge(config: &Config, facts: &Facts, figures: &Figures) -> Vec<Finding> {
    let shards = config.shards.count_on(facts.parallelism.unwrap_or(1));
    vec![
        kernel(config, facts),
        io_uring(config, facts),
        locked_memory(config, facts, shards),
        open_files(config, facts, shards),
        governor(facts),
        cores(config, facts, shards),
        pinning(config, facts),
        numa(facts),
        huge_pages(facts),
        memory(config, facts),
        disk(config, facts),
        file_system(facts),
        clock(facts),
        sync(figures),
        signing(figures),
    ]
}

fn kernel(config: &Config, facts: &Facts) -> Finding {
    let check = "kernel";
    let Some(release) = &facts.kernel else { return unknown(check) };
    let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Finding { found: release.clone(), ..unknown(check) };
    };
    let change = "run on Linux 5.8 or newer for executor io_uring";
    match config.shards.executor {
        _ if (major, minor) >= KERNEL_MIN => ok(check, release),
        Executor::Epoll => ok(check, release),
        Executor::Auto => advice(check, release, change),
        Executor::IoUring => problem(check, release, format!("{change}, or set shards.executor = \"epoll\"")),
    }
}

fn io_uring(config: &Config, facts: &Facts) -> Finding {
    let check = "io_uring";
    match (&facts.io_uring, config.shards.executor) {
        (None, _) => unknown(check),
        (Some(Ok(())), Executor::Epoll) => ok(check, "available, not used: shards.executor = \"epoll\""),
        (Some(Ok(())), _) => ok(check, "available"),
        (Some(Err(_)), Executor::Epoll) => ok(check, "not available, not needed: shards.executor = \"epoll\""),
        (Some(Err((reason, remedy))), Executor::Auto) => advice(check, format!("not available: {reason}; epoll is used"), remedy),
        (Some(Err((reason, remedy))), Executor::IoUring) => problem(check, format!("not available: {reason}"), remedy),
    }
}

fn locked_memory(config: &Config, facts: &Facts, shards: usize) -> Finding {
    let check = "locked memory";
    let Some(limit) = facts.locked_bytes_max else { return unknown(check) };
    let found = if limit == u64::MAX { "unlimited".to_owned() } else { format!("{} KiB", limit / KIB) };
    let needed = LOCKED_BYTES_MIN.max(LOCKED_BYTES_A_SHARD.saturating_mul(shards as u64));
    let raise =
        format!("raise `ulimit -l` to {} (systemd: LimitMEMLOCK; docker: --ulimit memlock), for {shards} shards on io_uring", needed / KIB);
    match config.shards.executor {
        Executor::Epoll => ok(check, found),
        _ if limit >= needed => ok(check, found),
        Executor::IoUring if limit < LOCKED_BYTES_MIN => problem(check, found, raise),
        _ => advice(check, found, raise),
    }
}

fn open_files(config: &Config, facts: &Facts, shards: usize) -> Finding {
    let check = "open files";
    let Some(limit) = facts.open_files_max else { return unknown(check) };
    let node = &config.node;
    // Each connection of a shard, and a few that ask, for each node.
    let connections = (node.connections as u64 + 3) * node.nodes().len() as u64;
    let needed = u64::from(config.storage.database.open_files_max)
        + u64::from(config.api.max_connections)
        + shards as u64 * (connections + FILES_OF_A_SHARD)
        + FILES_OF_THE_PROCESS;
    let found = if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() };
    if limit >= needed {
        return ok(check, format!("{found}, {needed} may be needed"));
    }
    let change = "(systemd: LimitNOFILE; docker: --ulimit nofile), or lower storage.database.open_files_max or api.max_connections";
    problem(check, format!("{found}, {needed} may be needed"), format!("raise `ulimit -n` to {needed} {change}"))
}

fn governor(facts: &Facts) -> Finding {
    let check = "CPU governor";
    if facts.governors.is_empty() {
        return unknown(check);
    }
    let found = facts.governors.join(", ");
    if facts.governors.iter().any(|governor| matches!(governor.as_str(), "powersave" | "conservative" | "ondemand")) {
        return advice(check, found, "`cpupower frequency-set -g performance`: others take time to speed up after each pause");
    }
    ok(check, found)
}

fn cores(config: &Config, facts: &Facts, shards: usize) -> Finding {
    let check = "cores";
    let Some(parallelism) = facts.parallelism else { return unknown(check) };
    let allowed = facts.processors.unwrap_or(parallelism);
    let quota = if parallelism < allowed { format!(", a quota of {parallelism}") } else { String::new() };
    let found = format!("{allowed} allowed{quota}, {shards} shards");
    if shards > parallelism {
        return advice(check, found, format!("set shards.count to at most {parallelism}: more take turns, and each turn costs"));
    }
    if parallelism == 1 {
        return advice(check, found, "give it two cores or more: the writer and the interface need a share beside the shard");
    }
    if parallelism < allowed && config.shards.pin.on(allowed) {
        return advice(check, found, "raise the CPU quota, or set shards.pin = false: a bound thread cannot go where time is left");
    }
    ok(check, found)
}

fn pinning(config: &Config, facts: &Facts) -> Finding {
    let check = "pinning";
    let (Some(outcome), Some(processors)) = (&facts.pinning, facts.processors) else { return unknown(check) };
    let used = config.shards.pin.on(processors);
    match outcome {
        Ok(()) if used => ok(check, "possible, shards are pinned"),
        Ok(()) => ok(check, "possible, shards are not pinned"),
        Err(reason) if used => {
            problem(check, reason, "set shards.pin = false, or allow sched_setaffinity in the container's seccomp profile")
        }
        Err(reason) => ok(check, format!("not possible, not needed: {reason}")),
    }
}

fn numa(facts: &Facts) -> Finding {
    let check = "NUMA nodes";
    match facts.numa_nodes {
        None => unknown(check),
        Some(1) => ok(check, "1"),
        Some(nodes) => advice(check, nodes.to_string(), "start it on one node: `numactl --cpunodebind=0 --membind=0 millrace run …`"),
    }
}

fn huge_pages(facts: &Facts) -> Finding {
    let check = "huge pages";
    match facts.huge_pages.as_deref() {
        None => unknown(check),
        Some("always") => advice(
            check,
            "always",
            "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled`: memory grows, and threads wait while pages are put together",
        ),
        Some(other) => ok(check, other),
    }
}

fn memory(config: &Config, facts: &Facts) -> Finding {
    let check = "memory";
    let Some(all) = facts.memory_bytes else { return unknown(check) };
    let database = &config.storage.database;
    let store = database.memtables_bytes_max as u64 + database.block_cache_bytes as u64;
    let found = format!("{} MiB, {} for the store", all / MIB, store / MIB);
    if store > all / 2 {
        let change = "lower storage.database.memtables_bytes_max or block_cache_bytes, or choose profile = \"laptop\"";
        return problem(check, found, change);
    }
    ok(check, found)
}

fn disk(config: &Config, facts: &Facts) -> Finding {
    let check = "free disk";
    let Some(free) = facts.disk_free_bytes else { return unknown(check) };
    let place = facts.disk_directory.as_deref().unwrap_or(&config.data_dir).display();
    let found = if free >= 10 * GIB { format!("{} GiB", free / GIB) } else { format!("{} MiB", free / MIB) };
    // Logs up to their bound, as much again in tables, and room to compact them.
    let needed = 3 * config.storage.database.wal_bytes_max;
    if free < needed {
        return problem(
            check,
            found,
            format!("make room on the disk of {place}: the log and its tables alone may take {} MiB", needed / MIB),
        );
    }
    if free < FREE_BYTES_WANTED {
        return advice(check, found, format!("make room on the disk of {place}: 1,000,000 transactions take about 1 GiB"));
    }
    ok(check, found)
}

fn file_system(facts: &Facts) -> Finding {
    let check = "file system";
    let Some(kind) = &facts.file_system else { return unknown(check) };
    match kind.as_str() {
        "tmpfs" | "ramfs" => {
            problem(check, kind, "put data_dir on a disk: this is memory, and what was acknowledged would be gone with the power")
        }
        "overlay" => advice(check, kind, "mount a volume for data_dir: this layer goes with its container"),
        "nfs" | "smb" | "9p" | "fuse" => {
            advice(check, kind, "put data_dir on a local disk: each sync here is a round trip, and locks may not hold")
        }
        _ => ok(check, kind),
    }
}

fn clock(facts: &Facts) -> Finding {
    let check = "clock source";
    match facts.clock_source.as_deref() {
        None => unknown(check),
        Some(slow @ ("hpet" | "acpi_pm" | "jiffies" | "refined-jiffies" | "xen")) => {
            advice(check, slow, "boot with tsc or kvm-clock where the processor allows: each look at this clock is a system call")
        }
        Some(source) => ok(check, source),
    }
}

fn sync(figures: &Figures) -> Finding {
    let check = "fsync of 4 KiB";
    if let Some(error) = &figures.fsync_error {
        return problem(check, format!("failed: {error}"), "make data_dir, or the directory it will be made in, writable for this user");
    }
    let Some(sync) = figures.fsync else { return unknown(check) };
    let found = format!("p50 {:.0} µs, p99 {:.0} µs ({} appends)", sync.p50_us, sync.p99_us, sync.count);
    if sync.p50_us > SYNC_TOO_SLOW_US {
        problem(check, found, "put data_dir on an SSD: every answer waits for a sync")
    } else if sync.p50_us < SYNC_TOO_FAST_US {
        advice(check, found, "make sure that this disk keeps what it has synced when the power fails: it answers as memory does")
    } else if sync.p50_us > SYNC_SLOW_US {
        advice(check, found, "put data_dir on a faster disk: every answer waits for a sync")
    } else if sync.p99_us > SYNC_STALL_US {
        advice(check, found, "keep other writers off this disk: some answers wait for its stalls")
    } else {
        ok(check, found)
    }
}

fn signing(figures: &Figures) -> Finding {
    let check = "signing";
    let Some(sign_us) = figures.sign_us else { return unknown(check) };
    let found = format!("{sign_us:.1} µs a signature");
    if sign_us > SIGN_SLOW_US {
        return advice(check, found, "look for a slow clock, a busy neighbour or a debug build: a server's core takes about 20 µs");
    }
    ok(check, found)
}

#[cfg(test)]
mod tests;
