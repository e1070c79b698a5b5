//! A small disk for one process, to be filled: a tmpfs in a mount namespace of its own. It needs no rights and leaves nothing behind.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Says that the disk is there.
const READY: &str = "ready";
/// What takes the room of others.
const BALLAST: &str = "ballast";
const BLOCK: [u8; 4096] = [0; 4096];

/// A mounted disk. It is gone when this is dropped and the processes that entered it have ended.
pub(crate) struct SmallDisk {
    /// Keeps the namespace until its standard input ends.
    holder: Child,
    directory: PathBuf,
}

impl SmallDisk {
    /// Mounts it at `directory`, for processes that enter it.
    pub(crate) fn mount(directory: &Path, bytes: u64) -> Self {
        std::fs::create_dir_all(directory).expect("a directory");
        let script = format!("mount -t tmpfs -o size=$1 tmpfs \"$2\" && echo {READY} && exec cat");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh", &bytes.to_string()]).arg(directory);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare, of util-linux");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("a piped output")).read_line(&mut line).expect("its output");
        assert_eq!(
            line.trim(),
            READY,
            "no tmpfs: this machine gives no user namespace (kernel.unprivileged_userns_clone, or a container's rules)"
        );
        Self { holder, directory: directory.to_owned() }
    }

    /// A command that runs `program` where the disk is mounted.
    pub(crate) fn enter(&self, program: &OsStr) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--preserve-credentials", "--user", "--mount", "--target", &self.holder.id().to_string(), "--"]).arg(program);
        command
    }

    /// Where a file on it is for those who have not entered.
    pub(crate) fn seen_from_outside(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").expect("an absolute path"))
    }

    fn ballast(&self) -> PathBuf {
        self.seen_from_outside(&self.directory.join(BALLAST))
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) {
        let mut ballast = File::options().create(true).append(true).open(self.ballast()).expect("a file");
        loop {
            match ballast.write(&BLOCK) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("filling the disk: {error}"),
            }
        }
    }

    /// Gives the room back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It has ended already if the test's process is ending.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
