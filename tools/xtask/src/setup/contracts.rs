//! What the contracts are compiled and tested with: solc and libraries from npm beside them, anvil and viem from where the other
//! nodes and clients are.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{NPM_DIRECTORY, npm_ci};

/// Where the contracts are, below the workspace's root.
const CONTRACTS_DIRECTORY: &str = "tools/contracts";

/// The directory of the contracts, in which everything that they need is installed.
pub(crate) fn contracts(root: &Path) -> anyhow::Result<PathBuf> {
    super::anvil(root)?;
    for directory in [NPM_DIRECTORY, CONTRACTS_DIRECTORY].map(|directory| root.join(directory)) {
        if !has_pinned(&directory)? {
            npm_ci(&directory)?;
            ensure!(has_pinned(&directory)?, "npm ci has not installed what {} pins", directory.join("package.json").display());
        }
    }
    Ok(root.join(CONTRACTS_DIRECTORY))
}

/// Whether the npm project in `directory` has each of its dependencies at the version it pins.
fn has_pinned(directory: &Path) -> anyhow::Result<bool> {
    let manifest = directory.join("package.json");
    let text = std::fs::read_to_string(&manifest).with_context(|| format!("reading {}", manifest.display()))?;
    let json: serde_json::Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", manifest.display()))?;
    let pinned = json["dependencies"].as_object().with_context(|| format!("{} names no dependencies", manifest.display()))?;
    Ok(pinned.iter().all(|(package, version)| installed_version(directory, package).as_ref() == Some(version)))
}

fn installed_version(directory: &Path, package: &str) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(directory.join("node_modules").join(package).join("package.json")).ok()?;
    let mut json: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(json["version"].take())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_package_counts_as_installed_at_the_pinned_version_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("package.json"), r#"{"dependencies":{"solc":"0.8.37","@scope/library":"5.7.0"}}"#).unwrap();
        let install = |package: &str, version: &str| {
            let place = dir.path().join("node_modules").join(package);
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join("package.json"), format!(r#"{{"version":"{version}"}}"#)).unwrap();
        };
        install("solc", "0.8.37");
        assert!(!has_pinned(dir.path()).unwrap(), "one is missing");
        install("@scope/library", "5.6.0");
        assert!(!has_pinned(dir.path()).unwrap(), "one is of another version");
        install("@scope/library", "5.7.0");
        assert!(has_pinned(dir.path()).unwrap());
    }
}
