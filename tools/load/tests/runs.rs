//! Whole runs of the program: a real dev chain, a real engine, and what remains of a run whose process is killed.
//!
//! The engine's binary is expected beside the load's: `cargo test --workspace` builds both.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest wait for anything: many times what a busy machine needs.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
const ADDRESSES: &str = "16";

/// A process that ends with its guard.
struct Process(Child);

impl Process {
    /// SIGKILL, and the end of it.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A chain, funded addresses, and a directory.
struct World {
    directory: TempDir,
    node: devnet::Handle,
}

impl World {
    fn new() -> Self {
        let config = devnet::Config { block_time: Duration::from_millis(100), ..devnet::Config::default() };
        let world = Self { directory: tempfile::tempdir().unwrap(), node: devnet::start(config).unwrap() };
        let funded = world.load(&["fund", "--addresses", ADDRESSES, "--contracts"], &["--keys-out"]).output().unwrap();
        assert!(funded.status.success(), "{}", said(&funded));
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A command of the load with the node and, behind the last argument, the key file.
    fn load(&self, arguments: &[&str], keys: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_load"));
        command.args(arguments).args(["--node", &self.node.url()]).args(keys).arg(self.path("keys.txt"));
        command.current_dir(self.directory.path()).env_remove("LOAD_MNEMONIC");
        command
    }

    fn run(&self, arguments: &[&str]) -> Command {
        self.load(
            &[&["run", "--record", "record.ndjson", "--report", "json:result.json", "--report", "html:report.html"], arguments].concat(),
            &["--keys"],
        )
    }

    /// Starts the engine; `listen` is where.
    fn engine(&self, listen: &str) -> (Process, String) {
        let binary = Path::new(env!("CARGO_BIN_EXE_load")).with_file_name("millrace");
        assert!(binary.exists(), "{} is missing; build it with `cargo build --release --workspace --bins`", binary.display());
        let config = format!(
            "data_dir = \"data\"\nnode = {{ url = \"{}\" }}\nkeys = {{ file = \"keys.txt\" }}\nshards = {{ count = 1, executor = \"epoll\" }}\n\
             api = {{ listen = \"{listen}\" }}\n",
            self.node.url()
        );
        fs::write(self.path("millrace.toml"), config).unwrap();
        let address = self.path("data").join("api.addr");
        let _ = fs::remove_file(&address);
        let mut command = Command::new(binary);
        command.args(["run", "--config", "millrace.toml"]).current_dir(self.directory.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process(command.spawn().unwrap());
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = fs::read_to_string(&address).unwrap_or_default();
            if !text.trim().is_empty() {
                return (process, text.trim().to_owned());
            }
            assert!(Instant::now() < deadline, "the engine does not listen");
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Starts a run and kills it when its record has this many accepted transactions.
    fn kill_at(&self, accepted: u64, arguments: &[&str]) {
        let load = Process(self.run(arguments).stderr(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + LIMIT;
        while self.accepted() < accepted {
            assert!(Instant::now() < deadline, "{} accepted", self.accepted());
            std::thread::sleep(LOOK_AGAIN);
        }
        load.kill();
    }

    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("record.ndjson")).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |end| end)];
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn accepted(&self) -> u64 {
        let answers = self.events().into_iter().filter(|event| event["event"] == "answer");
        answers.flat_map(|answer| answer["accepted"].as_array().unwrap().clone()).map(|run| run[1].as_u64().unwrap()).sum()
    }

    /// The result, which must be that of a good run of this many transactions.
    fn good_result(&self, output: &Output, transactions: u64) -> Value {
        assert!(output.status.success(), "{}", said(output));
        let result: Value = serde_json::from_slice(&fs::read(self.path("result.json")).unwrap()).unwrap();
        for count in ["offered", "sent", "accepted", "included", "confirmed"] {
            assert_eq!(result[count], transactions, "{count} in {result}");
        }
        for count in ["dropped", "duplicated", "failed", "refused", "gaps", "strangers", "disagreements"] {
            assert_eq!(result[count], 0, "{count} in {result}");
        }
        result
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const STAGES: &str = r#"
mix = { transfer = 4, erc20 = 2, deploy = 1, calldata = 1, storage = 1 }
[[stage]]
name = "up"
ramp = [20, 200]
seconds = 1.5
[[stage]]
name = "steady"
rate = 200
seconds = 1
[[stage]]
name = "flat out"
outstanding = 200
transactions = 635
mix = { transfer = 1 }
"#;

#[test]
fn three_stages_of_a_mix_are_mined_exactly_once_and_reported() {
    let world = World::new();
    fs::write(world.path("stages.toml"), STAGES).unwrap();
    let (_engine, address) = world.engine("127.0.0.1:0");
    let output = world.run(&["--api", &format!("http://{address}"), "--stages", "stages.toml", "--progress", "json"]).output().unwrap();
    let result = world.good_result(&output, 1_000);
    let stages = result["stages"].as_array().unwrap();
    let told: Vec<_> = stages.iter().map(|stage| (stage["name"].as_str().unwrap(), stage["offered"].as_u64().unwrap())).collect();
    assert_eq!(told, [("up", 165), ("steady", 200), ("flat out", 635)]);
    assert!(stages.iter().all(|stage| stage["latency_ms"]["included"]["known"] == stage["offered"]), "{stages:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["event"] == "progress"));
    let report = fs::read_to_string(world.path("report.html")).unwrap();
    assert!(report.contains("every transaction was mined exactly once") && report.matches("<svg").count() == 7);
}

#[test]
fn a_run_goes_on_after_load_and_engine_were_killed() {
    let world = World::new();
    let (engine, address) = world.engine("127.0.0.1:0");
    let api = format!("http://{address}");
    world.kill_at(300, &["--api", &api, "--rate", "400", "--transactions", "1200", "--mix", "storage=1,transfer=3,erc20=1"]);
    engine.kill();
    let early = world.load(&["verify", "--api", &api, "--record", "record.ndjson"], &["--keys"]).output().unwrap();
    assert!(!early.status.success() && said(&early).contains("--resume"), "{}", said(&early));
    let twice = world.run(&["--direct", "--transactions", "5"]).output().unwrap();
    assert!(!twice.status.success() && said(&twice).contains("add --resume"), "{}", said(&twice));

    let (_engine, _) = world.engine(&address);
    let output = world.run(&["--api", &api, "--resume"]).output().unwrap();
    world.good_result(&output, 1_200);
    let events = world.events();
    assert_eq!(events.iter().filter(|event| event["event"] == "resumed").count(), 1);
    assert_eq!(events.last().unwrap()["event"], "settled");
    let again = world.run(&["--api", &api, "--resume"]).output().unwrap();
    world.good_result(&again, 1_200);
}

#[test]
fn a_node_is_driven_without_an_engine_also_after_a_crash() {
    let world = World::new();
    world.kill_at(200, &["--direct", "--rate", "400", "--transactions", "1000", "--mix", "transfer,erc20,deploy,calldata,storage"]);
    let output = world.run(&["--direct", "--resume"]).output().unwrap();
    let result = world.good_result(&output, 1_000);
    assert_eq!(result["latency_ms"]["durable"]["known"], 0, "nobody wrote it to a disk");
    assert!(result["latency_ms"]["included"]["known"].as_u64().unwrap() > 900, "{result}");
}

#[test]
fn what_cannot_be_run_is_refused_with_the_value_and_what_to_do() {
    let world = World::new();
    fs::write(world.path("bad.toml"), "[[stage]]\nname = \"a\"\nrate = -3\nseconds = 5\n").unwrap();
    for (arguments, parts) in [
        (&["--stages", "bad.toml"][..], &["bad.toml", "stage 1 (`a`)", "rate -3"][..]),
        (&["--stages", "none.toml"], &["none.toml"]),
        (&["--transactions", "5", "--mix", "swap"], &["unknown scenario `swap`", "erc20"]),
        (&["--transactions", "5", "--rate", "0"], &["rate 0"]),
        (&["--seconds", "5"], &["give `transactions`"]),
    ] {
        let output = world.run(&[&["--direct"], arguments].concat()).output().unwrap();
        assert!(!output.status.success());
        for part in parts {
            assert!(said(&output).contains(part), "no `{part}` in {}", said(&output));
        }
        assert!(!world.path("record.ndjson").exists(), "a run that cannot begin leaves no record");
    }
}
