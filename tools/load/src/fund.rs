//! Funding: fresh addresses, filled up by signed transfers from the chain's rich accounts.
//!
//! Works in rounds. In each, every paying account has at most `in_flight` transfers in the node's pool; the round ends when the
//! chain has executed them all and their receipts say success. Addresses that already hold enough are left alone, so a repeated
//! run with the same seed costs only the look-up.

use std::collections::VecDeque;
use std::time::Duration;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256};
use alloy::rpc::client::RpcClient;
use alloy::rpc::types::TransactionReceipt;
use alloy::signers::SignerSync;
use alloy::signers::local::{MnemonicBuilder, Secp256k1Signer};
use anyhow::{Context, bail, ensure};
use tokio::time::Instant;

use crate::chain;
use crate::cli::FundOptions;
use crate::contracts::{self, Contracts, DEPLOY_GAS};
use crate::keys;
use crate::scenario::TRANSFER_GAS;

/// A round in which the chain executes nothing for this long has failed.
const ROUND_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at the payers' nonces.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Wei in an ether.
const WEI_PER_ETHER: u64 = 1_000_000_000_000_000_000;
/// A tip every dev chain takes, in wei for each gas.
const TIP: u128 = 1_000_000_000;

/// One paying account.
struct Payer {
    signer: Secp256k1Signer,
    nonce: u64,
}

/// What every funding transfer has in common.
#[derive(Clone, Copy)]
struct Terms {
    chain_id: u64,
    max_fee_per_gas: u128,
    value: U256,
}

/// Carries out `load fund`.
pub(crate) async fn fund(options: &FundOptions) -> anyhow::Result<()> {
    let node = chain::connect(&options.node)?;
    let addresses = keys::write(&options.keys_out, options.seed, options.addresses)?;
    let value = U256::from(options.ether) * U256::from(WEI_PER_ETHER);
    let balances = chain::balances(&node, &addresses).await?;
    let mut poor: VecDeque<Address> =
        addresses.iter().zip(&balances).filter(|(_, balance)| **balance < value).map(|(address, _)| *address).collect();
    let transfers = poor.len();
    if transfers > 0 {
        let mut payers = payers(&node, options).await?;
        // Twice the price of now holds for several full blocks at the top of EIP-1559's 12.5 % steps.
        let max_fee_per_gas = chain::gas_price(&node).await?.saturating_mul(2).saturating_add(TIP);
        let terms = Terms { chain_id: chain::chain_id(&node).await?, max_fee_per_gas, value };
        check_means(&node, &payers, &terms, transfers as u64).await?;
        while !poor.is_empty() {
            round(&node, &mut payers, &terms, &mut poor, options.in_flight).await?;
        }
    }
    if options.contracts {
        deploy(&node, options).await?;
    }
    eprintln!(
        "load: {} addresses hold {} ether or more each; {transfers} transfers; keys in {}",
        addresses.len(),
        options.ether,
        options.keys_out.display()
    );
    Ok(())
}

/// Puts the contracts of the scenarios on the chain, if they are not there: one payer gives the deployer what its gas may cost.
async fn deploy(node: &RpcClient, options: &FundOptions) -> anyhow::Result<()> {
    let at = Contracts::new()?;
    let present = chain::have_code(node, &[at.token, at.storage]).await?;
    if present == [true, true] {
        return Ok(());
    }
    let deployer = contracts::deployer()?;
    let nonce = chain::nonces(node, &[deployer.address()]).await?[0];
    ensure!(
        nonce == present.iter().take_while(|is_present| **is_present).count() as u64,
        "the deployer {} has used {nonce} nonces and the contracts {} and {} are not both there; scenarios that call them need another chain",
        deployer.address(),
        at.token,
        at.storage
    );
    let chain_id = chain::chain_id(node).await?;
    let max_fee_per_gas = chain::gas_price(node).await?.saturating_mul(2).saturating_add(TIP);
    let means = U256::from(max_fee_per_gas) * U256::from(DEPLOY_GAS) * U256::from(2);
    let terms = Terms { chain_id, max_fee_per_gas, value: means };
    let mut payers = payers(node, options).await?;
    round(node, &mut payers, &terms, &mut VecDeque::from([deployer.address()]), 1).await?;
    let mut deployer = Payer { signer: deployer, nonce };
    let mut raw = Vec::new();
    let mut hashes = Vec::new();
    for code in contracts::init_codes().into_iter().skip(usize::try_from(nonce)?) {
        let transaction = TxEip1559 { gas_limit: DEPLOY_GAS, to: TxKind::Create, input: code, ..unsigned(deployer.nonce, &terms) };
        let envelope = sign(&deployer.signer, transaction)?;
        deployer.nonce += 1;
        hashes.push(*envelope.tx_hash());
        raw.push((Bytes::from(envelope.encoded_2718()),));
    }
    let _: Vec<B256> = chain::call_all(node, "eth_sendRawTransaction", &raw).await?;
    wait_for_nonces(node, std::slice::from_ref(&deployer)).await?;
    check_receipts(node, &hashes).await
}

async fn payers(node: &RpcClient, options: &FundOptions) -> anyhow::Result<Vec<Payer>> {
    let mut signers = Vec::new();
    for index in 0..options.funders {
        let signer = MnemonicBuilder::try_from_phrase_nth(options.mnemonic.as_str(), index)
            .map_err(|_| anyhow::anyhow!("the mnemonic is not valid (BIP-39, English)"))?;
        signers.push(signer.into_secp256k1());
    }
    let addresses: Vec<Address> = signers.iter().map(Secp256k1Signer::address).collect();
    let nonces = chain::nonces(node, &addresses).await?;
    Ok(signers.into_iter().zip(nonces).map(|(signer, nonce)| Payer { signer, nonce }).collect())
}

/// Refuses to begin where a payer could not pay its share.
async fn check_means(node: &RpcClient, payers: &[Payer], terms: &Terms, transfers: u64) -> anyhow::Result<()> {
    let share = transfers.div_ceil(payers.len() as u64);
    let each = terms.value + U256::from(terms.max_fee_per_gas) * U256::from(TRANSFER_GAS);
    let needed = each * U256::from(share);
    let addresses: Vec<Address> = payers.iter().map(|payer| payer.signer.address()).collect();
    for (address, balance) in addresses.iter().zip(chain::balances(node, &addresses).await?) {
        ensure!(
            balance >= needed,
            "{address} holds {} ether and its share of {share} transfers needs {}; lower --ether or --funders, or give the chain richer accounts",
            balance / U256::from(WEI_PER_ETHER),
            needed / U256::from(WEI_PER_ETHER) + U256::ONE
        );
    }
    Ok(())
}

/// Sends up to `in_flight` transfers from each payer and waits until the chain has executed them.
async fn round(node: &RpcClient, payers: &mut [Payer], terms: &Terms, poor: &mut VecDeque<Address>, in_flight: u64) -> anyhow::Result<()> {
    let mut raw = Vec::new();
    let mut hashes = Vec::new();
    for _ in 0..in_flight {
        for payer in payers.iter_mut() {
            let Some(to) = poor.pop_front() else { break };
            let envelope = transfer(&payer.signer, payer.nonce, to, terms)?;
            payer.nonce += 1;
            hashes.push(*envelope.tx_hash());
            raw.push((Bytes::from(envelope.encoded_2718()),));
        }
    }
    let answered: Vec<B256> = chain::call_all(node, "eth_sendRawTransaction", &raw).await?;
    ensure!(answered == hashes, "the node answered a funding transfer with a hash that is not its own");
    wait_for_nonces(node, payers).await?;
    check_receipts(node, &hashes).await
}

fn transfer(signer: &Secp256k1Signer, nonce: u64, to: Address, terms: &Terms) -> anyhow::Result<TxEnvelope> {
    sign(signer, TxEip1559 { gas_limit: TRANSFER_GAS, to: TxKind::Call(to), value: terms.value, ..unsigned(nonce, terms) })
}

fn unsigned(nonce: u64, terms: &Terms) -> TxEip1559 {
    TxEip1559 {
        chain_id: terms.chain_id,
        nonce,
        max_fee_per_gas: terms.max_fee_per_gas,
        max_priority_fee_per_gas: TIP.min(terms.max_fee_per_gas),
        ..TxEip1559::default()
    }
}

fn sign(signer: &Secp256k1Signer, transaction: TxEip1559) -> anyhow::Result<TxEnvelope> {
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).context("signing a funding transaction")?;
    Ok(transaction.into_signed(signature).into())
}

async fn wait_for_nonces(node: &RpcClient, payers: &[Payer]) -> anyhow::Result<()> {
    let addresses: Vec<Address> = payers.iter().map(|payer| payer.signer.address()).collect();
    let goal: u64 = payers.iter().map(|payer| payer.nonce).sum();
    let mut reached = 0;
    let mut since = Instant::now();
    loop {
        let nonces = chain::nonces(node, &addresses).await?;
        if nonces.iter().zip(payers).all(|(nonce, payer)| *nonce >= payer.nonce) {
            return Ok(());
        }
        let now: u64 = nonces.iter().sum();
        if now > reached {
            (reached, since) = (now, Instant::now());
        }
        if since.elapsed() > ROUND_PATIENCE {
            bail!("the chain executed no funding transfer for {} s; {} are missing", ROUND_PATIENCE.as_secs(), goal.saturating_sub(now));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Reads all receipts of a round. The nonces have passed, so each receipt exists, here or in a moment.
async fn check_receipts(node: &RpcClient, hashes: &[B256]) -> anyhow::Result<()> {
    let mut missing: Vec<(B256,)> = hashes.iter().map(|hash| (*hash,)).collect();
    let deadline = Instant::now() + ROUND_PATIENCE;
    loop {
        let receipts: Vec<Option<TransactionReceipt>> = chain::call_all(node, "eth_getTransactionReceipt", &missing).await?;
        if let Some(failed) = receipts.iter().flatten().find(|receipt| !receipt.status()) {
            bail!("funding transfer {} was executed and failed", failed.transaction_hash);
        }
        missing = missing.into_iter().zip(receipts).filter(|(_, receipt)| receipt.is_none()).map(|(hash, _)| hash).collect();
        if missing.is_empty() {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} funding transfers have no receipt although their nonces are used, the first is {}",
            missing.len(),
            missing[0].0
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy::consensus::Transaction as _;
    use alloy::consensus::transaction::SignerRecoverable as _;

    use super::*;

    #[test]
    fn a_funding_transfer_is_signed_by_its_payer_and_carries_its_terms() {
        let (_, signer) = keys::derive(1, 1).unwrap();
        let terms = Terms { chain_id: 31337, max_fee_per_gas: 7, value: U256::from(5) };
        let envelope = transfer(&signer, 3, Address::repeat_byte(9), &terms).unwrap();
        assert_eq!(envelope.recover_signer().unwrap(), signer.address());
        assert_eq!((envelope.nonce(), envelope.chain_id(), envelope.value()), (3, Some(31337), U256::from(5)));
        assert_eq!(envelope.max_priority_fee_per_gas(), Some(7), "a tip above the fee cap would be refused");
    }
}
