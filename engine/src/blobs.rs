//! Blobs and what proves them (EIP-4844, EIP-7594): made or verified when a transaction is submitted, put around it when it is sent.
//!
//! ```text
//!   given blobs ─► lengths, field elements ─► commitments and proofs: computed, or the given ones verified ─► Sidecar ─► on disk
//!                                                                                                                        │
//!   signed transaction, without blobs ─────────────────────────────────────────────────────────► pooled form ◄───────────┘ read when sent
//! ```
//!
//! A transaction names its blobs by versioned hashes and is signed without them; only the form that pools take has them. So attempts on
//! disk and in memory are as small as any other transaction's, and the blobs are read when one is sent, a request for each.
//!
//! **How it fails.** What is no blob, or is not what its commitment or proof says, is refused with its place and what was expected. The
//! trusted setup of the mainnet ceremony is built in; it is loaded once, with the first blob.

use std::sync::LazyLock;

use alloy::consensus::{EthereumTxEnvelope, Signed, TxEip4844, TxEip4844Variant, TxEip4844WithSidecar, TxEnvelope};
use alloy::eips::eip4844::c_kzg::{KzgSettings, ethereum_kzg_settings};
use alloy::eips::eip4844::{
    BLS_MODULUS_BYTES, BYTES_PER_BLOB, Blob, BlobTransactionSidecar, Bytes48, FIELD_ELEMENT_BYTES_USIZE, kzg_to_versioned_hash,
};
use alloy::eips::eip7594::{BlobTransactionSidecarEip7594, BlobTransactionSidecarVariant, CELLS_PER_EXT_BLOB, MAX_BLOBS_PER_TX_FUSAKA};
use alloy::eips::{Decodable2718, Encodable2718};
use alloy::primitives::{B256, Bytes, Signature, keccak256};
use storage::SidecarRow;

/// Most blobs of a transaction (EIP-7594); a pool takes no more, whatever a block holds.
pub const BLOBS_MAX: usize = MAX_BLOBS_PER_TX_FUSAKA as usize;
/// Bytes of a commitment, and of a proof.
const POINT_BYTES: usize = 48;
/// First byte of a transaction with blobs (EIP-4844).
const BLOB_TYPE: u8 = 3;

/// The point at infinity: commitment and every proof of a blob of zeros.
const INFINITY: [u8; POINT_BYTES] = {
    let mut point = [0; POINT_BYTES];
    point[0] = 0xc0;
    point
};

/// Versioned hash of a blob of zeros: what closes the nonce of a blob transaction carries one.
pub static EMPTY_BLOB: LazyLock<B256> = LazyLock::new(|| kzg_to_versioned_hash(&INFINITY));

/// Blobs as a caller gives them; what is left out is computed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenBlobs {
    /// The blobs.
    pub blobs: Vec<Bytes>,
    /// Their commitments, 48 bytes each.
    pub commitments: Option<Vec<Bytes>>,
    /// Their proofs, 48 bytes each: one for each blob (EIP-4844), or 128 (EIP-7594).
    pub proofs: Option<Vec<Bytes>>,
    /// What the transaction is to name them by.
    pub hashes: Option<Vec<B256>>,
}

/// Commitments or proofs, if they are given.
type Points = Option<Vec<Bytes48>>;

impl GivenBlobs {
    /// Refuses what is no blob, no commitment and no proof, or not as many as there must be. Whether they belong together, only
    /// [`Sidecar::prove`] finds out.
    ///
    /// # Errors
    /// What is wrong with which of them, and what was expected; for the user.
    pub fn check(&self) -> Result<(), String> {
        self.points().map(drop)
    }

    /// The commitments and the proofs, if all of it has the right form.
    fn points(&self) -> Result<(Points, Points), String> {
        check_blobs(&self.blobs)?;
        let count = self.blobs.len();
        let commitments = self.commitments.as_deref().map(|given| points("commitments", given)).transpose()?;
        if let Some(commitments) = commitments.as_ref().filter(|commitments| commitments.len() != count) {
            return Err(format!("commitments: {} for {count} blobs: give one for each, or leave them out", commitments.len()));
        }
        let proofs = self.proofs.as_deref().map(|given| points("proofs", given)).transpose()?;
        if let Some(proofs) = proofs.as_ref().filter(|proofs| proofs.len() != count && proofs.len() != count * CELLS_PER_EXT_BLOB) {
            return Err(format!(
                "proofs: {} for {count} blobs: give one for each (EIP-4844) or {CELLS_PER_EXT_BLOB} for each (EIP-7594), or leave them out",
                proofs.len()
            ));
        }
        if proofs.is_some() && commitments.is_none() {
            return Err("commitments: missing beside proofs; give both, or leave both out".into());
        }
        Ok((commitments, proofs))
    }
}

/// Blobs that are proven: only made by computing proofs, or by verifying them. Clones share their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    row: SidecarRow,
    hashes: Vec<B256>,
}

/// The blobs of a submission.
#[derive(Clone, Debug)]
pub enum Blobs {
    /// To be proven.
    Given(GivenBlobs),
    /// Proven.
    Proven(Sidecar),
}

impl Blobs {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Given(given) => given.blobs.len(),
            Self::Proven(sidecar) => sidecar.hashes.len(),
        }
    }

    /// A digest of each, the same before and after the proof. Unlike a versioned hash it takes no proof to know.
    #[must_use]
    pub fn digests(&self) -> Vec<B256> {
        match self {
            Self::Given(given) => given.blobs.iter().map(keccak256).collect(),
            Self::Proven(sidecar) => sidecar.row.blobs.chunks_exact(BYTES_PER_BLOB).map(keccak256).collect(),
        }
    }
}

impl Sidecar {
    /// Proves blobs, with proofs of cells (EIP-7594) or of whole blobs (EIP-4844). Takes about a fifth of a second of CPU for each blob.
    ///
    /// # Errors
    /// What is wrong with which of them, and what was expected; for the user.
    pub fn prove(given: &GivenBlobs, cells: bool) -> Result<Self, String> {
        let (commitments, proofs) = given.points()?;
        let blobs: Vec<Blob> = given.blobs.iter().map(|bytes| Blob::from_slice(bytes)).collect();
        let count = blobs.len();
        let wanted = if cells { count * CELLS_PER_EXT_BLOB } else { count };
        // Proofs of the other kind say nothing that the computed ones do not; of them the commitments count.
        let sidecar = match (&commitments, proofs.filter(|proofs| proofs.len() == wanted)) {
            (Some(commitments), Some(proofs)) => verified(blobs, commitments.clone(), proofs, cells)?,
            _ => computed(blobs, cells)?,
        };
        let differs = |given: &Vec<Bytes48>| given.iter().zip(sidecar.commitments()).position(|(given, computed)| given != computed);
        if let Some(place) = commitments.as_ref().and_then(differs) {
            let computed = sidecar.commitments()[place];
            return Err(format!("commitments[{place}]: is not that of blobs[{place}], which is {computed}: correct it, or leave them out"));
        }
        let hashes: Vec<B256> = sidecar.versioned_hashes().collect();
        if let Some(asked) = given.hashes.as_ref().filter(|asked| **asked != hashes) {
            return Err(format!("blobVersionedHashes: {asked:?} are not those of the blobs, which are {hashes:?}: leave them out"));
        }
        Ok(Self { row: row(&sidecar, cells), hashes })
    }

    /// What the transaction names the blobs by.
    #[must_use]
    pub fn hashes(&self) -> &[B256] {
        &self.hashes
    }

    /// It has proofs of cells (EIP-7594).
    #[must_use]
    pub const fn has_cells(&self) -> bool {
        self.row.cells
    }

    /// As it is kept.
    #[must_use]
    pub fn into_row(self) -> SidecarRow {
        self.row
    }
}

/// Blobs are whole and of field elements only.
fn check_blobs(given: &[Bytes]) -> Result<(), String> {
    if given.is_empty() || given.len() > BLOBS_MAX {
        return Err(format!("blobs: {} are given; a transaction has 1 to {BLOBS_MAX} (EIP-7594)", given.len()));
    }
    for (place, bytes) in given.iter().enumerate() {
        if bytes.len() != BYTES_PER_BLOB {
            return Err(format!("blobs[{place}]: has {} bytes; a blob has {BYTES_PER_BLOB}, filled up with zeros", bytes.len()));
        }
        let above = |element: &[u8]| element >= BLS_MODULUS_BYTES.as_slice();
        if let Some(element) = bytes.chunks_exact(FIELD_ELEMENT_BYTES_USIZE).position(above) {
            return Err(format!(
                "blobs[{place}]: its bytes from {} on are no field element (EIP-4844): each 32 bytes must be below {BLS_MODULUS_BYTES}",
                element * FIELD_ELEMENT_BYTES_USIZE
            ));
        }
    }
    Ok(())
}

fn points(field: &str, given: &[Bytes]) -> Result<Vec<Bytes48>, String> {
    let point = |(place, bytes): (usize, &Bytes)| {
        Bytes48::try_from(bytes.as_ref()).map_err(|_| format!("{field}[{place}]: has {} bytes, not {POINT_BYTES}", bytes.len()))
    };
    given.iter().enumerate().map(point).collect()
}

/// The trusted setup, without tables for quicker proofs: they take 96 MiB, and blobs are rare.
fn setup() -> &'static KzgSettings {
    ethereum_kzg_settings(0)
}

fn computed(blobs: Vec<Blob>, cells: bool) -> Result<BlobTransactionSidecarVariant, String> {
    let failed = |error| format!("blobs: no commitments and proofs can be computed ({error})");
    Ok(if cells {
        BlobTransactionSidecarVariant::Eip7594(BlobTransactionSidecarEip7594::try_from_blobs_with_settings(blobs, setup()).map_err(failed)?)
    } else {
        BlobTransactionSidecarVariant::Eip4844(BlobTransactionSidecar::try_from_blobs_with_settings(blobs, setup()).map_err(failed)?)
    })
}

fn verified(
    blobs: Vec<Blob>,
    commitments: Vec<Bytes48>,
    proofs: Vec<Bytes48>,
    cells: bool,
) -> Result<BlobTransactionSidecarVariant, String> {
    let sidecar = assembled(blobs, commitments, proofs, cells);
    let hashes: Vec<B256> = sidecar.versioned_hashes().collect();
    sidecar
        .validate(&hashes, setup())
        .map_err(|error| format!("commitments and proofs are not those of the blobs ({error}): leave them out"))?;
    Ok(sidecar)
}

fn assembled(blobs: Vec<Blob>, commitments: Vec<Bytes48>, proofs: Vec<Bytes48>, cells: bool) -> BlobTransactionSidecarVariant {
    if cells {
        BlobTransactionSidecarVariant::Eip7594(BlobTransactionSidecarEip7594::new(blobs, commitments, proofs))
    } else {
        BlobTransactionSidecarVariant::Eip4844(BlobTransactionSidecar::new(blobs, commitments, proofs))
    }
}

fn row(sidecar: &BlobTransactionSidecarVariant, cells: bool) -> SidecarRow {
    let proofs = match sidecar {
        BlobTransactionSidecarVariant::Eip4844(sidecar) => &sidecar.proofs,
        BlobTransactionSidecarVariant::Eip7594(sidecar) => &sidecar.cell_proofs,
    };
    let joined = |points: &[Bytes48]| points.iter().flatten().copied().collect();
    SidecarRow {
        cells,
        blobs: sidecar.blobs().iter().flatten().copied().collect(),
        commitments: joined(sidecar.commitments()),
        proofs: joined(proofs),
    }
}

/// The blob of zeros as it would be kept: nothing about it has to be.
#[must_use]
pub fn empty_sidecar(cells: bool) -> SidecarRow {
    SidecarRow {
        cells,
        blobs: vec![0; BYTES_PER_BLOB].into(),
        commitments: INFINITY.to_vec().into(),
        proofs: INFINITY.repeat(if cells { CELLS_PER_EXT_BLOB } else { 1 }).into(),
    }
}

/// True for a signed transaction with blobs, by its first byte.
#[must_use]
pub fn has_blobs(raw: &[u8]) -> bool {
    raw.first() == Some(&BLOB_TYPE)
}

/// True if what these bytes name is the blob of zeros alone.
#[must_use]
pub fn is_empty(raw: &[u8]) -> bool {
    decoded(raw).is_some_and(|(transaction, _)| transaction.blob_versioned_hashes == [*EMPTY_BLOB])
}

/// The form that pools take of a signed transaction as it stands in a block; `None` for bytes that are not a transaction with blobs.
#[must_use]
pub fn pooled(raw: &[u8], sidecar: &SidecarRow) -> Option<Bytes> {
    let (transaction, signature) = decoded(raw)?;
    let blobs = sidecar.blobs.chunks_exact(BYTES_PER_BLOB).map(Blob::from_slice).collect();
    let joined = |points: &Bytes| points.chunks_exact(POINT_BYTES).map(Bytes48::from_slice).collect();
    let sidecar = assembled(blobs, joined(&sidecar.commitments), joined(&sidecar.proofs), sidecar.cells);
    let whole = TxEip4844WithSidecar::from_tx_and_sidecar(transaction, sidecar);
    let signed = TxEnvelope::Eip4844(Signed::new_unhashed(TxEip4844Variant::TxEip4844WithSidecar(whole), signature));
    Some(signed.encoded_2718().into())
}

fn decoded(raw: &[u8]) -> Option<(TxEip4844, Signature)> {
    match EthereumTxEnvelope::<TxEip4844>::decode_2718(&mut &*raw).ok()? {
        EthereumTxEnvelope::Eip4844(signed) => {
            let (transaction, signature, _) = signed.into_parts();
            Some((transaction, signature))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloy::consensus::{SignableTransaction, Transaction};
    use alloy::primitives::{Address, U256};

    use super::*;

    fn blob(first: u8) -> Bytes {
        let mut blob = vec![0; BYTES_PER_BLOB];
        blob[31] = first;
        blob.into()
    }

    fn given(blobs: Vec<Bytes>) -> GivenBlobs {
        GivenBlobs { blobs, ..GivenBlobs::default() }
    }

    #[test]
    fn what_is_computed_is_verified_when_it_is_given_and_something_else_is_refused() {
        for cells in [true, false] {
            let computed = Sidecar::prove(&given(vec![blob(1), blob(2)]), cells).expect("two blobs");
            let joined = |points: &Bytes| -> Vec<Bytes> { points.chunks(POINT_BYTES).map(Bytes::copy_from_slice).collect() };
            let row = computed.clone().into_row();
            let mut again = GivenBlobs {
                blobs: vec![blob(1), blob(2)],
                commitments: Some(joined(&row.commitments)),
                proofs: Some(joined(&row.proofs)),
                hashes: Some(computed.hashes().to_vec()),
            };
            assert_eq!(Sidecar::prove(&again, cells), Ok(computed));
            again.proofs.iter_mut().for_each(|proofs| proofs.swap(0, row.proofs.len() / POINT_BYTES - 1));
            assert!(Sidecar::prove(&again, cells).is_err_and(|why| why.contains("not those of the blobs")));
            again.proofs = None;
            again.commitments.iter_mut().for_each(|commitments| commitments.swap(0, 1));
            assert!(Sidecar::prove(&again, cells).is_err_and(|why| why.contains("commitments[0]")));
            again.commitments = None;
            again.hashes.iter_mut().for_each(|hashes| hashes.swap(0, 1));
            assert!(Sidecar::prove(&again, cells).is_err_and(|why| why.contains("blobVersionedHashes")));
        }
    }

    #[test]
    fn a_digest_takes_no_proof_and_is_the_same_after_it() {
        let given = given(vec![blob(3), blob(4)]);
        let proven = Blobs::Proven(Sidecar::prove(&given, true).expect("two blobs"));
        let given = Blobs::Given(given);
        assert_eq!((given.digests(), given.count()), (proven.digests(), proven.count()));
        assert_ne!(given.digests()[0], given.digests()[1]);
    }

    #[test]
    fn what_is_no_blob_is_refused_with_its_place() {
        let short = Bytes::from(vec![0; 100]);
        let mut high = vec![0; BYTES_PER_BLOB];
        high[64] = 0xff;
        for (blobs, shown) in [
            (Vec::new(), "blobs: 0 are given"),
            (vec![blob(0); 7], "blobs: 7 are given"),
            (vec![blob(0), short], "blobs[1]: has 100 bytes"),
            (vec![high.into()], "blobs[0]: its bytes from 64 on"),
        ] {
            let why = Sidecar::prove(&given(blobs), true).expect_err(shown);
            assert!(why.starts_with(shown), "{why}");
        }
        let proofs = GivenBlobs { proofs: Some(vec![Bytes::from(vec![0; 48])]), ..given(vec![blob(0)]) };
        assert!(Sidecar::prove(&proofs, true).is_err_and(|why| why.starts_with("commitments: missing")));
        let few = GivenBlobs { commitments: Some(vec![Bytes::from(vec![0; 48])]), ..given(vec![blob(0), blob(1)]) };
        assert!(Sidecar::prove(&few, true).is_err_and(|why| why.starts_with("commitments: 1 for 2")));
    }

    #[test]
    fn a_blob_of_zeros_needs_no_computation() {
        for cells in [true, false] {
            let computed = Sidecar::prove(&given(vec![blob(0)]), cells).expect("a blob");
            assert_eq!((computed.hashes(), computed.clone().into_row()), (&[*EMPTY_BLOB][..], empty_sidecar(cells)));
        }
    }

    #[test]
    fn the_form_that_pools_take_has_the_same_hash_and_the_blobs() {
        let sidecar = Sidecar::prove(&given(vec![blob(9)]), true).expect("a blob");
        let transaction = TxEip4844 { to: Address::ZERO, blob_versioned_hashes: sidecar.hashes().to_vec(), ..TxEip4844::default() };
        let signed = transaction.into_signed(Signature::new(U256::from(1), U256::from(1), false));
        let hash = *signed.hash();
        let raw = TxEnvelope::from(signed).encoded_2718();
        assert!(has_blobs(&raw) && !is_empty(&raw));
        let pooled = pooled(&raw, &sidecar.clone().into_row()).expect("a transaction with blobs");
        let read = TxEnvelope::decode_2718(&mut pooled.as_ref()).expect("a transaction");
        assert_eq!((*read.tx_hash(), read.blob_versioned_hashes()), (hash, Some(sidecar.hashes())));
        let TxEnvelope::Eip4844(read) = read else { panic!("a transaction with blobs") };
        let whole = read.tx().sidecar().expect("a sidecar");
        assert_eq!(row(whole, true), sidecar.into_row());
        assert!(super::pooled(&[2, 1], &empty_sidecar(true)).is_none());
    }
}
