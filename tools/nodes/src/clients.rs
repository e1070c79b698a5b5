//! Ethereum clients that others have written, as the project's set-up installs them: cast, viem and ethers from npm, web3.py from PyPI.

use std::path::{Path, PathBuf};

use crate::{NodeError, cache};

/// The pinned version of web3.py.
pub const WEB3: &str = "7.14.0";

/// Where npm's packages are, and the scripts that use them.
#[must_use]
pub fn npm() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../npm"))
}

/// The installed cast. `npm` is the directory of the project that pins it, `tools/npm`.
///
/// # Errors
///
/// When it is not installed.
pub fn cast(npm: &Path) -> Result<PathBuf, NodeError> {
    crate::anvil::packaged(npm, "cast")
}

/// The script of a JavaScript client, and what it needs.
///
/// # Errors
///
/// When the client is not installed.
pub fn script(npm: &Path, client: &str) -> Result<PathBuf, NodeError> {
    let place = npm.join("node_modules");
    if place.join(client).join("package.json").is_file() {
        Ok(npm.join("clients").join(format!("{client}.mjs")))
    } else {
        Err(NodeError::Missing { program: client.to_owned(), place })
    }
}

/// Where the set-up puts Python with the pinned web3.py: `$XDG_CACHE_HOME/millrace/web3-VERSION`, in `~/.cache` if that is not set.
///
/// # Errors
///
/// When the environment names neither.
pub fn web3_directory() -> Result<PathBuf, NodeError> {
    Ok(cache()?.join(format!("web3-{WEB3}")))
}

/// The Python that has web3.py.
///
/// # Errors
///
/// When it is not installed.
pub fn python() -> Result<PathBuf, NodeError> {
    let place = web3_directory()?;
    // Written last by the set-up: an installation that was interrupted is none.
    let done = place.join("installed").is_file();
    if done { Ok(place.join("bin/python")) } else { Err(NodeError::Missing { program: format!("web3.py {WEB3}"), place }) }
}
