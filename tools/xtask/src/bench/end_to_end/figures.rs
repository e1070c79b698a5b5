//! What was measured, and the ratios of it.

use serde::{Deserialize, Serialize, Serializer};

use super::growth::Growth;
use crate::bench::spread::Spread;
use crate::demo::load::Floor;
use crate::demo::options::Executor;
use crate::demo::report::Quantiles;

/// One of what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    /// The node alone.
    Blast,
    /// What a user would write instead.
    Alloy,
    /// The engine as a library.
    Embedded(Executor),
    /// The engine behind its JSON-RPC.
    Served(Executor),
}

impl System {
    /// For people.
    pub(super) fn name(self) -> String {
        match self {
            Self::Blast => "signed beforehand, blasted at the node".to_owned(),
            Self::Alloy => "alloy provider, waits for receipts".to_owned(),
            Self::Embedded(executor) => format!("millrace embedded, {}", executor.name()),
            Self::Served(executor) => format!("millrace by JSON-RPC, {}", executor.name()),
        }
    }

    /// Whether millrace is in it.
    pub(super) fn is_engine(self) -> bool {
        matches!(self, Self::Embedded(_) | Self::Served(_))
    }
}

impl Serialize for System {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// What one run of a system came to; `None` where it has no such figure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Transactions a second.
    pub(super) tps: Option<f64>,
    /// CPU time for a transaction, µs.
    pub(super) cpu_us: Option<f64>,
    /// The part of it of the thread that submits, where the engine is embedded, µs.
    pub(super) submit_cpu_us: Option<f64>,
    /// The part of it of the shards' threads, where the engine is embedded, µs.
    pub(super) shard_cpu_us: Option<f64>,
    /// HTTP requests to the node for a transaction.
    pub(super) http_requests: Option<f64>,
    /// fsyncs for a transaction.
    pub(super) fsyncs: Option<f64>,
    /// From its block seen to it confirmed, where the engine tells, s.
    pub(super) seen_to_confirmed_s: Option<f64>,
}

/// A step of alloy's sweep, as its process tells it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Step {
    /// Transactions at a time.
    pub(super) concurrency: u16,
    /// Transactions with a receipt.
    pub(super) confirmed: u64,
    /// Tasks that ended early.
    pub(super) failed: u64,
    /// How long it took, s.
    pub(super) seconds: f64,
    /// CPU time of the process, µs.
    pub(super) cpu_us: f64,
    /// Why the first task failed.
    pub(super) error: Option<String>,
}

impl Step {
    /// Transactions a second.
    pub(super) fn tps(&self) -> f64 {
        self.confirmed as f64 / self.seconds
    }

    /// CPU time for a transaction, µs; none without a transaction.
    pub(super) fn cpu_us_each(&self) -> Option<f64> {
        (self.confirmed > 0).then(|| self.cpu_us / self.confirmed as f64)
    }

    /// The figures of a round in which this was the best.
    pub(super) fn sample(&self) -> Sample {
        Sample { tps: Some(self.tps()), cpu_us: self.cpu_us_each(), ..Sample::default() }
    }
}

/// The step with the highest throughput.
pub(super) fn best(sweep: &[Step]) -> Option<&Step> {
    sweep.iter().max_by(|a, b| a.tps().total_cmp(&b.tps()))
}

/// One round.
#[derive(Clone, Debug)]
pub(super) struct Round {
    /// To sign and encode one transfer.
    pub(super) floor: Floor,
    /// What each system came to.
    pub(super) samples: Vec<(System, Sample)>,
}

impl Round {
    fn of(&self, system: System) -> Sample {
        self.samples.iter().find(|(found, _)| *found == system).map(|(_, sample)| *sample).unwrap_or_default()
    }
}

/// A system over all rounds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) system: System,
    /// Transactions a second.
    pub(super) tps: Option<Spread>,
    /// CPU time for a transaction, µs.
    pub(super) cpu_us: Option<Spread>,
    /// CPU time ÷ the floor.
    pub(super) cpu_to_floor: Option<Spread>,
    /// CPU time ÷ the floor while all cores are busy, as they are in the run.
    pub(super) cpu_to_busy_floor: Option<Spread>,
    /// CPU time of the shards' threads ÷ the floor.
    pub(super) shard_cpu_to_floor: Option<Spread>,
    /// The same ÷ the floor while all cores are busy.
    pub(super) shard_cpu_to_busy_floor: Option<Spread>,
    /// TPS ÷ TPS of the blast.
    pub(super) tps_to_blast: Option<Spread>,
    /// CPU time of alloy's process for a transaction ÷ the engine's.
    pub(super) alloy_cpu_to_ours: Option<Spread>,
    /// HTTP requests to the node for a transaction.
    pub(super) http_requests: Option<Spread>,
    /// fsyncs for a transaction.
    pub(super) fsyncs: Option<Spread>,
    /// The part of the CPU time of the thread that submits, where the engine is embedded, µs.
    pub(super) submit_cpu_us: Option<Spread>,
}

/// All systems in the order of the first round. Each ratio is taken within a round.
pub(super) fn rows(rounds: &[Round]) -> Vec<Row> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let row = |&(system, _): &(System, Sample)| {
        let over = |figure: &dyn Fn(&Round, Sample) -> Option<f64>| {
            Spread::of(rounds.iter().filter_map(|round| figure(round, round.of(system)).filter(|value| value.is_finite())))
        };
        Row {
            system,
            tps: over(&|_, sample| sample.tps),
            cpu_us: over(&|_, sample| sample.cpu_us),
            cpu_to_floor: over(&|round, sample| Some(sample.cpu_us? / round.floor.sign_us)),
            cpu_to_busy_floor: over(&|round, sample| Some(sample.cpu_us? / round.floor.busy_us)),
            shard_cpu_to_floor: over(&|round, sample| Some(sample.shard_cpu_us? / round.floor.sign_us)),
            shard_cpu_to_busy_floor: over(&|round, sample| Some(sample.shard_cpu_us? / round.floor.busy_us)),
            tps_to_blast: over(&|round, sample| Some(sample.tps? / round.of(System::Blast).tps?)),
            alloy_cpu_to_ours: over(&|round, sample| {
                let alloy = round.of(System::Alloy).cpu_us.filter(|_| system.is_engine())?;
                Some(alloy / sample.cpu_us?)
            }),
            http_requests: over(&|_, sample| sample.http_requests),
            fsyncs: over(&|_, sample| sample.fsyncs),
            submit_cpu_us: over(&|_, sample| sample.submit_cpu_us),
        }
    };
    first.samples.iter().map(row).collect()
}

/// Latencies at half of the throughput.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HalfLoad {
    /// What the shards ran on.
    pub(super) executor: &'static str,
    /// Transactions a second, open loop.
    pub(super) rate: f64,
    /// What was measured, and its quantiles in ms.
    pub(super) latency_ms: Vec<(&'static str, Quantiles)>,
    /// From a block seen to a transaction in it confirmed, the mean in ms.
    pub(super) seen_to_confirmed_ms: Option<f64>,
}

/// All of it. The fields are the keys of its JSON.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Figures {
    /// The chain.
    pub(super) node: &'static str,
    /// Transactions of a run.
    pub(super) transactions: u64,
    /// Signing addresses.
    pub(super) addresses: u64,
    /// Rounds.
    pub(super) rounds: u32,
    /// Cores, shared by all.
    pub(super) cores: usize,
    /// CPU time to sign and encode one transfer, µs.
    pub(super) floor_us: Spread,
    /// The same while all cores do it, µs.
    pub(super) busy_floor_us: Spread,
    /// The systems.
    pub(super) rows: Vec<Row>,
    /// alloy's steps in the first round.
    pub(super) sweep: Vec<Step>,
    /// Gas limit of a block.
    pub(super) block_gas: u64,
    /// The part of it that the fullest block of a blast has used.
    pub(super) fullest_block: f64,
    /// Latencies at half of the load.
    pub(super) half_load: HalfLoad,
    /// devnet's CPU time for a transfer ÷ recovering one sender, if that was asked for.
    pub(super) devnet_to_recovery: Option<Spread>,
    /// The same costs with more of everything, if that was asked for.
    pub(super) growth: Option<Growth>,
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const EMBEDDED: System = System::Embedded(Executor::Epoll);

    fn sample(tps: f64, cpu_us: f64) -> Sample {
        Sample { tps: Some(tps), cpu_us: Some(cpu_us), ..Sample::default() }
    }

    fn step(concurrency: u16, confirmed: u64) -> Step {
        Step { concurrency, confirmed, failed: 0, seconds: 2.0, cpu_us: 5_000.0, error: None }
    }

    /// Two rounds of three systems.
    fn rounds() -> Vec<Round> {
        let blast = |tps| Sample { tps: Some(tps), ..Sample::default() };
        let first = vec![(System::Blast, blast(1000.0)), (System::Alloy, sample(100.0, 500.0)), (EMBEDDED, sample(900.0, 25.0))];
        let second = vec![(EMBEDDED, sample(1800.0, 50.0)), (System::Alloy, sample(100.0, 500.0)), (System::Blast, blast(1500.0))];
        let floor = |sign_us| Floor { sign_us, busy_us: 30.0 };
        vec![Round { floor: floor(20.0), samples: first }, Round { floor: floor(25.0), samples: second }]
    }

    /// Figures as a run would give them.
    pub(in super::super) fn figures() -> Figures {
        let quantiles = serde_json::from_value(serde_json::json!({"p50": 1.5, "p90": 2.0, "p99": 3.0, "p999": 4.0, "max": null})).unwrap();
        Figures {
            node: "devnet",
            transactions: 2000,
            addresses: 64,
            rounds: 2,
            cores: 2,
            floor_us: Spread::of([20.0, 25.0]).unwrap(),
            busy_floor_us: Spread::of([30.0, 30.0]).unwrap(),
            rows: rows(&rounds()),
            sweep: vec![step(1, 10), step(4, 40), step(16, 20)],
            block_gas: 1_000,
            fullest_block: 0.25,
            half_load: HalfLoad {
                executor: "epoll",
                rate: 450.0,
                latency_ms: vec![("request to durable", quantiles)],
                seen_to_confirmed_ms: Some(2.5),
            },
            devnet_to_recovery: None,
            growth: None,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round_whatever_its_order() {
        let rows = rows(&rounds());
        assert_eq!(rows.iter().map(|row| row.system).collect::<Vec<_>>(), [System::Blast, System::Alloy, EMBEDDED]);
        let ends = |spread: Option<Spread>| spread.map(|spread| (spread.least, spread.greatest));
        assert_eq!(ends(rows[2].cpu_to_floor), Some((1.25, 2.0)));
        assert_eq!(ends(rows[2].tps_to_blast), Some((0.9, 1.2)));
        assert_eq!(ends(rows[2].alloy_cpu_to_ours), Some((10.0, 20.0)));
        assert_eq!((ends(rows[1].alloy_cpu_to_ours), ends(rows[0].cpu_us), ends(rows[2].fsyncs)), (None, None, None));
    }

    #[test]
    fn the_best_step_is_the_one_with_the_highest_throughput() {
        let sweep = figures().sweep;
        let best = best(&sweep).unwrap();
        assert_eq!((best.concurrency, best.sample()), (4, sample(20.0, 125.0)));
        assert_eq!(step(1, 0).cpu_us_each(), None);
    }
}
