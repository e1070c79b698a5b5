//! Each check with what it must tell apart.

use super::*;
use crate::config::Pin;
use crate::doctor::SyncFigures;

/// A machine on which nothing is wrong.
fn facts() -> Facts {
    Facts {
        kernel: Some("6.18.44-generic".into()),
        io_uring: Some(Ok(())),
        locked_bytes_max: Some(8 * MIB),
        open_files_max: Some(20_000),
        governors: vec!["performance".into()],
        processors: Some(8),
        parallelism: Some(8),
        pinning: Some(Ok(())),
        numa_nodes: Some(1),
        huge_pages: Some("madvise".into()),
        memory_bytes: Some(16 * GIB),
        disk_directory: Some("data".into()),
        disk_free_bytes: Some(100 * GIB),
        file_system: Some("ext4".into()),
        clock_source: Some("tsc".into()),
    }
}

fn figures() -> Figures {
    Figures { fsync: Some(SyncFigures { count: 300, p50_us: 300.0, p99_us: 2000.0 }), fsync_error: None, sign_us: Some(20.0) }
}

/// What is found of `check` when a good machine, good settings and good figures are changed so.
fn found(check: &str, change: impl FnOnce(&mut Config, &mut Facts, &mut Figures)) -> Finding {
    let (mut config, mut facts, mut figures) = (Config::default(), facts(), figures());
    change(&mut config, &mut facts, &mut figures);
    judge(&config, &facts, &figures).into_iter().find(|finding| finding.check == check).expect("the check is made")
}

fn assert_is(finding: &Finding, verdict: Verdict, parts: &[&str]) {
    assert_eq!(finding.verdict, verdict, "{finding:?}");
    let told = format!("{} | {}", finding.found, finding.change.as_deref().unwrap_or_default());
    for part in parts {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn a_good_machine_has_nothing_to_change() {
    for finding in judge(&Config::default(), &facts(), &figures()) {
        assert_eq!((finding.verdict, &finding.change), (Verdict::Ok, &None), "{finding:?}");
    }
}

#[test]
fn what_the_system_does_not_tell_is_unknown_and_no_problem() {
    for finding in judge(&Config::default(), &Facts::default(), &Figures::default()) {
        assert_eq!(finding.verdict, Verdict::Unknown, "{finding:?}");
    }
    assert_is(&found("kernel", |_, facts, _| facts.kernel = Some("strange".into())), Verdict::Unknown, &["strange"]);
}

#[test]
fn an_executor_that_is_demanded_and_cannot_start_is_a_problem_and_else_advice() {
    let refused = |executor| {
        move |config: &mut Config, facts: &mut Facts, _: &mut Figures| {
            config.shards.executor = executor;
            facts.kernel = Some("4.19.0".into());
            facts.locked_bytes_max = Some(64 * KIB);
            facts.io_uring = Some(Err(("forbidden".into(), "sysctl kernel.io_uring_disabled=0".into())));
        }
    };
    for check in ["kernel", "io_uring", "locked memory"] {
        assert_eq!(found(check, refused(Executor::IoUring)).verdict, Verdict::Problem);
        assert_eq!(found(check, refused(Executor::Auto)).verdict, Verdict::Advice);
        assert_eq!(found(check, refused(Executor::Epoll)).verdict, Verdict::Ok);
    }
    assert_is(&found("io_uring", refused(Executor::Auto)), Verdict::Advice, &["forbidden", "epoll is used", "sysctl"]);
    assert_is(&found("locked memory", refused(Executor::Auto)), Verdict::Advice, &["64 KiB", "ulimit -l", "1920"]);
}

#[test]
fn files_are_counted_by_the_settings() {
    assert_is(&found("open files", |_, facts, _| facts.open_files_max = Some(1024)), Verdict::Problem, &["1024", "ulimit -n", "1528"]);
    let fewer = found("open files", |config, facts, _| {
        facts.open_files_max = Some(1024);
        config.storage.database.open_files_max = 256;
    });
    assert_eq!(fewer.verdict, Verdict::Ok, "{fewer:?}");
}

#[test]
fn shards_need_cores_of_their_own() {
    assert_is(&found("cores", |config, _, _| config.shards.count = Some(9)), Verdict::Advice, &["9 shards", "shards.count to at most 8"]);
    assert_is(&found("cores", |_, facts, _| facts.parallelism = Some(2)), Verdict::Advice, &["a quota of 2", "shards.pin = false"]);
    let free = found("cores", |config, facts, _| {
        facts.parallelism = Some(2);
        config.shards.pin = Pin::Never;
    });
    assert_eq!(free.verdict, Verdict::Ok, "{free:?}");
}

#[test]
fn pinning_that_fails_is_a_problem_where_it_is_used() {
    let refused = |_: &mut Config, facts: &mut Facts, _: &mut Figures| facts.pinning = Some(Err("not permitted".into()));
    assert_is(&found("pinning", refused), Verdict::Problem, &["not permitted", "shards.pin = false"]);
    let unused = found("pinning", |config, facts, figures| {
        refused(config, facts, figures);
        config.shards.pin = Pin::Never;
    });
    assert_eq!(unused.verdict, Verdict::Ok, "{unused:?}");
}

#[test]
fn memory_that_keeps_nothing_and_disks_without_room_are_problems() {
    assert_is(&found("file system", |_, facts, _| facts.file_system = Some("tmpfs".into())), Verdict::Problem, &["tmpfs", "data_dir"]);
    assert_is(&found("file system", |_, facts, _| facts.file_system = Some("nfs".into())), Verdict::Advice, &["local disk"]);
    assert_is(&found("free disk", |_, facts, _| facts.disk_free_bytes = Some(100 * MIB)), Verdict::Problem, &["100 MiB", "data"]);
    assert_is(&found("free disk", |_, facts, _| facts.disk_free_bytes = Some(900 * MIB)), Verdict::Advice, &["900 MiB"]);
    assert_is(&found("memory", |_, facts, _| facts.memory_bytes = Some(256 * MIB)), Verdict::Problem, &["256 MiB", "laptop"]);
}

#[test]
fn a_sync_is_judged_by_what_callers_wait_for() {
    let sync = |p50_us, p99_us| {
        move |_: &mut Config, _: &mut Facts, figures: &mut Figures| {
            figures.fsync = Some(SyncFigures { count: 300, p50_us, p99_us });
        }
    };
    assert_is(&found("fsync of 4 KiB", sync(3.0, 9.0)), Verdict::Advice, &["p50 3 µs", "power"]);
    assert_is(&found("fsync of 4 KiB", sync(9_000.0, 20_000.0)), Verdict::Advice, &["faster disk"]);
    assert_is(&found("fsync of 4 KiB", sync(500.0, 90_000.0)), Verdict::Advice, &["stalls"]);
    assert_is(&found("fsync of 4 KiB", sync(200_000.0, 300_000.0)), Verdict::Problem, &["SSD"]);
    let failed = found("fsync of 4 KiB", |_, _, figures| figures.fsync_error = Some("permission denied".into()));
    assert_is(&failed, Verdict::Problem, &["permission denied", "writable"]);
}

#[test]
fn what_only_costs_speed_is_advice() {
    assert_is(&found("CPU governor", |_, facts, _| facts.governors = vec!["powersave".into()]), Verdict::Advice, &["cpupower"]);
    assert_is(&found("NUMA nodes", |_, facts, _| facts.numa_nodes = Some(2)), Verdict::Advice, &["numactl"]);
    assert_is(&found("huge pages", |_, facts, _| facts.huge_pages = Some("always".into())), Verdict::Advice, &["madvise"]);
    assert_is(&found("clock source", |_, facts, _| facts.clock_source = Some("hpet".into())), Verdict::Advice, &["tsc"]);
    assert_is(&found("signing", |_, _, figures| figures.sign_us = Some(90.0)), Verdict::Advice, &["90.0 µs"]);
}
