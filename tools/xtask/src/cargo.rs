//! Cargo, always with the same target directory.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// The cargo that runs this, or the one on the path.
fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The workspace's root directory.
pub(crate) fn workspace_root() -> anyhow::Result<PathBuf> {
    let output =
        Command::new(program()).args(["locate-project", "--workspace", "--message-format", "plain"]).output().context("starting cargo")?;
    ensure!(output.status.success(), "not inside the project: {}", String::from_utf8_lossy(&output.stderr).trim());
    let manifest = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    Ok(manifest.parent().context("a manifest has a directory")?.to_owned())
}

/// Features of an engine that can crash at named points and make mistakes on purpose.
pub(crate) const FAULTS: &str = "millrace-simulate/points,millrace-simulate/sabotage";

/// Where set-up keeps what it has built: `millrace` in the user's cache directory.
pub(crate) fn cache_dir() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set; set one to say where tools are kept")?.join("millrace"))
}

/// Where everything is built: `CARGO_TARGET_DIR` if set, else the user's cache directory, which outlives the checkout.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    choose_target_dir(set("CARGO_TARGET_DIR"), set("XDG_CACHE_HOME"), set("HOME"))
        .context("none of CARGO_TARGET_DIR, XDG_CACHE_HOME and HOME is set; set one to say where to build")
}

fn choose_target_dir(set: Option<PathBuf>, cache: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    set.or_else(|| cache.or_else(|| home.map(|home| home.join(".cache"))).map(|cache| cache.join("millrace/target")))
}

/// A cargo command in the workspace, building into [`target_dir`].
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(root).env("CARGO_TARGET_DIR", target_dir()?);
    // What cargo tells this program of its own package. ring's build script watches it: with it left in place, everything above ring
    // would be compiled anew each time after a cargo that was started by hand.
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if ours {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// The workspace's binaries.
#[derive(Debug)]
pub(crate) struct Binaries {
    /// The engine.
    pub(crate) millrace: PathBuf,
    /// The embedded dev chain.
    pub(crate) devnet: PathBuf,
    /// The load.
    pub(crate) load: PathBuf,
    /// The parts of the end-to-end bench that need a process of their own.
    pub(crate) end_to_end: PathBuf,
}

/// Builds the binaries, and says where they are.
///
/// Always the whole workspace: cargo unites the features of what it builds together, so that each selection of packages would
/// compile the dependencies anew, and none would share them with `cargo test --workspace`.
pub(crate) fn build_binaries(root: &Path) -> anyhow::Result<Binaries> {
    let command = cargo(root, &["build", "--release", "--workspace", "--bins"])?;
    crate::process::run("cargo build", &command)?;
    let directory = absolute(root, target_dir()?).join("release");
    let binary = |name| directory.join(name);
    Ok(Binaries { millrace: binary("millrace"), devnet: binary("devnet"), load: binary("load"), end_to_end: binary("end_to_end") })
}

/// Builds an engine on the system's allocator, in a place of its own as [`build_simulator`] does.
pub(crate) fn build_engine_to_watch(root: &Path) -> anyhow::Result<PathBuf> {
    let arguments = ["build", "--release", "--workspace", "--bin", "millrace", "--features", "millrace-engine/system-allocator"];
    crate::process::run("cargo build of an engine to watch", &cargo(root, &arguments)?)?;
    let directory = absolute(root, target_dir()?).join("release");
    let own = directory.join("millrace-system-allocator");
    std::fs::copy(directory.join("millrace"), &own).with_context(|| format!("copying the engine to {}", own.display()))?;
    Ok(own)
}

/// Builds the simulator with an engine that can crash at named points and make mistakes on purpose, and says where it is: in a
/// place of its own, so that what [`build_binaries`] has built stays as it is.
///
/// Only the project's own crates are compiled anew for that, because no feature of a dependency depends on it.
pub(crate) fn build_simulator(root: &Path) -> anyhow::Result<PathBuf> {
    let command = cargo(root, &["build", "--release", "--workspace", "--bin", "simulate", "--features", FAULTS])?;
    crate::process::run("cargo build of the simulator", &command)?;
    let directory = absolute(root, target_dir()?).join("release");
    let own = directory.join("simulate-with-faults");
    std::fs::copy(directory.join("simulate"), &own).with_context(|| format!("copying the simulator to {}", own.display()))?;
    Ok(own)
}

/// A relative target directory is relative to where cargo runs.
fn absolute(root: &Path, directory: PathBuf) -> PathBuf {
    if directory.is_absolute() { directory } else { root.join(directory) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_directory_is_the_set_one_or_in_the_cache() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(choose_target_dir(path("/t"), path("/c"), path("/h")), path("/t"));
        assert_eq!(choose_target_dir(None, path("/c"), path("/h")), path("/c/millrace/target"));
        assert_eq!(choose_target_dir(None, None, path("/h")), path("/h/.cache/millrace/target"));
        assert_eq!(choose_target_dir(None, None, None), None);
    }

    #[test]
    fn a_relative_target_directory_is_taken_from_the_root() {
        assert_eq!(absolute(Path::new("/r"), PathBuf::from("t")), PathBuf::from("/r/t"));
        assert_eq!(absolute(Path::new("/r"), PathBuf::from("/t")), PathBuf::from("/t"));
    }
}
