//! Methods about contracts: calls that are not sent, and bytes told in words.

use serde_json::{Map, Value};

use super::super::calls::Plan;
use super::super::contracts::{Called, Contract, Decoded, Prepared, StoredAbi};
use super::super::params;
use super::super::params::TransactionParams;
use super::{Method, Param};
use crate::jsonrpc::schema;

const DATA: Param = Param { name: "data", summary: "The bytes.", required: true, schema: schema::of::<schema::Hex> };

pub(super) static METHODS: [Method; 6] = [
    Method {
        name: "ptx_call",
        summary: "Calls a contract without sending anything; its results are decoded if the function names them. `from` need not be a key of this engine.",
        params: &[
            Param { name: "transaction", summary: "The call.", required: true, schema: schema::of::<TransactionParams<'_>> },
            Param {
                name: "block",
                summary: "The block after which it is called, as in eth_call; the latest one if it is left out.",
                required: false,
                schema: schema::of::<Value>,
            },
        ],
        result: ("called", schema::of::<Called>),
        example: (
            r#"[{ "from": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "to": "0x0000000000000000000000000000000000000004", "data": "0xc0ffee" }]"#,
            r#"{ "data": "0xc0ffee", "outputs": null }"#,
        ),
        plan: |args| params::call(args.params).map(Plan::Contract),
    },
    Method {
        name: "ptx_prepareTransaction",
        summary: "A transaction as it would be sent, encoded and with its gas estimated; nothing is sent.",
        params: &[Param {
            name: "transaction",
            summary: "What would be sent.",
            required: true,
            schema: schema::of::<TransactionParams<'_>>,
        }],
        result: ("prepared", schema::of::<Prepared>),
        example: (
            r#"[{ "from": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "to": "0x00000000000000000000000000000000000000aa",
                "function": "transfer(address,uint256)", "params": ["0x00000000000000000000000000000000000000ab", "1000"] }]"#,
            r#"{ "from": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "to": "0x00000000000000000000000000000000000000aa", "value": "0x0",
                "data": "0xa9059cbb00000000000000000000000000000000000000000000000000000000000000ab00000000000000000000000000000000000000000000000000000000000003e8",
                "gas": "0x814e" }"#,
        ),
        plan: |args| Ok(Plan::Contract(Contract::Prepare(Box::new(params::transaction(args.params)?.request)))),
    },
    Method {
        name: "ptx_storeABI",
        summary: "Keeps the functions, events and errors of an ABI on disk, for ptx_decodeCall, ptx_decodeEvent, ptx_decodeError and what a contract says when it reverts.",
        params: &[Param {
            name: "abi",
            summary: "The list that the compiler wrote.",
            required: true,
            schema: schema::of::<Vec<Map<String, Value>>>,
        }],
        result: ("stored", schema::of::<StoredAbi>),
        example: (
            r#"[[{ "type": "function", "name": "transfer", "stateMutability": "nonpayable", "outputs": [{ "name": "", "type": "bool" }],
                   "inputs": [{ "name": "to", "type": "address" }, { "name": "value", "type": "uint256" }] },
                 { "type": "event", "name": "Transfer", "anonymous": false, "inputs": [{ "name": "from", "type": "address", "indexed": true },
                   { "name": "to", "type": "address", "indexed": true }, { "name": "value", "type": "uint256", "indexed": false }] },
                 { "type": "error", "name": "TooLittle", "inputs": [{ "name": "available", "type": "uint256" }] }]]"#,
            r#"{ "hash": "0x7d4c1e56b2a9a1f0f0c3b9e9a0a7fb0c8f2f8e31b1f9e9b9d20b1d6e0c5a4b01", "items": 3 }"#,
        ),
        plan: |args| params::abi(args.params).map(Plan::Contract),
    },
    Method {
        name: "ptx_decodeCall",
        summary: "Call data in words, by the ABIs that are stored.",
        params: &[DATA],
        result: ("decoded", schema::of::<Decoded>),
        example: (
            r#"["0xa9059cbb00000000000000000000000000000000000000000000000000000000000000ab00000000000000000000000000000000000000000000000000000000000003e8"]"#,
            r#"{ "signature": "transfer(address,uint256)",
                "definition": { "type": "function", "name": "transfer", "stateMutability": "nonpayable", "outputs": [{ "name": "", "type": "bool" }],
                    "inputs": [{ "name": "to", "type": "address" }, { "name": "value", "type": "uint256" }] },
                "data": { "to": "0x00000000000000000000000000000000000000ab", "value": "1000" } }"#,
        ),
        plan: |args| Ok(Plan::Contract(Contract::DecodeCall(params::data(args.params)?))),
    },
    Method {
        name: "ptx_decodeEvent",
        summary: "A log in words, by the ABIs that are stored.",
        params: &[
            Param { name: "topics", summary: "The log's topics.", required: true, schema: schema::of::<Vec<schema::Hash>> },
            Param { name: "data", summary: "The log's data.", required: true, schema: schema::of::<schema::Hex> },
        ],
        result: ("decoded", schema::of::<Decoded>),
        example: (
            r#"[["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
                  "0x00000000000000000000000000000000000000000000000000000000000000aa",
                  "0x00000000000000000000000000000000000000000000000000000000000000ab"],
                "0x00000000000000000000000000000000000000000000000000000000000003e8"]"#,
            r#"{ "signature": "Transfer(address,address,uint256)",
                "definition": { "type": "event", "name": "Transfer", "anonymous": false, "inputs": [{ "name": "from", "type": "address", "indexed": true },
                    { "name": "to", "type": "address", "indexed": true }, { "name": "value", "type": "uint256", "indexed": false }] },
                "data": { "from": "0x00000000000000000000000000000000000000aa", "to": "0x00000000000000000000000000000000000000ab", "value": "1000" } }"#,
        ),
        plan: |args| params::event(args.params).map(Plan::Contract),
    },
    Method {
        name: "ptx_decodeError",
        summary: "What a contract said when it reverted in words: Error(string) and Panic(uint256), and by the ABIs that are stored.",
        params: &[DATA],
        result: ("decoded", schema::of::<Decoded>),
        example: (
            r#"["0x4e487b710000000000000000000000000000000000000000000000000000000000000011"]"#,
            r#"{ "signature": "Panic(uint256)", "definition": { "type": "error", "name": "Panic", "inputs": [{ "name": "code", "type": "uint256" }] },
                "data": { "code": "17" } }"#,
        ),
        plan: |args| Ok(Plan::Contract(Contract::DecodeError(params::data(args.params)?))),
    },
];
