//! The cases against a devnet in this process.

use std::time::Duration;

use devnet::Config;

mod cases;

use cases::{Anvil, CHAIN_ID, GAS_LIMIT, GETH_DIFFERS, Methods, World, kit::Client};

#[test]
fn every_case_shows_what_the_table_says() {
    let config = Config { gas_limit: GAS_LIMIT, block_time: Duration::ZERO, chain_id: CHAIN_ID, ..Config::default() };
    let node = devnet::start(config).expect("a free port and a valid phrase");
    let commands = Methods { mine: "devnet_mine", set_balance: "devnet_setBalance" };
    cases::run(&World { client: Client::new(&node.url()), commands: Box::new(commands) }, |case| case.devnet);
    node.stop();
}

#[test]
fn the_readme_lists_every_difference_to_anvil() {
    let readme = include_str!("../README.md");
    for case in cases::all() {
        if let Anvil::Differs(seen) = case.anvil {
            let row = format!("| {} | `{}` | `{seen}` |", case.name, case.devnet);
            assert!(readme.contains(&row), "the README lacks the row\n{row}");
        }
    }
}

#[test]
fn the_readme_lists_every_difference_to_geth() {
    let readme = include_str!("../README.md");
    for (name, seen) in GETH_DIFFERS {
        let case = cases::all().into_iter().find(|case| case.name == *name).unwrap_or_else(|| panic!("there is no case `{name}`"));
        let row = format!("| {name} | `{}` | `{seen}` |", case.devnet);
        assert!(readme.contains(&row), "the README lacks the row\n{row}");
    }
}
