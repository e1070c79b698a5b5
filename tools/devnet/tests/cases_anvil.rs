//! The cases against a real anvil. Fails when there is none.

use serde_json::json;

mod cases;

use cases::{Anvil, GAS_LIMIT, Methods, World, kit::Client};

#[test]
fn every_case_shows_what_the_table_says() {
    let config = nodes::anvil::Config { gas_limit: Some(GAS_LIMIT), ..nodes::anvil::Config::default() };
    let anvil = nodes::anvil::start(&config).unwrap_or_else(|error| panic!("{error}"));
    let client = Client::new(&anvil.url());
    // From here on blocks come only when a case mines one.
    client.ask("evm_setIntervalMining", json!([0]));
    let commands = Methods { mine: "evm_mine", set_balance: "anvil_setBalance" };
    cases::run(&World { client, commands: Box::new(commands) }, |case| match case.anvil {
        Anvil::Same => case.devnet,
        Anvil::Differs(seen) => seen,
    });
}
