//! Mistakes on purpose: each must be seen by some seed.

use std::process::ExitCode;

use crate::{Report, run};

/// One mistake, of whichever crate.
#[derive(Clone, Copy)]
enum Mistake {
    Engine(engine::sabotage::Sabotage),
    Storage(storage::sabotage::Sabotage),
}

impl Mistake {
    fn all() -> impl Iterator<Item = Self> {
        let engine = engine::sabotage::Sabotage::ALL.iter().copied().map(Self::Engine);
        engine.chain(storage::sabotage::Sabotage::ALL.iter().copied().map(Self::Storage))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Engine(sabotage) => sabotage.name(),
            Self::Storage(sabotage) => sabotage.name(),
        }
    }

    /// The whole process makes it from now on, and no other.
    fn make(self) {
        let (engine, storage) = match self {
            Self::Engine(sabotage) => (Some(sabotage), None),
            Self::Storage(sabotage) => (None, Some(sabotage)),
        };
        engine::sabotage::choose(engine);
        storage::sabotage::choose(storage);
    }
}

/// Makes the mistake of this name.
///
/// # Errors
/// There is none; which there are.
pub(crate) fn choose(name: &str) -> Result<(), String> {
    let Some(mistake) = Mistake::all().find(|mistake| mistake.name() == name) else {
        let names: Vec<&str> = Mistake::all().map(Mistake::name).collect();
        return Err(format!("no sabotage is called {name}; there are: {}", names.join(", ")));
    };
    mistake.make();
    Ok(())
}

/// Makes every mistake, each until the first of the seeds that sees it. Fails if one is not seen.
pub(crate) fn all(from: u64, seeds: u64, threads: usize) -> ExitCode {
    // A mistake may well end in a panic; its words are in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let mut unseen = 0;
    for mistake in Mistake::all() {
        mistake.make();
        let Report { failed, .. } = run(from, seeds, threads, true);
        match failed.first() {
            Some((seed, broken)) => println!("{:<26} seed {seed}: {broken}", mistake.name()),
            None => {
                unseen += 1;
                println!("{:<26} NOT SEEN in {seeds} seeds from {from} on", mistake.name());
            }
        }
    }
    println!("{} mistakes made, {unseen} not seen", Mistake::all().count());
    if unseen == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
