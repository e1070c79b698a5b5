//! What the machine must have beyond Rust: libclang and a C++ compiler for RocksDB, npm's anvil and geth for tests on other chains, cast,
//! viem, ethers and web3.py for tests with other clients, npm's solc for the contracts, and valgrind with gungraun's runner for
//! instruction counts.
//!
//! Each is looked for first. What is missing is installed where that is allowed (apt-get as root; npm into a folder that git
//! ignores, at the version the lock file pins; geth as in [`geth()`]; the runner as in [`gungraun()`]); otherwise the one command to run is printed.

mod clients;
mod contracts;
mod geth;
mod gungraun;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

pub(crate) use self::clients::clients;
pub(crate) use self::contracts::contracts;
pub(crate) use self::geth::geth;
pub(crate) use self::gungraun::gungraun;
use crate::process;

/// Directories where distributions put libclang; `*` stands for a version.
const LIBCLANG_DIRECTORIES: [&str; 7] = [
    "/usr/lib/llvm-*/lib",
    "/usr/lib64/llvm*/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
];

/// Where the pinned node packages are installed, below the workspace's root.
const NPM_DIRECTORY: &str = "tools/npm";

/// Something to build with that comes from the distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Libclang,
    CxxCompiler,
    Npm,
    Python,
    Valgrind,
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Libclang => has_libclang(),
            Self::CxxCompiler => {
                std::env::var("CXX").is_ok_and(|compiler| answers(&compiler)) || ["c++", "g++", "clang++"].into_iter().any(answers)
            }
            Self::Npm => answers("npm"),
            // Without it a virtual environment cannot be made; Debian packages it apart.
            Self::Python => runs(Command::new("python3").args(["-c", "import ensurepip, venv"])),
            Self::Valgrind => answers("valgrind"),
        }
    }

    /// Debian's packages.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Libclang => &["libclang-dev", "clang"],
            Self::CxxCompiler => &["g++"],
            Self::Npm => &["nodejs", "npm"],
            Self::Python => &["python3", "python3-venv"],
            // Its own start needs the symbols of the C library's loader.
            Self::Valgrind => &["valgrind", "libc6-dbg"],
        }
    }
}

/// Everything that building and testing needs.
pub(crate) fn everything(root: &Path) -> anyhow::Result<()> {
    build_tools()?;
    let (anvil, geth, runner, python) = (anvil(root)?, geth()?, gungraun(root)?, clients(root)?);
    contracts(root)?;
    eprintln!(
        "xtask: this machine has libclang, a C++ compiler, valgrind, {}, cast, viem, ethers, solc, {}, {} and {}",
        anvil.display(),
        geth.display(),
        python.display(),
        runner.display()
    );
    Ok(())
}

/// What building needs.
pub(crate) fn build_tools() -> anyhow::Result<()> {
    provide(&[Need::Libclang, Need::CxxCompiler])
}

/// The pinned anvil, installed if it is not there.
pub(crate) fn anvil(root: &Path) -> anyhow::Result<PathBuf> {
    let directory = root.join(NPM_DIRECTORY);
    let pinned = pinned_version(&std::fs::read_to_string(directory.join("package.json"))?)?;
    if let Some(found) = installed_anvil(&directory, &pinned) {
        return Ok(found);
    }
    npm_ci(&directory)?;
    installed_anvil(&directory, &pinned)
        .with_context(|| format!("npm has no anvil {pinned} for this kind of machine ({})", std::env::consts::ARCH))
}

/// Installs what the lock file names.
fn npm_ci(directory: &Path) -> anyhow::Result<()> {
    provide(&[Need::Npm])?;
    let mut npm = Command::new("npm");
    // Without scripts: the packages' own scripts only fetch what the lock file already names.
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(directory);
    process::run("npm ci", &npm)
}

/// The native binary of the installed package, if it is of the pinned version. The package's script is left out: it would start
/// the binary as a child of its own, which nobody here could stop.
fn installed_anvil(directory: &Path, pinned: &str) -> Option<PathBuf> {
    let scope = directory.join("node_modules/@foundry-rs");
    for entry in std::fs::read_dir(scope).ok()?.flatten() {
        let binary = entry.path().join("bin/anvil");
        let manifest = std::fs::read_to_string(entry.path().join("package.json")).unwrap_or_default();
        let version =
            serde_json::from_str::<serde_json::Value>(&manifest).ok().and_then(|json| json["version"].as_str().map(str::to_owned));
        if binary.is_file() && version.as_deref() == Some(pinned) {
            return Some(binary);
        }
    }
    None
}

fn pinned_version(manifest: &str) -> anyhow::Result<String> {
    let manifest: serde_json::Value = serde_json::from_str(manifest).context("tools/npm/package.json is not JSON")?;
    let version =
        manifest["dependencies"]["@foundry-rs/anvil"].as_str().context("tools/npm/package.json does not pin @foundry-rs/anvil")?;
    ensure!(
        version.starts_with(|first: char| first.is_ascii_digit()),
        "tools/npm/package.json must pin one version of anvil, not `{version}`"
    );
    Ok(version.to_owned())
}

/// Installs what is missing of `needs`, or says how.
fn provide(needs: &[Need]) -> anyhow::Result<()> {
    let missing = |needs: &[Need]| needs.iter().copied().filter(|need| !need.is_met()).collect::<Vec<_>>();
    let lacking = missing(needs);
    if lacking.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = lacking.iter().flat_map(|need| need.packages()).copied().collect();
    if !answers("apt-get") {
        bail!("this machine lacks {lacking:?}; install the equivalent of Debian's packages {}", packages.join(" "));
    }
    if !rustix::process::geteuid().is_root() {
        bail!("this machine lacks {lacking:?}; run: sudo apt-get install --yes {}", packages.join(" "));
    }
    eprintln!("xtask: this machine lacks {lacking:?}; installing {}", packages.join(" "));
    apt_update()?;
    apt_install(&packages)?;
    let still = missing(needs);
    ensure!(still.is_empty(), "apt-get installed {} and {still:?} is still not found", packages.join(" "));
    Ok(())
}

fn apt_update() -> anyhow::Result<()> {
    let mut update = Command::new("apt-get");
    update.arg("update");
    process::run("apt-get update", &update)
}

fn apt_install(packages: &[&str]) -> anyhow::Result<()> {
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    process::run("apt-get install", &install)
}

/// Whether `program` can be started and answers `--version`.
fn answers(program: &str) -> bool {
    runs(Command::new(program).arg("--version"))
}

/// Whether a command can be started and succeeds.
fn runs(command: &mut Command) -> bool {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn has_libclang() -> bool {
    if let Some(set) = std::env::var_os("LIBCLANG_PATH") {
        let set = PathBuf::from(set);
        return set.is_file() || holds_libclang(&set);
    }
    let by_llvm_config =
        Command::new("llvm-config").arg("--libdir").stdin(Stdio::null()).output().ok().filter(|output| output.status.success());
    by_llvm_config.is_some_and(|output| holds_libclang(Path::new(String::from_utf8_lossy(&output.stdout).trim())))
        || LIBCLANG_DIRECTORIES.iter().flat_map(|pattern| expand(pattern)).any(|directory| holds_libclang(&directory))
}

fn holds_libclang(directory: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return false;
    };
    entries.flatten().any(|entry| is_libclang(&entry.file_name().to_string_lossy()))
}

/// `libclang.so`, `libclang.so.1`, `libclang-14.so` and the like, but not `libclang-cpp.so.14`, which has another interface.
fn is_libclang(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else {
        return false;
    };
    rest.starts_with(".so")
        || (rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) && rest.contains(".so"))
}

/// The directories a pattern with at most one `*` names.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let matching = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    matching.map(|entry| entry.path().join(after.trim_start_matches('/'))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn libclang_is_told_from_its_relatives() {
        for name in ["libclang.so", "libclang.so.1", "libclang-14.so", "libclang-14.so.1", "libclang-14.0.6.so"] {
            assert!(is_libclang(name), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclangAST.a", "libLLVM.so", "libclang.a"] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn a_pattern_finds_every_version() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["llvm-14/lib", "llvm-19/lib", "other/lib"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let mut found = expand(&format!("{}/llvm-*/lib", dir.path().display()));
        found.sort();
        assert_eq!(found, [dir.path().join("llvm-14/lib"), dir.path().join("llvm-19/lib")]);
        std::fs::write(dir.path().join("llvm-19/lib/libclang.so.1"), "").unwrap();
        assert!(!holds_libclang(&found[0]) && holds_libclang(&found[1]));
    }

    #[test]
    fn a_range_in_place_of_a_pinned_version_is_refused() {
        assert_eq!(pinned_version(r#"{"dependencies":{"@foundry-rs/anvil":"1.7.1"}}"#).unwrap(), "1.7.1");
        assert!(pinned_version(r#"{"dependencies":{"@foundry-rs/anvil":"^1.7.1"}}"#).is_err());
        assert!(pinned_version("{}").is_err());
    }

    #[test]
    fn the_project_pins_anvil() {
        pinned_version(include_str!("../../npm/package.json")).unwrap();
    }

    #[test]
    fn an_anvil_of_another_version_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("node_modules/@foundry-rs/anvil-linux-amd64");
        std::fs::create_dir_all(package.join("bin")).unwrap();
        std::fs::write(package.join("bin/anvil"), "").unwrap();
        std::fs::write(package.join("package.json"), r#"{"version":"1.7.0"}"#).unwrap();
        assert_eq!(installed_anvil(dir.path(), "1.7.1"), None);
        assert_eq!(installed_anvil(dir.path(), "1.7.0"), Some(package.join("bin/anvil")));
    }
}
