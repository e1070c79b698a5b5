//! What was sent is cancelled or updated while it is in a real pool: the replacement must be one that the pool takes.

use serde_json::json;

use crate::support::chain::Kind;
use crate::support::node::text;
use crate::support::world::{SIGNERS, recipient, transfer};
use crate::{on_anvil_and_geth, start};

on_anvil_and_geth!(
    a_transaction_in_the_pool_is_cancelled_by_a_transfer_to_oneself,
    a_transaction_in_the_pool_is_updated_and_restored_and_mined_once,
);

fn a_transaction_in_the_pool_is_cancelled_by_a_transfer_to_oneself(kind: Kind) {
    let (mut chain, world) = start(kind, "txmgr.finality_depth = 2\n");
    let ids = [0, 3].map(|number| world.send(&transfer(number)));
    chain.node.wait_for_pending(2);
    let reply = world.millrace().call("ptx_cancelTransaction", &json!([ids[0]]));
    assert_eq!(reply["result"]["state"], "cancelling", "{reply}");
    world.wait_until("the pool has the self-send", || world.full(&ids[0])["attempts"][1]["status"] == "broadcast");
    chain.flow();
    let full = world.wait_for_status(&ids[0], "fatal_error");
    assert!(text(&full["failureReason"]).contains("cancelled"), "{full:#}");
    world.wait_for_status(&ids[1], "confirmed");
    let mined = &chain.node.mined()[SIGNERS[0]];
    assert_eq!(mined.iter().map(|transaction| text(&transaction["to"])).collect::<Vec<_>>(), [SIGNERS[0].to_owned(), recipient(3)]);
    chain.node.gapless();
}

fn a_transaction_in_the_pool_is_updated_and_restored_and_mined_once(kind: Kind) {
    let (mut chain, world) = start(kind, "");
    let id = world.send(&transfer(0));
    chain.node.wait_for_pending(1);
    for (change, generation) in [(json!({"value": 99}), 1), (json!({"generation": 0}), 2), (json!({"generation": 1}), 3)] {
        let reply = world.millrace().call("ptx_updateTransaction", &json!([id, change]));
        assert_eq!(reply["result"]["generation"], generation, "{reply}");
        world.wait_until("the pool has the replacement", || world.full(&id)["attempts"][generation]["status"] == "broadcast");
    }
    chain.flow();
    let full = world.wait_for_status(&id, "confirmed");
    assert_eq!(full["receipt"]["generation"], 3, "{full:#}");
    let mined = &chain.node.mined()[SIGNERS[0]];
    assert_eq!(mined.iter().map(|transaction| transaction["value"].clone()).collect::<Vec<_>>(), ["0x63"]);
}
