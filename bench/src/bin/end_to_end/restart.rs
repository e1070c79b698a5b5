//! A start of the engine with work on disk: what it costs until it is ready.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use engine::Config;
use engine::metrics::Metrics;
use serde::Serialize;

use crate::clock::process_cpu_us;
use crate::embedded::ready;

/// Options of `end_to_end restart`.
#[derive(Args, Debug)]
pub(crate) struct RestartOptions {
    /// The engine's settings.
    #[arg(long)]
    config: PathBuf,
}

/// What `end_to_end restart` prints.
#[derive(Debug, Serialize)]
struct Restart {
    /// CPU time of all threads from the start of this process until the engine was ready, µs.
    cpu_us: f64,
    /// How long that took from the start of the engine, s.
    seconds: f64,
}

/// Carries out `end_to_end restart`.
pub(crate) async fn restart(options: &RestartOptions) -> anyhow::Result<String> {
    let config = Config::load(&options.config, &[])?;
    let began = Instant::now();
    let (engine, running) = engine::start(&config, Metrics::new())?;
    ready(&engine).await?;
    let restart = Restart { cpu_us: process_cpu_us(), seconds: began.elapsed().as_secs_f64() };
    drop(engine);
    running.stop()?;
    Ok(serde_json::to_string(&restart)?)
}
