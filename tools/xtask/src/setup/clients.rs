//! Ethereum clients of others: cast, viem and ethers from npm beside anvil, and web3.py from PyPI in a virtual environment in the user's cache,
//! where another clone finds it again.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use nodes::clients::{WEB3, cast, python, script, web3_directory};

use super::{NPM_DIRECTORY, Need, npm_ci, provide};
use crate::process;

/// The pinned clients, installed if they are not there; gives the Python that has web3.py.
pub(crate) fn clients(root: &Path) -> anyhow::Result<PathBuf> {
    let npm = root.join(NPM_DIRECTORY);
    if cast(&npm).is_err() || ["viem", "ethers"].into_iter().any(|client| script(&npm, client).is_err()) {
        npm_ci(&npm)?;
        cast(&npm)?;
    }
    if let Ok(found) = python() {
        return Ok(found);
    }
    provide(&[Need::Python])?;
    let directory = web3_directory()?;
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&directory);
    process::run("python3 -m venv", &venv)?;
    let mut pip = Command::new(directory.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", &format!("web3=={WEB3}")]);
    process::run("pip install", &pip).with_context(|| format!("web3.py {WEB3} cannot be installed"))?;
    std::fs::write(directory.join("installed"), "").with_context(|| format!("writing into {}", directory.display()))?;
    Ok(python()?)
}
