//! geth, built by Go from the pinned version of its source into the user's cache, where another clone finds it again.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use nodes::geth::{GO_LEAST, MODULE, VERSION, directory, program};

use super::{answers, apt_install, apt_update};
use crate::process;

/// Debian's package of Go.
const GO_PACKAGE: &str = "golang-go";

/// The pinned geth, built if it is not there.
pub(crate) fn geth() -> anyhow::Result<PathBuf> {
    if let Ok(found) = program() {
        return Ok(found);
    }
    provide_go()?;
    let directory = directory()?;
    std::fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    // Built beside its place and then moved, so that a build that is interrupted leaves no half of a program.
    let room = tempfile::tempdir_in(&directory).context("creating a directory to build geth in")?;
    let mut go = Command::new("go");
    go.args(["install", &format!("{MODULE}@{VERSION}")]).env("GOBIN", room.path());
    process::run("go install", &go).with_context(|| format!("geth {VERSION} cannot be built"))?;
    std::fs::rename(room.path().join("geth"), directory.join("geth")).context("moving geth to its place")?;
    Ok(program()?)
}

/// Sees to it that Go is there, recent enough for the module.
fn provide_go() -> anyhow::Result<()> {
    let (major, minor) = GO_LEAST;
    if installed().is_some_and(|version| version >= GO_LEAST) {
        return Ok(());
    }
    let remedy = format!("install Go {major}.{minor} or newer (https://go.dev/dl) and see that `go version` works");
    let found = installed().map_or_else(|| "has no Go".to_owned(), |(major, minor)| format!("has Go {major}.{minor} only"));
    if !answers("apt-get") || !rustix::process::geteuid().is_root() {
        bail!("this machine {found}, which geth {VERSION} is built with; {remedy}");
    }
    apt_update()?;
    match offered() {
        Some(version) if version >= GO_LEAST => apt_install(&[GO_PACKAGE])?,
        _ => bail!("this machine {found}, and apt-get offers none that is recent enough to build geth {VERSION}; {remedy}"),
    }
    match installed() {
        Some(version) if version >= GO_LEAST => Ok(()),
        _ => bail!("apt-get installed {GO_PACKAGE} and a recent `go` is still not found; {remedy}"),
    }
}

/// Version of the `go` on the path.
fn installed() -> Option<(u32, u32)> {
    let output = Command::new("go").args(["env", "GOVERSION"]).stdin(Stdio::null()).output().ok()?;
    parse(String::from_utf8_lossy(&output.stdout).trim().strip_prefix("go")?)
}

/// Version of the package that apt-get would install.
fn offered() -> Option<(u32, u32)> {
    let output = Command::new("apt-cache").args(["policy", GO_PACKAGE]).stdin(Stdio::null()).output().ok()?;
    candidate(&String::from_utf8_lossy(&output.stdout))
}

/// The line `Candidate: 2:1.19~1` of `apt-cache policy`, with or without an epoch.
fn candidate(policy: &str) -> Option<(u32, u32)> {
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    parse(version.split_once(':').map_or(version, |(_, version)| version))
}

/// The first two numbers of a version: `1.26.8`, `1.26rc1`, `1.19~1`.
fn parse(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_first_two_numbers() {
        assert_eq!(parse("1.26.8"), Some((1, 26)));
        assert_eq!(parse("1.25rc1"), Some((1, 25)));
        assert_eq!(parse("none"), None);
        assert!(parse("1.9") < parse("1.25"));
    }

    #[test]
    fn the_version_that_apt_offers_is_read_without_its_epoch() {
        let policy = "golang-go:\n  Installed: (none)\n  Candidate: 2:1.19~1\n  Version table:\n";
        assert_eq!(candidate(policy), Some((1, 19)));
        assert_eq!(candidate("golang-go:\n  Candidate: (none)\n"), None);
        assert_eq!(candidate(""), None);
    }
}
