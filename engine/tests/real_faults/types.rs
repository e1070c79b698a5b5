//! Transactions of other types than a transfer: contract creations, and authorizations that set the code of accounts (EIP-7702).

use alloy::eips::eip7702::Authorization;
use alloy::primitives::{Address, U256};
use alloy::signers::SignerSync as _;
use serde_json::{Value, json};

use crate::support::chain::{Chain, Kind, key};
use crate::support::node::{quantity, text};
use crate::support::world::{SIGNERS, transfer};
use crate::{on_anvil_and_geth, start};

on_anvil_and_geth!(
    a_contract_is_created_and_its_address_is_in_the_receipt,
    an_account_that_has_delegated_its_code_has_one_transaction_in_flight,
    an_authorization_that_takes_a_nonce_of_ours_is_counted,
);

/// Whose code the account gets.
const DELEGATE: Address = Address::repeat_byte(0xdd);

/// The authorization of one of the accounts, as `authorizationList` has it.
fn authorization(chain: &Chain, account: u32, nonce: u64) -> Value {
    let chain_id = U256::from(quantity(&chain.node.ask("eth_chainId", &json!([]))));
    let authorization = Authorization { chain_id, address: DELEGATE, nonce };
    let signature = key(account).sign_hash_sync(&authorization.signature_hash()).expect("a signature");
    let signed = authorization.into_signed(signature);
    json!({
        "chainId": chain_id, "address": DELEGATE, "nonce": nonce, "yParity": signed.y_parity(), "r": signed.r(), "s": signed.s(),
    })
}

fn code(chain: &Chain, address: &str) -> String {
    text(&chain.node.ask("eth_getCode", &json!([address, "latest"])))
}

fn a_contract_is_created_and_its_address_is_in_the_receipt(kind: Kind) {
    let (mut chain, world) = start(kind, "");
    chain.flow();
    // mstore8(0, 0xfe); return(0, 1): a contract of one byte. The gas is estimated.
    let id = world.send(&json!({"from": SIGNERS[0], "data": "0x60fe60005360016000f3"}));
    let full = world.wait_for_status(&id, "confirmed");
    assert_eq!((&full["to"], &full["receipt"]["success"]), (&Value::Null, &json!(true)), "{full:#}");
    assert_eq!(code(&chain, &text(&full["receipt"]["contractAddress"])), "0xfe");
}

fn an_account_that_has_delegated_its_code_has_one_transaction_in_flight(kind: Kind) {
    let (mut chain, world) = start(kind, "");
    let list = json!([authorization(&chain, 1, 0)]);
    let id = world.send(&json!({"from": SIGNERS[0], "to": SIGNERS[0], "authorizationList": list, "idempotencyKey": "delegate"}));
    chain.flow();
    let full = world.wait_for_status(&id, "confirmed");
    assert_eq!(full["authorizationList"][0]["nonce"], "0x0", "{full:#}");
    assert_eq!(code(&chain, SIGNERS[1]), format!("0xef0100{}", "dd".repeat(20)));
    chain.halt();
    let ids: Vec<String> = [1, 4, 7].map(|number| world.send(&transfer(number))).into();
    world.wait_until("the first is in flight", || {
        let address = world.millrace().call("ptx_getAddress", &json!([SIGNERS[1]]))["result"].clone();
        (&address["window"], &address["inFlight"], &address["waiting"]) == (&json!(1), &json!(1), &json!(2))
    });
    chain.flow();
    world.wait_for_confirmed_among(&ids);
    assert_eq!(chain.nonce(SIGNERS[1]), 4, "the authorization took the first nonce");
    let nonces: Vec<u64> = ids.iter().map(|id| quantity(&world.full(id)["nonce"])).collect();
    assert_eq!(nonces, [1, 2, 3]);
}

fn an_authorization_that_takes_a_nonce_of_ours_is_counted(kind: Kind) {
    let (mut chain, world) = start(kind, "");
    // An account that delegates its own code: the transaction has nonce 0, and the authorization takes nonce 1.
    let list = json!([authorization(&chain, 0, 1)]);
    let id = world.send(&json!({"from": SIGNERS[0], "to": SIGNERS[0], "authorizationList": list}));
    chain.flow();
    world.wait_for_status(&id, "confirmed");
    let ids: Vec<String> = [0, 3].map(|number| world.send(&transfer(number))).into();
    world.wait_for_confirmed_among(&ids);
    let nonces: Vec<u64> = ids.iter().map(|id| quantity(&world.full(id)["nonce"])).collect();
    assert_eq!(nonces, [2, 3]);
}
