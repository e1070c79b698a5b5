//! `millrace doctor` and `millrace check-config` as an operator calls them.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::process::Output;

use serde_json::Value;
use storage::{Options, RocksStore};
use support::{Place, failure, said};

const NODE: &str = "http://127.0.0.1:1";

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn the_doctor_looks_at_everything_and_measures_beside_an_engine_that_runs() {
    let place = Place::new();
    let config = place.config(NODE, "");
    let running = RocksStore::open(&place.data_dir(), &Options::default()).expect("a new store");
    let before = std::fs::read_dir(place.data_dir()).expect("the data directory").count();

    let json = said(&["doctor", "--json"], &config);
    let report: Value = serde_json::from_str(&text(&json)).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    let checks: Vec<_> = findings.iter().map(|finding| finding["check"].as_str().expect("a name")).collect();
    for check in ["kernel", "io_uring", "locked memory", "open files", "cores", "pinning", "free disk", "fsync of 4 KiB", "signing"] {
        assert!(checks.contains(&check), "{check} in {checks:?}");
    }
    assert!(report["figures"]["sign_us"].as_f64().is_some_and(|us| us > 1.0), "{report}");
    assert!(report["figures"]["fsync"]["p99_us"].as_f64().is_some_and(|us| us > 0.0), "{report}");
    // What is wrong with the machine of the test decides the code, and nothing else does.
    let has_problem = findings.iter().any(|finding| finding["verdict"] == "problem");
    assert_eq!(json.status.code(), Some(i32::from(has_problem)), "{report}");
    assert!(findings.iter().all(|finding| finding["verdict"] != "advice" || finding["change"].is_string()), "{report}");

    let table = text(&said(&["doctor", "--set", "profile=laptop"], &config));
    for part in ["| what to change", "µs a signature", "p99 ", "profile laptop"] {
        assert!(table.contains(part), "{part} in\n{table}");
    }
    assert_eq!(std::fs::read_dir(place.data_dir()).expect("the data directory").count(), before, "nothing is left behind");
    drop(running);
}

#[test]
fn the_doctor_makes_no_data_directory_and_refuses_settings_as_the_engine_does() {
    let place = Place::new();
    let config = place.config(NODE, "");
    assert!(text(&said(&["doctor"], &config)).contains("µs a signature"));
    assert!(!place.data_dir().exists());
    let config = place.config(NODE, "profile = \"fast\"\n");
    let message = failure("doctor", &config);
    assert!(message.contains("profile = \"fast\"") && message.contains("many-addresses"), "{message}");
}

#[test]
fn the_settings_in_effect_are_shown_with_those_of_the_profile_and_without_secrets() {
    let place = Place::new();
    let config = place.config("http://127.0.0.1:1/KEY", "");
    let shown = said(&["check-config", "--set", "profile=laptop", "--set", "storage.database.open_files_max=300"], &config);
    assert!(shown.status.success(), "{shown:?}");
    let shown = text(&shown);
    for part in ["the settings are good", "profile = \"laptop\"", "open_files_max = 300", "pin = false", "url = \"http://127.0.0.1:1\""] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("KEY") && !shown.contains("junk"), "{shown}");
}
