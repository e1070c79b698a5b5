//! Methods about transactions: sending them, and what became of them.

use super::super::calls::{Plan, Sent};
use super::super::look::Look;
use super::super::params;
use super::super::params::TransactionParams;
use super::super::queries::{self, QueryParams};
use super::super::render::{Dependencies, Full, Receipt, Transaction, Transactions};
use super::{Method, Param};
use crate::jsonrpc::schema;
use crate::query::Query;

const ID: Param = Param {
    name: "id",
    summary: "The id that the transaction was given when it was accepted.",
    required: true,
    schema: schema::of::<schema::Id>,
};

const QUERY: Param =
    Param { name: "query", summary: "Which ones; without it all.", required: false, schema: schema::of::<QueryParams<'_>> };

/// The transaction that the examples send, once it is mined.
const TRANSACTION: &str = r#"{ "id": "019aa7c5-9a30-7000-8000-3b6ee1a40001", "idempotencyKey": "order-17", "from": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "to": "0x00000000000000000000000000000000000000aa", "value": "0x1", "data": "0x", "gas": "0x7b0c", "nonce": "0x0",
    "status": "confirmed", "stage": "complete",
    "transactionHash": "0x5b3d9c1e38d1a2c1b6a8be4d7f0c6c1c5d0c0a53a1e6f7c98e1b2f7dbd1d3a01", "generation": 0,
    "created": 1795291200000000, "failureReason": null, "held": null }"#;

pub(super) static METHODS: [Method; 10] = [
    Method {
        name: "ptx_sendTransaction",
        summary: "Accepts a transaction. The answer means that it is on disk: it will be mined exactly once, or reported as failed with a reason.",
        params: &[Param { name: "transaction", summary: "What to send.", required: true, schema: schema::of::<TransactionParams<'_>> }],
        result: ("id", schema::of::<schema::Id>),
        example: (
            r#"[{ "from": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "to": "0x00000000000000000000000000000000000000aa", "value": "1",
                "idempotencyKey": "order-17" }]"#,
            r#""019aa7c5-9a30-7000-8000-3b6ee1a40001""#,
        ),
        plan: |args| {
            args.submissions.push(params::transaction(args.params)?);
            Ok(Plan::Send)
        },
    },
    Method {
        name: "ptx_sendTransactions",
        summary: "Accepts a list of transactions; each ends by itself, in order, as an id or an error.",
        params: &[Param {
            name: "transactions",
            summary: "What to send.",
            required: true,
            schema: schema::of::<Vec<TransactionParams<'_>>>,
        }],
        result: ("ends", schema::of::<Vec<Sent>>),
        example: (
            r#"[[{ "from": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "to": "0x00000000000000000000000000000000000000ab", "value": "2" },
                { "from": "0x00000000000000000000000000000000000000ac" }]]"#,
            r#"[{ "id": "019aa7c5-9a31-7000-8000-3b6ee1a40002" },
                { "error": { "code": -32602, "message": "unknown signer 0x00000000000000000000000000000000000000aC: no key of this engine signs for it; add its key or correct `from`" } }]"#,
        ),
        plan: |args| {
            let elements = params::transactions(args.params, args.most)?.into_iter();
            Ok(Plan::SendMany(elements.map(|element| element.map(|submission| args.submissions.push(submission))).collect()))
        },
    },
    Method {
        name: "ptx_getTransaction",
        summary: "A transaction; null if there is none with this id.",
        params: &[ID],
        result: ("transaction", schema::of::<Option<Transaction<'_>>>),
        example: (r#"["019aa7c5-9a30-7000-8000-3b6ee1a40001"]"#, TRANSACTION),
        plan: |args| Ok(Plan::Look(Look::Transaction(params::id(args.params)?))),
    },
    Method {
        name: "ptx_getTransactionFull",
        summary: "A transaction with every attempt, its receipts and when it reached each step; null if there is none with this id.",
        params: &[ID],
        result: ("transaction", schema::of::<Option<Full<'_>>>),
        example: (
            r#"["019aa7c5-9a30-7000-8000-3b6ee1a40001"]"#,
            r#"{ "id": "019aa7c5-9a30-7000-8000-3b6ee1a40001", "idempotencyKey": "order-17", "from": "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
                "to": "0x00000000000000000000000000000000000000aa", "value": "0x1", "data": "0x", "gas": "0x7b0c", "nonce": "0x0",
                "status": "confirmed", "stage": "complete",
                "transactionHash": "0x5b3d9c1e38d1a2c1b6a8be4d7f0c6c1c5d0c0a53a1e6f7c98e1b2f7dbd1d3a01", "generation": 0,
                "created": 1795291200000000, "failureReason": null, "held": null,
                "attempts": [{ "generation": 0, "attempt": 0, "status": "broadcast",
                    "hash": "0x5b3d9c1e38d1a2c1b6a8be4d7f0c6c1c5d0c0a53a1e6f7c98e1b2f7dbd1d3a01", "maxFeePerGas": "0x77359400",
                    "maxPriorityFeePerGas": "0x3b9aca00", "created": 1795291200000100 }],
                "receipt": { "transactionHash": "0x5b3d9c1e38d1a2c1b6a8be4d7f0c6c1c5d0c0a53a1e6f7c98e1b2f7dbd1d3a01", "generation": 0, "attempt": 0, "blockNumber": "0x1",
                    "blockHash": "0x7c1d0c7b7fd8f3e7a2a6c2f0b6a4f5dbe6bd6b3b7e0d4a3c9ad0b1c2d3e4f501", "transactionIndex": "0x0", "success": true,
                    "gasUsed": "0x5208", "effectiveGasPrice": "0x3b9aca07", "contractAddress": null },
                "orphanedReceipts": [], "displacedBy": [],
                "timeline": { "received": 1795291200000000, "durable": 1795291200002000, "sent": 1795291200003000,
                    "included": 1795291200200000, "confirmed": 1795291200200000 } }"#,
        ),
        plan: |args| Ok(Plan::Look(Look::Full(params::id(args.params)?))),
    },
    Method {
        name: "ptx_getTransactionByIdempotencyKey",
        summary: "The transaction that an idempotency key belongs to; null if there is none.",
        params: &[Param { name: "idempotencyKey", summary: "The key it was sent with.", required: true, schema: schema::of::<String> }],
        result: ("transaction", schema::of::<Option<Transaction<'_>>>),
        example: (r#"["order-17"]"#, TRANSACTION),
        plan: |args| Ok(Plan::Look(Look::ByKey(params::key(args.params)?))),
    },
    Method {
        name: "ptx_getTransactionReceipt",
        summary: "How a transaction was mined; null while it is in no block.",
        params: &[ID],
        result: ("receipt", schema::of::<Option<Receipt>>),
        example: (
            r#"["019aa7c5-9a30-7000-8000-3b6ee1a40001"]"#,
            r#"{ "transactionHash": "0x5b3d9c1e38d1a2c1b6a8be4d7f0c6c1c5d0c0a53a1e6f7c98e1b2f7dbd1d3a01", "generation": 0, "attempt": 0, "blockNumber": "0x1",
                "blockHash": "0x7c1d0c7b7fd8f3e7a2a6c2f0b6a4f5dbe6bd6b3b7e0d4a3c9ad0b1c2d3e4f501", "transactionIndex": "0x0", "success": true,
                "gasUsed": "0x5208", "effectiveGasPrice": "0x3b9aca07", "contractAddress": null }"#,
        ),
        plan: |args| Ok(Plan::Look(Look::Receipt(params::id(args.params)?))),
    },
    Method {
        name: "ptx_getTransactionDependencies",
        summary: "What a transaction was sent to wait for, and which others still wait for it, 1000 at most; null if there is none with this id.",
        params: &[ID],
        result: ("dependencies", schema::of::<Option<Dependencies>>),
        example: (r#"["019aa7c5-9a30-7000-8000-3b6ee1a40001"]"#, r#"{ "dependsOn": [], "prereqOf": [] }"#),
        plan: |args| Ok(Plan::Look(Look::Dependencies(params::id(args.params)?))),
    },
    Method {
        name: "ptx_queryTransactions",
        summary: "A page of transactions, oldest first; all of them by following the cursor.",
        params: &[QUERY],
        result: ("page", schema::of::<Transactions<'_>>),
        example: (r#"[{ "status": "unstarted", "limit": 10 }]"#, r#"{ "transactions": [], "cursor": null }"#),
        plan: |args| Ok(Plan::Look(Look::Query(queries::query(args.params)?))),
    },
    Method {
        name: "ptx_queryTransactionsFull",
        summary: "The same as ptx_queryTransactions, whose transactions have their attempts and receipts too.",
        params: &[QUERY],
        result: ("page", schema::of::<Transactions<'_>>),
        example: (r#"[{ "status": "fatal_error", "limit": 10 }]"#, r#"{ "transactions": [], "cursor": null }"#),
        plan: |args| Ok(Plan::Look(Look::Query(queries::query(args.params)?))),
    },
    Method {
        name: "ptx_queryPendingTransactions",
        summary: "A page of the transactions that are neither confirmed nor failed.",
        params: &[QUERY],
        result: ("page", schema::of::<Transactions<'_>>),
        example: (r#"[{ "from": "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc" }]"#, r#"{ "transactions": [], "cursor": null }"#),
        plan: |args| Ok(Plan::Look(Look::Query(Query { pending: true, ..queries::query(args.params)? }))),
    },
];
