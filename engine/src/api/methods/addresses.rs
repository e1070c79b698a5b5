//! Methods about signing addresses and prices.

use super::super::calls::{Plan, Signer};
use super::super::pauses::{self, PauseParams};
use super::super::render::SigningAddress;
use super::{Method, Param};
use crate::jsonrpc::schema;

const ADDRESS: Param =
    Param { name: "address", summary: "A signing address of this engine.", required: true, schema: schema::of::<schema::Address> };

pub(super) static METHODS: [Method; 4] = [
    Method {
        name: "ptx_getAddress",
        summary: "What a signing address is doing and, if it does nothing, why.",
        params: &[ADDRESS],
        result: ("signingAddress", schema::of::<SigningAddress>),
        example: (
            r#"["0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"]"#,
            r#"{ "address": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "state": "idle", "reason": null, "pausedUntilMs": null, "slot": true,
                "placeInLine": null, "nextNonce": "0x2", "window": 500, "maxInFlight": 500, "inFlight": 0, "waiting": 0 }"#,
        ),
        plan: |args| Ok(Plan::Signer(Signer::Show(pauses::signing_address(args.params)?))),
    },
    Method {
        name: "ptx_pauseAddress",
        summary: "Pauses a signing address: nothing new is bound for it until the end of the pause, what is bound goes on, and what is accepted meanwhile waits on disk.",
        params: &[Param {
            name: "pause",
            summary: "The address, and when the pause ends; or the address alone.",
            required: true,
            schema: schema::of::<PauseParams<'_>>,
        }],
        result: ("signingAddress", schema::of::<SigningAddress>),
        example: (
            r#"[{ "address": "0x70997970c51812dc3a010c7d01b50e0d17dc79c8", "forMs": 60000 }]"#,
            r#"{ "address": "0x70997970c51812dc3a010c7d01b50e0d17dc79c8", "state": "paused",
                "reason": "paused by hand until 1795291260000 ms after the Unix epoch", "pausedUntilMs": 1795291260000, "slot": false,
                "placeInLine": null, "nextNonce": null, "window": 500, "maxInFlight": 500, "inFlight": 0, "waiting": 0 }"#,
        ),
        plan: |args| {
            let (address, end) = pauses::pause(args.params)?;
            Ok(Plan::Signer(Signer::Pause(address, end)))
        },
    },
    Method {
        name: "ptx_resumeAddress",
        summary: "Ends the pause of a signing address, if there is one.",
        params: &[ADDRESS],
        result: ("signingAddress", schema::of::<SigningAddress>),
        example: (
            r#"["0x70997970c51812dc3a010c7d01b50e0d17dc79c8"]"#,
            r#"{ "address": "0x70997970c51812dc3a010c7d01b50e0d17dc79c8", "state": "stopped", "reason": null, "pausedUntilMs": null,
                "slot": false, "placeInLine": null, "nextNonce": null, "window": 500, "maxInFlight": 500, "inFlight": 0, "waiting": 0 }"#,
        ),
        plan: |args| Ok(Plan::Signer(Signer::Resume(pauses::resume(args.params)?))),
    },
    Method {
        name: "ptx_clearGasPriceCache",
        summary: "Every shard forgets the gas price it has: the next one that is needed is asked for anew.",
        params: &[],
        result: ("cleared", schema::of::<bool>),
        example: ("[]", "true"),
        plan: |_| Ok(Plan::ClearGasPrice),
    },
];
