//! What the system tells: the only place of the doctor that asks it.
//!
//! Nothing here fails. A file of `/proc` or `/sys` that is not there, or says something else than expected, leaves its fact unknown.

use std::fs;
use std::path::{Path, PathBuf};

use netio::{Chosen, Executor, Room, RoomError, Tenant};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statfs;
use nix::sys::sysinfo::sysinfo;
use nix::sys::utsname::uname;

use crate::config::Config;

/// What is known of a machine; `None` where the system does not tell.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Release of the kernel, as `uname -r` has it.
    pub kernel: Option<String>,
    /// Whether an executor on io_uring starts here; else why not and what to do.
    pub io_uring: Option<Result<(), (String, String)>>,
    /// Bytes of memory that may be locked.
    pub locked_bytes_max: Option<u64>,
    /// Files that may be open.
    pub open_files_max: Option<u64>,
    /// Frequency governors of the processors, each once.
    pub governors: Vec<String>,
    /// Processors that this process may run on, by its affinity mask.
    pub processors: Option<usize>,
    /// Processors' worth of time that it may use: the mask, and the quota of its control group.
    pub parallelism: Option<usize>,
    /// Whether threads could be bound to those processors; else why not.
    pub pinning: Option<Result<(), String>>,
    /// NUMA nodes.
    pub numa_nodes: Option<usize>,
    /// When memory comes in huge pages: `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
    /// All memory.
    pub memory_bytes: Option<u64>,
    /// The data directory, or where it will be made.
    pub disk_directory: Option<PathBuf>,
    /// Bytes that this user may still write there.
    pub disk_free_bytes: Option<u64>,
    /// Name of its file system.
    pub file_system: Option<String>,
    /// What the kernel reads the clock from.
    pub clock_source: Option<String>,
}

impl Facts {
    /// Asks the system; some facts depend on where the data is.
    #[must_use]
    pub fn read(config: &Config) -> Self {
        let processors = netio::processors();
        let disk_directory = nearest_directory(&config.data_dir);
        let disk = disk_directory.as_deref().and_then(|directory| statfs::statfs(directory).ok());
        Self {
            kernel: uname().ok().and_then(|name| Some(name.release().to_str()?.to_owned())),
            io_uring: Some(io_uring()),
            locked_bytes_max: limit(Resource::RLIMIT_MEMLOCK),
            open_files_max: limit(Resource::RLIMIT_NOFILE),
            governors: governors(),
            pinning: (!processors.is_empty()).then(|| processors.iter().try_for_each(|cpu| pin(*cpu))),
            processors: (!processors.is_empty()).then_some(processors.len()),
            parallelism: std::thread::available_parallelism().ok().map(std::num::NonZero::get),
            numa_nodes: numa_nodes(),
            huge_pages: line("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| chosen(&text)),
            memory_bytes: sysinfo().ok().map(|info| info.ram_total()),
            disk_free_bytes: disk.as_ref().and_then(|disk| disk.blocks_available().checked_mul(u64::try_from(disk.block_size()).ok()?)),
            file_system: disk.as_ref().map(|disk| file_system(disk.filesystem_type())),
            disk_directory,
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        }
    }
}

/// The first line of a file, if there is one with something in it.
fn line(file: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

/// The word in brackets of a file that lists the choices: `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn limit(resource: Resource) -> Option<u64> {
    getrlimit(resource).ok().map(|(soft, _)| soft)
}

/// Starts an executor, as the engine would.
fn io_uring() -> Result<(), (String, String)> {
    match netio::choose(Executor::IoUring) {
        Ok(_) => Ok(()),
        Err(RoomError::IoUring { reason, remedy }) => Err((reason, remedy)),
        Err(other) => Err((other.to_string(), "set shards.executor = \"epoll\"".to_owned())),
    }
}

/// Binds a thread of its own to this processor, as the engine binds its shards.
fn pin(cpu: usize) -> Result<(), String> {
    struct Nobody;

    impl Tenant for Nobody {
        async fn live<R: Room>(self, _room: R) {}
    }

    let bound = std::thread::spawn(move || netio::open(Chosen::Epoll, Some(cpu), Nobody).map_err(|error| error.to_string()));
    bound.join().unwrap_or_else(|_| Err(format!("the thread for processor {cpu} panicked")))
}

fn governors() -> Vec<String> {
    let mut governors: Vec<String> = numbered("/sys/devices/system/cpu", "cpu")
        .unwrap_or_default()
        .iter()
        .filter_map(|cpu| line(cpu.join("cpufreq/scaling_governor").to_str()?))
        .collect();
    governors.sort();
    governors.dedup();
    governors
}

fn numa_nodes() -> Option<usize> {
    numbered("/sys/devices/system/node", "node").map(|nodes| nodes.len()).filter(|count| *count > 0)
}

/// Entries of a directory that are called `prefix` and a number.
fn numbered(directory: &str, prefix: &str) -> Option<Vec<PathBuf>> {
    let is_numbered = |path: &PathBuf| {
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(prefix));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    Some(fs::read_dir(directory).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_numbered).collect())
}

/// The directory, or the nearest one above it that exists: there it will be made.
fn nearest_directory(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    absolute.ancestors().find(|directory| directory.is_dir()).map(Path::to_owned)
}

fn file_system(kind: statfs::FsType) -> String {
    // In the kernel's words, from its `linux/magic.h`; the last three have no name in nix.
    const KNOWN: [(i64, &str); 11] = [
        (statfs::EXT4_SUPER_MAGIC.0, "ext4"),
        (statfs::XFS_SUPER_MAGIC.0, "xfs"),
        (statfs::BTRFS_SUPER_MAGIC.0, "btrfs"),
        (statfs::TMPFS_MAGIC.0, "tmpfs"),
        (statfs::OVERLAYFS_SUPER_MAGIC.0, "overlay"),
        (statfs::NFS_SUPER_MAGIC.0, "nfs"),
        (statfs::FUSE_SUPER_MAGIC.0, "fuse"),
        (statfs::SMB_SUPER_MAGIC.0, "smb"),
        (0x2fc1_2fc1, "zfs"),
        (0x8584_58f6, "ramfs"),
        (0x0102_1997, "9p"),
    ];
    let number = kind.0;
    KNOWN.iter().find(|(magic, _)| *magic == number).map_or_else(|| format!("{number:#x}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_unknown() {
        assert_eq!(line("/proc/there/is/no/such/file"), None);
        assert_eq!(numbered("/proc/there/is/no/such/directory", "cpu"), None);
        assert_eq!((chosen("always [madvise] never"), chosen("nonsense")), (Some("madvise".into()), None));
    }

    #[test]
    fn a_directory_that_is_to_be_made_is_judged_by_the_one_above_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().join("to/be/made");
        assert_eq!(nearest_directory(&data), Some(directory.path().to_owned()));
    }

    #[test]
    fn this_machine_tells_what_every_linux_tells() {
        let facts = Facts::read(&Config { data_dir: ".".into(), ..Config::default() });
        assert!(facts.kernel.is_some() && facts.disk_free_bytes.is_some() && facts.file_system.is_some(), "{facts:?}");
        assert!(facts.parallelism.is_some() && facts.io_uring.is_some(), "{facts:?}");
    }
}
