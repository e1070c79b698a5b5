//! Methods that change what was accepted (rows A6, A17).

use super::super::calls::Plan;
use super::super::control::{self, ChangeParams, Order, Ordered};
use super::super::params;
use super::{Method, Param};
use crate::jsonrpc::schema;

const ID: Param = Param { name: "id", summary: "The id that the send gave.", required: true, schema: schema::of::<schema::Id> };

pub(super) static METHODS: [Method; 4] = [
    Method {
        name: "ptx_updateTransaction",
        summary: "Gives a transaction that is not complete another content, price or gas limit: a new generation, at the same nonce where it has one.",
        params: &[
            ID,
            Param {
                name: "change",
                summary: "What changes; what is left out stays.",
                required: true,
                schema: schema::of::<ChangeParams<'_>>,
            },
        ],
        result: ("ordered", schema::of::<Ordered>),
        example: (
            r#"["0198f9aa-0000-7000-8000-000000000001", { "value": "0x2" }]"#,
            r#"{ "id": "0198f9aa-0000-7000-8000-000000000001", "state": "updated", "generation": 1 }"#,
        ),
        plan: |args| control::update(args.params).map(Plan::Order),
    },
    Method {
        name: "ptx_suspendTransaction",
        summary: "Holds a transaction that has no nonce yet until it is resumed.",
        params: &[ID],
        result: ("ordered", schema::of::<Ordered>),
        example: (
            r#"["0198f9aa-0000-7000-8000-000000000001"]"#,
            r#"{ "id": "0198f9aa-0000-7000-8000-000000000001", "state": "suspended" }"#,
        ),
        plan: |args| Ok(Plan::Order(Order::Suspend(params::id(args.params)?))),
    },
    Method {
        name: "ptx_resumeTransaction",
        summary: "Ends the suspension of a transaction: it waits in line again.",
        params: &[ID],
        result: ("ordered", schema::of::<Ordered>),
        example: (r#"["0198f9aa-0000-7000-8000-000000000001"]"#, r#"{ "id": "0198f9aa-0000-7000-8000-000000000001", "state": "resumed" }"#),
        plan: |args| Ok(Plan::Order(Order::Resume(params::id(args.params)?))),
    },
    Method {
        name: "ptx_cancelTransaction",
        summary: "Ends a transaction without executing it: at once where it has no nonce yet, else once a transfer to oneself has taken its nonce.",
        params: &[ID],
        result: ("ordered", schema::of::<Ordered>),
        example: (
            r#"["0198f9aa-0000-7000-8000-000000000001"]"#,
            r#"{ "id": "0198f9aa-0000-7000-8000-000000000001", "state": "cancelled" }"#,
        ),
        plan: |args| Ok(Plan::Order(Order::Cancel(params::id(args.params)?))),
    },
];
