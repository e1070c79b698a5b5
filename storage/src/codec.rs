//! Values: one version byte, then the content.
//!
//! Rows are postcard: compact, and without names, so their layout must never change under the same version. A change to a row is a
//! new version: keep the old struct, name both where the row is declared, and give the new one a `From` of the old. Encoding always
//! writes the newest. Index entries are fixed layouts behind the same byte.
//!
//! Encoding appends to a buffer that is used again and cannot fail. Decoding trusts nothing: an unknown version, a short value, or
//! bytes left over are errors, which the reader reports as [`StoreError::Corrupt`](crate::StoreError::Corrupt).

use alloy::primitives::{Address, B256, Bytes, U256};
use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{
    record::{
        AbiRow, AttemptRow, Authorization, Dependency, DependentRow, EndingsRow, Extras, FailureRow, Fees, GenerationRow, HeadRow,
        ListenerRow, Place, ReceiptRow, Request, RivalRow, SidecarRow, TransactionRow,
    },
    store::Family,
};

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// There is no value where there should be at least a version byte.
    #[error("it is empty")]
    Empty,
    /// Written by a newer millrace, or damaged.
    #[error("it has version {found}, and this millrace reads versions up to {supported}")]
    Version {
        /// The version byte.
        found: u8,
        /// The newest version this crate writes.
        supported: u8,
    },
    /// An index entry of the wrong length.
    #[error("it has {found} bytes, not {expected}")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes of the layout.
        expected: usize,
    },
    /// The content does not fit the row.
    #[error("its content does not decode: {0}")]
    Content(postcard::Error),
}

/// A row: what a family keeps under a key.
pub trait Row: Serialize + DeserializeOwned {
    /// Where it is kept.
    const FAMILY: Family;
    /// The version that is written.
    const VERSION: u8;

    /// Reads the content of a value of `version`, older ones too.
    ///
    /// # Errors
    /// [`CodecError::Version`] for a version nobody knows; [`CodecError::Content`] when it does not decode.
    fn decode_version(version: u8, content: &[u8]) -> Result<Self, CodecError>;
}

/// A row: its family, the version that is written, and how each version is read. One whose first layout is still the only one needs no more
/// than its family.
macro_rules! row {
    ($row:ty, $family:expr) => {
        row!($row, $family, 1: { 1 => content_of });
    };
    ($row:ty, $family:expr, $newest:literal: { $($version:pat => $read:expr),+ $(,)? }) => {
        impl Row for $row {
            const FAMILY: Family = $family;
            const VERSION: u8 = $newest;

            fn decode_version(version: u8, content: &[u8]) -> Result<Self, CodecError> {
                match version {
                    $($version => $read(content),)+
                    found => Err(CodecError::Version { found, supported: Self::VERSION }),
                }
            }
        }
    };
}

row!(TransactionRow, Family::Transactions, 3: {
    1 => older::<TransactionRowV1, _>,
    2 => older::<TransactionRowV2, _>,
    3 => content_of,
});
row!(GenerationRow, Family::Generations, 2: { 1 => older::<GenerationRowV1, _>, 2 => content_of });
// The second version has one kind of price more, behind the others.
row!(AttemptRow, Family::Attempts, 2: { 1 | 2 => content_of });
row!(ReceiptRow, Family::Receipts);
row!(HeadRow, Family::Heads);
row!(FailureRow, Family::Failures);
row!(RivalRow, Family::Rivals);
row!(AbiRow, Family::Abis);
row!(DependentRow, Family::Dependents);
row!(EndingsRow, Family::Endings);
row!(ListenerRow, Family::Listeners);
row!(SidecarRow, Family::Sidecars);

/// A [`TransactionRow`] of version 1, before there were places, dependencies and authorizations.
#[derive(serde::Deserialize)]
struct TransactionRowV1 {
    generation: u16,
    request: RequestV1,
    idempotency_key: Option<String>,
    accepted_at: u64,
}

/// A [`Request`] in those rows, before there were authorizations.
#[derive(serde::Deserialize)]
struct RequestV1 {
    from: Address,
    to: Option<Address>,
    value: U256,
    data: Bytes,
    gas: Option<u64>,
    fees: Fees,
}

impl From<RequestV1> for Request {
    fn from(request: RequestV1) -> Self {
        let RequestV1 { from, to, value, data, gas, fees } = request;
        Self { from, to, value, data, gas, fees, extras: None }
    }
}

impl From<TransactionRowV1> for TransactionRow {
    fn from(row: TransactionRowV1) -> Self {
        Self { generation: row.generation, ..Self::new(row.request.into(), row.idempotency_key, row.accepted_at) }
    }
}

/// A [`TransactionRow`] of version 2, whose request had authorizations and no other extras.
#[derive(serde::Deserialize)]
struct TransactionRowV2 {
    generation: u16,
    request: RequestV2,
    idempotency_key: Option<String>,
    accepted_at: u64,
    place: Place,
    depends_on: Vec<Dependency>,
}

/// A [`Request`] in those rows, and in the first [`GenerationRow`]s.
#[derive(serde::Deserialize)]
struct RequestV2 {
    from: Address,
    to: Option<Address>,
    value: U256,
    data: Bytes,
    gas: Option<u64>,
    fees: Fees,
    authorizations: Vec<Authorization>,
}

impl From<RequestV2> for Request {
    fn from(request: RequestV2) -> Self {
        let RequestV2 { from, to, value, data, gas, fees, authorizations } = request;
        Self { from, to, value, data, gas, fees, extras: Extras { authorizations, ..Extras::default() }.boxed() }
    }
}

impl From<TransactionRowV2> for TransactionRow {
    fn from(row: TransactionRowV2) -> Self {
        let TransactionRowV2 { generation, request, idempotency_key, accepted_at, place, depends_on } = row;
        Self { generation, request: request.into(), idempotency_key, accepted_at, place, depends_on }
    }
}

/// A [`GenerationRow`] of version 1.
#[derive(serde::Deserialize)]
struct GenerationRowV1 {
    request: RequestV2,
    replaced_at: u64,
}

impl From<GenerationRowV1> for GenerationRow {
    fn from(row: GenerationRowV1) -> Self {
        Self { request: row.request.into(), replaced_at: row.replaced_at }
    }
}

/// Appends the value of `row` to `out`.
pub fn encode<R: Row>(row: &R, out: &mut Vec<u8>) {
    out.push(R::VERSION);
    postcard::serialize_with_flavor(row, Buffer(out)).expect("rows hold no type that postcard cannot encode, and a Vec grows");
}

/// The row of `value`.
///
/// # Errors
/// When the value is damaged or of a newer version.
pub fn decode<R: Row>(value: &[u8]) -> Result<R, CodecError> {
    let (version, content) = value.split_first().ok_or(CodecError::Empty)?;
    R::decode_version(*version, content)
}

/// All of `content` as a `T`.
fn content_of<T: DeserializeOwned>(content: &[u8]) -> Result<T, CodecError> {
    match postcard::take_from_bytes(content) {
        Ok((value, [])) => Ok(value),
        Ok((_, left)) => Err(CodecError::Length { found: content.len() + 1, expected: content.len() + 1 - left.len() }),
        Err(error) => Err(CodecError::Content(error)),
    }
}

/// All of `content` as a row of an earlier version.
fn older<Old: DeserializeOwned + Into<R>, R>(content: &[u8]) -> Result<R, CodecError> {
    content_of::<Old>(content).map(Into::into)
}

/// Lets postcard write into a buffer that is used again.
struct Buffer<'a>(&'a mut Vec<u8>);

impl Flavor for Buffer<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Version of the index entries' layouts.
const INDEX_VERSION: u8 = 1;

/// Value of `by_hash`: which attempt has this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashEntry {
    /// Transaction id.
    pub id: Uuid,
    /// Generation of the attempt.
    pub generation: u16,
    /// Number of the attempt.
    pub attempt: u16,
}

impl HashEntry {
    /// The value.
    #[must_use]
    pub fn encode(&self) -> [u8; 21] {
        let mut value = [INDEX_VERSION; 21];
        value[1..].copy_from_slice(&crate::keys::attempt(self.id, self.generation, self.attempt));
        value
    }

    /// The entry of `value`.
    ///
    /// # Errors
    /// When the value is damaged or of a newer version.
    pub fn decode(value: &[u8]) -> Result<Self, CodecError> {
        let content: [u8; 20] = index_content(value)?;
        let (id, numbers) = content.split_first_chunk::<16>().expect("20 bytes hold 16");
        Ok(Self {
            id: Uuid::from_bytes(*id),
            generation: u16::from_be_bytes([numbers[0], numbers[1]]),
            attempt: u16::from_be_bytes([numbers[2], numbers[3]]),
        })
    }
}

/// Value of `idempotency`: which transaction a key made, and of which body.
#[must_use]
pub fn encode_key_entry(id: Uuid, body_hash: &B256) -> [u8; 49] {
    let mut value = [INDEX_VERSION; 49];
    value[1..17].copy_from_slice(id.as_bytes());
    value[17..].copy_from_slice(body_hash.as_slice());
    value
}

/// Reads [`encode_key_entry`].
///
/// # Errors
/// When the value is damaged or of a newer version.
pub fn decode_key_entry(value: &[u8]) -> Result<(Uuid, B256), CodecError> {
    let content: [u8; 48] = index_content(value)?;
    let (id, hash) = content.split_first_chunk::<16>().expect("48 bytes hold 16");
    Ok((Uuid::from_bytes(*id), B256::from_slice(hash)))
}

/// Value of a bound or waiting entry of `by_address`: whose it is.
#[must_use]
pub fn encode_id(id: Uuid) -> [u8; 17] {
    let mut value = [INDEX_VERSION; 17];
    value[1..].copy_from_slice(id.as_bytes());
    value
}

/// Reads [`encode_id`].
///
/// # Errors
/// When the value is damaged or of a newer version.
pub fn decode_id(value: &[u8]) -> Result<Uuid, CodecError> {
    Ok(Uuid::from_bytes(index_content(value)?))
}

/// Value of a floor of `by_address`, and of an entry of `ended_in`.
#[must_use]
pub fn encode_number(number: u64) -> [u8; 9] {
    let mut value = [INDEX_VERSION; 9];
    value[1..].copy_from_slice(&number.to_be_bytes());
    value
}

/// Reads [`encode_number`].
///
/// # Errors
/// When the value is damaged or of a newer version.
pub fn decode_number(value: &[u8]) -> Result<u64, CodecError> {
    Ok(u64::from_be_bytes(index_content(value)?))
}

/// The content of an index entry of `N` bytes.
fn index_content<const N: usize>(value: &[u8]) -> Result<[u8; N], CodecError> {
    let (version, content) = value.split_first().ok_or(CodecError::Empty)?;
    match *version {
        INDEX_VERSION => content.try_into().map_err(|_| CodecError::Length { found: value.len(), expected: N + 1 }),
        found => Err(CodecError::Version { found, supported: INDEX_VERSION }),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::hex;
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::record::{AttemptFees, Timeline};
    use alloy::eips::eip2930::{AccessList, AccessListItem};

    fn address() -> impl Strategy<Value = Address> {
        any::<[u8; 20]>().prop_map(Address::from)
    }

    fn hash() -> impl Strategy<Value = B256> {
        any::<[u8; 32]>().prop_map(B256::from)
    }

    fn bytes() -> impl Strategy<Value = Bytes> {
        vec(any::<u8>(), 0..300).prop_map(Bytes::from)
    }

    fn fees() -> impl Strategy<Value = Fees> {
        prop_oneof![
            Just(Fees::Market),
            any::<u128>().prop_map(|gas_price| Fees::Legacy { gas_price }),
            any::<[u128; 2]>()
                .prop_map(|[max_fee_per_gas, max_priority_fee_per_gas]| { Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } }),
            any::<(u128, u128, u64)>().prop_map(|(max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas)| {
                Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas }
            }),
        ]
    }

    fn attempt_fees() -> impl Strategy<Value = AttemptFees> {
        prop_oneof![
            any::<u128>().prop_map(|gas_price| AttemptFees::Legacy { gas_price }),
            any::<[u128; 2]>().prop_map(|[max_fee_per_gas, max_priority_fee_per_gas]| {
                AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas }
            }),
            any::<(u128, u128, u64)>().prop_map(|(max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas)| {
                AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas }
            }),
        ]
    }

    prop_compose! {
        fn authorization()(address in address(), nonce in any::<u64>(), words in any::<[[u64; 4]; 3]>(), y_parity in 0..2_u8) -> Authorization {
            let [chain_id, r, s] = words.map(U256::from_limbs);
            Authorization { chain_id, address, nonce, y_parity, r, s }
        }
    }

    prop_compose! {
        fn extras()(
            authorizations in vec(authorization(), 0..3), items in vec((address(), vec(hash(), 0..3)), 0..3), blob_hashes in vec(hash(), 0..3),
        ) -> Extras {
            let item = |(address, storage_keys)| AccessListItem { address, storage_keys };
            Extras { authorizations, access_list: AccessList(items.into_iter().map(item).collect()), blob_hashes }
        }
    }

    prop_compose! {
        fn request()(
            from in address(), to in option::of(address()), value in any::<[u64; 4]>(), data in bytes(),
            gas in any::<Option<u64>>(), fees in fees(), extras in extras(),
        ) -> Request {
            Request { from, to, value: U256::from_limbs(value), data, gas, fees, extras: extras.boxed() }
        }
    }

    fn place() -> impl Strategy<Value = Place> {
        prop_oneof![Just(Place::Nowhere), any::<u64>().prop_map(Place::Line), Just(Place::Suspended), Just(Place::Blocked)]
    }

    fn dependency() -> impl Strategy<Value = Dependency> {
        (any::<u128>(), address()).prop_map(|(id, from)| Dependency { id: Uuid::from_u128(id), from })
    }

    prop_compose! {
        fn transaction()(
            generation in any::<u16>(), request in request(), idempotency_key in any::<Option<String>>(), accepted_at in any::<u64>(),
            place in place(), depends_on in vec(dependency(), 0..3),
        ) -> TransactionRow {
            TransactionRow { generation, request, idempotency_key, accepted_at, place, depends_on }
        }
    }

    prop_compose! {
        fn attempt()(
            generation in any::<u16>(), attempt in any::<u16>(), nonce in any::<u64>(), hash in hash(), raw in bytes(),
            gas in any::<u64>(), fees in attempt_fees(), signed_at in any::<u64>(), closing in any::<Option<String>>(),
        ) -> AttemptRow {
            AttemptRow { generation, attempt, nonce, hash, raw, gas, fees, signed_at, closing }
        }
    }

    prop_compose! {
        fn receipt()(
            transaction_hash in hash(), place in any::<(u16, u16, u64, u64, u64)>(), block_hash in hash(), success in any::<bool>(),
            gas_used in any::<u64>(), effective_gas_price in any::<u128>(), contract_address in option::of(address()),
            times in any::<[Option<u64>; 3]>(),
        ) -> ReceiptRow {
            let (generation, attempt, nonce, block_number, transaction_index) = place;
            let [durable_at, sent_at, included_at] = times;
            ReceiptRow {
                transaction_hash, generation, attempt, nonce, block_number, block_hash, transaction_index, success, gas_used,
                effective_gas_price, contract_address, timeline: Timeline { durable_at, sent_at, included_at },
            }
        }
    }

    fn round_trip<R: Row + PartialEq + std::fmt::Debug>(row: &R) -> Result<(), TestCaseError> {
        let mut value = Vec::new();
        encode(row, &mut value);
        prop_assert_eq!(&decode::<R>(&value).expect("it was just encoded"), row);
        value.push(0);
        prop_assert!(decode::<R>(&value).is_err(), "bytes left over");
        value.truncate(value.len() - 2);
        prop_assert!(decode::<R>(&value).is_err(), "a byte short");
        Ok(())
    }

    proptest! {
        #[test]
        fn every_transaction_round_trips(row in transaction()) { round_trip(&row)?; }

        #[test]
        fn every_attempt_round_trips(row in attempt()) { round_trip(&row)?; }

        #[test]
        fn every_receipt_round_trips(row in receipt()) { round_trip(&row)?; }

        #[test]
        fn every_head_round_trips(hash in hash(), parent_hash in hash(), timestamp: u64, seen_at: u64) {
            round_trip(&HeadRow { hash, parent_hash, timestamp, seen_at })?;
        }

        #[test]
        fn every_failure_round_trips(reason: String, failed_at: u64) {
            round_trip(&FailureRow { reason, failed_at })?;
        }

        #[test]
        fn every_rival_round_trips(nonce: u64, transaction_hash in hash(), block_number: u64, block_hash in hash()) {
            round_trip(&RivalRow { nonce, transaction_hash, block_number, block_hash })?;
        }

        #[test]
        fn every_dependent_round_trips(from in address(), dependency_from in address()) {
            round_trip(&DependentRow { from, dependency_from })?;
        }

        #[test]
        fn every_generation_round_trips(request in request(), replaced_at: u64) {
            round_trip(&GenerationRow { request, replaced_at })?;
        }

        #[test]
        fn every_sidecar_round_trips(cells: bool, blobs in bytes(), commitments in bytes(), proofs in bytes()) {
            round_trip(&SidecarRow { cells, blobs, commitments, proofs })?;
        }

        #[test]
        fn every_index_entry_round_trips(id: u128, generation: u16, attempt: u16, number: u64, hash in hash()) {
            let id = Uuid::from_u128(id);
            let entry = HashEntry { id, generation, attempt };
            prop_assert_eq!(HashEntry::decode(&entry.encode()), Ok(entry));
            prop_assert_eq!(decode_key_entry(&encode_key_entry(id, &hash)), Ok((id, hash)));
            prop_assert_eq!(decode_id(&encode_id(id)), Ok(id));
            prop_assert_eq!(decode_number(&encode_number(number)), Ok(number));
        }

        #[test]
        fn no_value_makes_decoding_panic(value in vec(any::<u8>(), 0..200)) {
            let content = [&[1], value.as_slice()].concat();
            // Whether they decode is chance; that they return is the point, and what they return encodes again.
            if let Ok(row) = decode::<TransactionRow>(&content) { round_trip(&row)?; }
            if let Ok(row) = decode::<AttemptRow>(&content) { round_trip(&row)?; }
            if let Ok(row) = decode::<ReceiptRow>(&content) { round_trip(&row)?; }
            prop_assert!(decode_id(&value).is_err() || value.len() == 17);
        }
    }

    /// What earlier versions wrote must be readable for ever: these bytes are on somebody's disk.
    #[test]
    fn values_of_earlier_versions_stay_readable() {
        let request = Request {
            from: Address::repeat_byte(0xaa),
            to: None,
            value: U256::from(1_000),
            data: Bytes::from_static(&[1, 2, 3]),
            gas: Some(300),
            fees: Fees::Dynamic { max_fee_per_gas: 9, max_priority_fee_per_gas: 8 },
            extras: None,
        };
        let transaction = TransactionRow { generation: 1, ..TransactionRow::new(request, Some("key".to_owned()), 70_000) };
        let attempt = AttemptRow {
            generation: 1,
            attempt: 2,
            nonce: 3,
            hash: B256::repeat_byte(0xbb),
            raw: Bytes::from_static(&[4, 5]),
            gas: 300,
            fees: AttemptFees::Legacy { gas_price: 7 },
            signed_at: 70_000,
            closing: None,
        };
        let head = HeadRow { hash: B256::repeat_byte(0xbb), parent_hash: B256::repeat_byte(0xcc), timestamp: 5, seen_at: 70_000 };
        let failure = FailureRow { reason: "why".to_owned(), failed_at: 70_000 };
        let first = "010114aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa002000000000000000000000000000000000000000000000000000000000000003e80301020301ac0202090801036b6579f0a204";
        assert_eq!(decode::<TransactionRow>(&hex::decode(first).expect("hexadecimal")).as_ref(), Ok(&transaction));
        // Three bytes more, where nothing of the later versions is used: no authorizations, no place, no dependencies; then no extras in their place.
        let key = first.find("01036b6579").expect("the idempotency key");
        let later = format!("{}00{}0000", &first[2..key], &first[key..]);
        assert_eq!(decode::<TransactionRow>(&hex::decode(format!("02{later}")).expect("hexadecimal")).as_ref(), Ok(&transaction));
        assert_written(&format!("03{later}"), &transaction);
        let attempt_row = "01020320bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb020405ac020007f0a20400";
        assert_eq!(decode::<AttemptRow>(&hex::decode(format!("01{attempt_row}")).expect("hexadecimal")).as_ref(), Ok(&attempt));
        assert_written(&format!("02{attempt_row}"), &attempt);
        assert_written(
            "0120bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb20cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc05f0a204",
            &head,
        );
        assert_written("0103776879f0a204", &failure);
    }

    fn assert_written<R: Row + PartialEq + std::fmt::Debug>(value: &str, row: &R) {
        let mut encoded = Vec::new();
        encode(row, &mut encoded);
        assert_eq!(hex::encode(&encoded), value);
        let value = hex::decode(value).expect("hexadecimal");
        assert_eq!(&decode::<R>(&value).expect("readable"), row);
    }

    #[test]
    fn a_value_of_a_version_to_come_says_so() {
        let error = decode::<HeadRow>(&[2, 0, 0]).expect_err("nobody knows version 2");
        assert_eq!(error, CodecError::Version { found: 2, supported: 1 });
        assert_eq!(decode::<HeadRow>(&[]), Err(CodecError::Empty));
        assert_eq!(decode_id(&[7; 17]), Err(CodecError::Version { found: 7, supported: 1 }));
    }
}
