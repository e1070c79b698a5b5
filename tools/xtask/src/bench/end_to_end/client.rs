//! The bench's own process: starts one of its parts and reads the line it prints.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;

use crate::demo::engine::without_settings;
use crate::process::Child;

/// Runs a part with these arguments to its end; `log` takes what it says besides.
pub(super) fn run<T: DeserializeOwned>(binary: &Path, arguments: &[String], log: Option<&Path>) -> anyhow::Result<T> {
    let mut command = Command::new(binary);
    command.args(arguments);
    without_settings(&mut command);
    let stderr = match log {
        Some(path) => Stdio::from(std::fs::File::create(path).with_context(|| format!("creating {}", path.display()))?),
        None => Stdio::inherit(),
    };
    let mut child = Child::start_with_output("end_to_end", &command, Stdio::piped(), stderr)?;
    let text = std::io::read_to_string(child.take_stdout().context("the output is piped")?)?;
    let status = child.wait()?;
    let words = || log.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let part = arguments.first().map_or("", String::as_str);
    ensure!(status.success(), "end_to_end {part} failed ({status}): {}", words().trim());
    serde_json::from_str(&text).with_context(|| format!("end_to_end {part} printed `{}`", text.trim()))
}
