//! Queries about transactions, as callers write them.

use alloy::primitives::B256;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::Direction;

use super::params::{address, fixed, single};
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::quantity::Text;
use crate::jsonrpc::schema;
use crate::query::{Cursor, DEFAULT_PAGE, MAX_PAGE, Query};
use crate::view::Status;

/// A query as callers write it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct QueryParams<'a> {
    /// Only of this signing address.
    #[serde(borrow)]
    #[schemars(with = "Option<schema::Address>")]
    from: Option<Text<'a>>,
    /// Only with this status.
    status: Option<Status>,
    /// Only the one that has an attempt with this hash.
    #[serde(borrow)]
    #[schemars(with = "Option<schema::Hash>")]
    hash: Option<Text<'a>>,
    /// Only those whose idempotency key begins so, by key.
    #[serde(borrow)]
    idempotency_key_prefix: Option<Text<'a>>,
    /// Oldest first, which is the default, or newest first.
    sort: Option<Sort>,
    /// Most on the page, 100 unless it is given.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
    /// Where the page before ended.
    #[serde(borrow)]
    cursor: Option<Text<'a>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    Asc,
    Desc,
}

/// `ptx_queryTransactions([{…}])`; without params: everything, oldest first.
pub(super) fn query(params: Option<&RawValue>) -> Result<Query, RpcError> {
    const USAGE: &str = "[{from?, status?, hash?, idempotencyKeyPrefix?, sort?, limit?, cursor?}]";
    let raw = match params {
        Some(_) => single::<QueryParams<'_>>(params, USAGE)?,
        None => QueryParams::default(),
    };
    let limit = raw.limit.unwrap_or(DEFAULT_PAGE);
    if limit == 0 || limit > MAX_PAGE {
        return Err(RpcError::params(format!("limit: {limit} is not between 1 and {MAX_PAGE}; use the cursor for more")));
    }
    let hash = |text: &Text<'_>| fixed("hash", &text.0, "a transaction hash: write 0x and 64 hexadecimal digits");
    let cursor = |text: &Text<'_>| text.0.parse::<Cursor>().map_err(|error| RpcError::params(error.to_string()));
    Ok(Query {
        from: raw.from.as_ref().map(|text| address("from", &text.0)).transpose()?,
        status: raw.status,
        pending: false,
        hash: raw.hash.as_ref().map(hash).transpose()?.map(B256::from),
        idempotency_key_prefix: raw.idempotency_key_prefix.map(|text| text.0.into_owned()),
        sort: if matches!(raw.sort, Some(Sort::Desc)) { Direction::Backward } else { Direction::Forward },
        limit,
        cursor: raw.cursor.as_ref().map(cursor).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn a_query_is_read_and_its_mistakes_are_named() {
        let parsed = query(Some(&raw(r#"[{"status":"unconfirmed","sort":"desc","limit":5}]"#))).expect("a query");
        assert_eq!((parsed.status, parsed.sort, parsed.limit), (Some(Status::Unconfirmed), Direction::Backward, 5));
        assert_eq!(query(None).expect("a query").limit, DEFAULT_PAGE);
        for (json, shown) in [
            (r#"[{"stat":1}]"#, "unknown field `stat`"),
            (r#"[{"status":"done"}]"#, "unknown variant `done`"),
            (r#"[{"limit":0}]"#, "limit: 0"),
            (r#"[{"limit":100000}]"#, "limit: 100000"),
            (r#"[{"cursor":"zzz"}]"#, "cursor: "),
            (r#"[{"hash":"0x1"}]"#, "hash: \"0x1\""),
        ] {
            let error = query(Some(&raw(json))).expect_err(json);
            assert!(error.message.contains(shown), "{json}: {}", error.message);
        }
    }
}
