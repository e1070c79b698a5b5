//! What the settings must say together. Every finding names the key, the value and what to do; all are told at once.

use std::fmt::Display;
use std::net::SocketAddr;

use netio::rpc::Endpoint;

use super::Config;
use crate::facade::OWN_METHODS;

/// A body shorter than this holds no useful batch.
const MIN_BODY_BYTES: u32 = 1024;
/// The largest body: it is held in memory whole.
const MAX_BODY_BYTES: u32 = 256 * 1024 * 1024;
/// The smallest increase that pools take for a replacement, in percent (geth's `txpool.pricebump`).
const MIN_INCREASE_PERCENT: u32 = 10;
/// Most addresses from one mnemonic; each is derived at start.
const MAX_DERIVED_KEYS: u32 = 1_000_000;
/// Most shards; far above the cores of any machine, so a slip and not a choice.
const MAX_SHARDS: usize = 1024;
/// Most nodes; each is asked for its head again and again.
const MAX_NODES: usize = 32;
/// Most connections of the facade to the node, of either kind; each holds a reply or a message in memory.
const MAX_FACADE_CONNECTIONS: usize = 1024;
/// Blocks that nodes serve in one `eth_feeHistory`.
const MAX_HISTORY_BLOCKS: u64 = 1024;

impl Config {
    /// Checks the settings against each other; gives all findings.
    pub fn validate(&self) -> Result<(), Vec<String>> {
        let mut findings = Findings::default();
        if self.data_dir.as_os_str().is_empty() {
            findings.say("data_dir is not set: name the directory of the database, in the file or as MILLRACE_DATA_DIR");
        }
        self.check_api(&mut findings);
        self.check_facade(&mut findings);
        self.check_node(&mut findings);
        self.check_keys(&mut findings);
        self.check_gas(&mut findings);
        self.check_txmgr(&mut findings);
        if let Some(count) = self.shards.count {
            findings.within("shards.count", count, 1, MAX_SHARDS);
        }
        findings.at_least("shards.mailbox", self.shards.mailbox, 1);
        findings.at_least("shards.run", self.shards.run, 1);
        findings.at_least("writer.commits_in_flight", self.writer.commits_in_flight, 1);
        findings.at_least("writer.records_max", self.writer.records_max, 1);
        findings.at_least("writer.bytes_max", self.writer.bytes_max, 1);
        findings.0.extend(self.storage.problems().into_iter().map(|problem| format!("storage.{problem}")));
        if findings.0.is_empty() { Ok(()) } else { Err(findings.0) }
    }

    fn check_api(&self, findings: &mut Findings) {
        let api = &self.api;
        if api.listen.parse::<SocketAddr>().is_err() {
            findings.say(format!("api.listen = \"{}\" is not an address and port: write for example \"127.0.0.1:7545\"", api.listen));
        }
        findings.within("api.max_body_bytes", api.max_body_bytes, MIN_BODY_BYTES, MAX_BODY_BYTES);
        findings.at_least("api.max_batch", api.max_batch, 1);
        findings.at_least("api.max_connections", api.max_connections, 1);
        findings.within("api.readers", api.readers, 1, 64);
        findings.at_least("api.reader_queue", api.reader_queue, 1);
    }

    fn check_facade(&self, findings: &mut Findings) {
        let facade = &self.facade;
        if let Some(listen) = facade.listen.as_ref().filter(|listen| listen.parse::<SocketAddr>().is_err()) {
            findings.say(format!("facade.listen = \"{listen}\" is not an address and port: write for example \"127.0.0.1:8546\""));
        }
        for off in facade.off.iter().filter(|off| !OWN_METHODS.contains(&off.as_str())) {
            findings.say(format!("facade.off: \"{off}\" is not one of {}", OWN_METHODS.join(", ")));
        }
        for allowed in facade.allow.iter().filter(|allowed| allowed.trim_end_matches('*').is_empty()) {
            findings.say(format!("facade.allow: \"{allowed}\" would pass everything on: name a namespace, for example \"eth_*\""));
        }
        findings.at_least("facade.bind_timeout_ms", facade.bind_timeout_ms, 1);
        findings.within("facade.connections", facade.connections, 1, MAX_FACADE_CONNECTIONS);
        findings.within("facade.subscribers", facade.subscribers, 1, MAX_FACADE_CONNECTIONS);
    }

    fn check_node(&self, findings: &mut Findings) {
        let node = &self.node;
        if node.url.is_empty() && node.endpoints.is_empty() {
            findings.say("node.url is not set: name the Ethereum node, for example \"http://127.0.0.1:8545\"");
        } else if !node.endpoints.is_empty() && (!node.url.is_empty() || node.ws_url.is_some()) {
            findings.say("node.url or node.ws_url is set beside node.endpoints: put every node into a [[node.endpoints]] of its own and leave those out");
        } else {
            for (key, endpoint) in node.nodes() {
                findings.address(&format!("{key}url"), &endpoint.url, false);
                if let Some(heads) = &endpoint.ws_url {
                    findings.address(&format!("{key}ws_url"), heads, true);
                }
            }
        }
        if node.send_to_all && node.endpoints.len() < 2 {
            findings.say("node.send_to_all = true needs at least two [[node.endpoints]]: add one, or leave it out");
        }
        findings.within("the number of node.endpoints", node.endpoints.len(), 0, MAX_NODES);
        findings.at_least("node.max_lag_blocks", node.max_lag_blocks, 1);
        findings.at_least("node.probe_interval_ms", node.probe_interval_ms, 1);
        findings.at_least("node.ws_poll_interval_ms", node.ws_poll_interval_ms, 1);
        if node.chain_id == Some(0) {
            findings.say("node.chain_id = 0 is no chain: leave it out to learn it from the node");
        }
        findings.at_least("node.connections", node.connections, 1);
        findings.at_least("node.batch_calls", node.batch_calls, 1);
        findings.at_least("node.batch_bytes", node.batch_bytes, 1024);
        findings.at_least("node.request_timeout_ms", node.request_timeout_ms, 1);
        findings.at_least("node.poll_interval_ms", node.poll_interval_ms, 1);
        findings.at_least("node.breaker_failures", node.breaker_failures, 1);
        findings.at_least("node.breaker_pause_min_ms", node.breaker_pause_min_ms, 1);
        findings.at_least("node.retry_after_max_ms", node.retry_after_max_ms, 1);
        if node.breaker_pause_max_ms < node.breaker_pause_min_ms {
            findings.say(format!(
                "node.breaker_pause_max_ms = {} is below node.breaker_pause_min_ms = {}: raise it",
                node.breaker_pause_max_ms, node.breaker_pause_min_ms
            ));
        }
    }

    fn check_keys(&self, findings: &mut Findings) {
        let keys = &self.keys;
        match (&keys.file, &keys.mnemonic) {
            (Some(_), Some(_)) => {
                findings.say("keys.file and keys.mnemonic are both set: leave one of them out");
            }
            (None, None) => {
                findings.say("no signing keys: set keys.file, or keys.mnemonic (best as the environment variable MILLRACE_KEYS__MNEMONIC)");
            }
            _ => {}
        }
        findings.at_least("keys.sign_timeout_ms", keys.sign_timeout_ms, 1);
        if let Some(count) = keys.count {
            findings.within("keys.count", count, 1, MAX_DERIVED_KEYS);
        }
    }

    fn check_gas(&self, findings: &mut Findings) {
        let gas = &self.gas;
        match (gas.max_fee_per_gas, gas.max_priority_fee_per_gas) {
            (Some(cap), Some(tip)) if tip > cap => findings
                .say(format!("gas.max_priority_fee_per_gas = {tip} is above gas.max_fee_per_gas = {cap}: no node accepts that; lower it")),
            (Some(_), None) => findings.say("gas.max_fee_per_gas needs gas.max_priority_fee_per_gas beside it: set both"),
            (None, Some(_)) => findings.say("gas.max_priority_fee_per_gas needs gas.max_fee_per_gas beside it: set both"),
            _ => {}
        }
        if let (Some(cap), Some(fixed)) = (gas.cap_max_fee_per_gas, gas.max_fee_per_gas)
            && fixed > cap
        {
            findings
                .say(format!("gas.max_fee_per_gas = {fixed} is above gas.cap_max_fee_per_gas = {cap}: raise the cap or lower the price"));
        }
        if !(0.0..=100.0).contains(&gas.percentile) {
            findings.say(format!("gas.percentile = {} is not between 0 and 100", gas.percentile));
        }
        if !(1.0..=100.0).contains(&gas.limit_factor) {
            findings.say(format!("gas.limit_factor = {} is not between 1 and 100", gas.limit_factor));
        }
        if let Some(url) = &gas.oracle_url {
            findings.address("gas.oracle_url", &url.0, false);
        }
        match (&gas.oracle_url, &gas.oracle_max_fee) {
            (Some(_), None) => findings
                .say("gas.oracle_url needs gas.oracle_max_fee beside it: the JSON pointer of the price, for example \"/fast/maxFee\""),
            (None, Some(_)) => findings.say("gas.oracle_max_fee is set without gas.oracle_url: name the oracle, or leave it out"),
            _ => {}
        }
        if gas.oracle_tip.is_some() && gas.oracle_max_fee.is_none() {
            findings.say("gas.oracle_tip needs gas.oracle_max_fee beside it: set both");
        }
        for (key, pointer) in [("gas.oracle_max_fee", &gas.oracle_max_fee), ("gas.oracle_tip", &gas.oracle_tip)] {
            if let Some(pointer) = pointer.as_ref().filter(|pointer| !pointer.starts_with('/')) {
                findings.say(format!("{key} = \"{pointer}\" is not a JSON pointer: it must begin with a slash"));
            }
        }
        if gas.zero && (gas.max_fee_per_gas.is_some() || gas.oracle_url.is_some()) {
            findings.say("gas.zero = true leaves no room for gas.max_fee_per_gas or gas.oracle_url: leave one of them out");
        }
        findings.within("gas.history_blocks", gas.history_blocks, 1, MAX_HISTORY_BLOCKS);
        findings.within("gas.increase_percent", gas.increase_percent, MIN_INCREASE_PERCENT, 1000);
    }

    fn check_txmgr(&self, findings: &mut Findings) {
        let txmgr = &self.txmgr;
        findings.at_least("txmgr.max_in_flight", txmgr.max_in_flight, 1);
        for (address, own) in &txmgr.addresses {
            if let Some(limit) = own.max_in_flight {
                findings.at_least(&format!("txmgr.addresses.\"{address}\".max_in_flight"), limit, 1);
            }
        }
        findings.at_least("txmgr.max_orchestrators", txmgr.max_orchestrators, 1);
        findings.at_least("txmgr.idle_timeout_ms", txmgr.idle_timeout_ms, 1);
        findings.at_least("txmgr.stale_timeout_ms", txmgr.stale_timeout_ms, 1);
        findings.at_least("txmgr.swap_timeout_ms", txmgr.swap_timeout_ms, 1);
        findings.at_least("txmgr.resubmit_interval_ms", txmgr.resubmit_interval_ms, 1);
        findings.at_least("txmgr.resend_after_blocks", txmgr.resend_after_blocks, 1);
        findings.at_least("txmgr.retry_min_ms", txmgr.retry_min_ms, 1);
        findings.at_least("txmgr.submit_tries", txmgr.submit_tries, 1);
        findings.at_least("txmgr.stage_retry_ms", txmgr.stage_retry_ms, 1);
        findings.at_least("txmgr.persist_retry_ms", txmgr.persist_retry_ms, 1);
        findings.at_least("txmgr.sign_tries", txmgr.sign_tries, 2);
        findings.at_least("txmgr.estimate_tries", txmgr.estimate_tries, 1);
        findings.at_least("txmgr.required_confirmations", txmgr.required_confirmations, 1);
        if txmgr.retry_max_ms < txmgr.retry_min_ms {
            findings
                .say(format!("txmgr.retry_max_ms = {} is below txmgr.retry_min_ms = {}: raise it", txmgr.retry_max_ms, txmgr.retry_min_ms));
        }
        if txmgr.finality_depth < txmgr.required_confirmations {
            findings.say(format!(
                "txmgr.finality_depth = {} is below txmgr.required_confirmations = {}: a transaction would be archived before it is confirmed; raise it",
                txmgr.finality_depth, txmgr.required_confirmations
            ));
        }
    }
}

#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn say(&mut self, finding: impl Into<String>) {
        self.0.push(finding.into());
    }

    /// The address is not repeated: providers put access keys into its path.
    fn address(&mut self, key: &str, url: &str, web_socket: bool) {
        match url.parse::<Endpoint>() {
            Err(error) => self.say(format!("{key}: {error}")),
            Ok(endpoint) if endpoint.scheme().is_web_socket() != web_socket => {
                let right = if web_socket {
                    "heads come by WebSocket, write ws:// or wss://"
                } else {
                    "requests go over HTTP, write http:// or https://"
                };
                self.say(format!("{key} begins with {}://: {right}", endpoint.scheme().as_str()));
            }
            Ok(_) => {}
        }
    }

    fn at_least<T: PartialOrd + Display + Copy>(&mut self, key: &str, value: T, least: T) {
        if value < least {
            self.say(format!("{key} = {value} is too small: it must be at least {least}"));
        }
    }

    fn within<T: PartialOrd + Display + Copy>(&mut self, key: &str, value: T, least: T, most: T) {
        if value < least || value > most {
            self.say(format!("{key} = {value} must be at least {least} and at most {most}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Config {
        let mut config = Config { data_dir: "d".into(), ..Config::default() };
        config.node.url = "http://127.0.0.1:8545".into();
        config.keys.file = Some("keys.txt".into());
        config
    }

    fn findings(change: impl FnOnce(&mut Config)) -> String {
        let mut config = good();
        change(&mut config);
        config.validate().expect_err("the settings must be refused").join("\n")
    }

    #[test]
    fn the_defaults_with_the_three_needed_settings_are_good() {
        assert_eq!(good().validate(), Ok(()));
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let all = Config::default().validate().expect_err("nothing is set").join("\n");
        for key in ["data_dir", "node.url", "keys.file"] {
            assert!(all.contains(key), "{key} in {all}");
        }
    }

    #[test]
    fn two_sources_of_keys_are_refused_without_naming_the_words() {
        let message = findings(|config| config.keys.mnemonic = Some("hush".into()));
        assert!(message.contains("keys.mnemonic") && !message.contains("hush"), "{message}");
    }

    #[test]
    fn a_value_out_of_range_is_named_with_its_bound() {
        assert!(findings(|c| c.gas.increase_percent = 9).contains("gas.increase_percent = 9 must be at least 10"));
        assert!(findings(|c| c.gas.percentile = 101.0).contains("gas.percentile = 101"));
        assert!(findings(|c| c.gas.percentile = f64::NAN).contains("gas.percentile = NaN"));
        assert!(findings(|c| c.node.connections = 0).contains("node.connections = 0"));
        assert!(findings(|c| c.node.breaker_failures = 0).contains("node.breaker_failures = 0"));
        assert!(findings(|c| c.node.breaker_pause_min_ms = 0).contains("node.breaker_pause_min_ms = 0"));
        assert!(findings(|c| c.node.breaker_pause_max_ms = 499).contains("node.breaker_pause_max_ms = 499 is below"));
        assert!(findings(|c| c.node.retry_after_max_ms = 0).contains("node.retry_after_max_ms = 0"));
        assert!(findings(|c| c.txmgr.max_in_flight = 0).contains("txmgr.max_in_flight = 0"));
        assert!(findings(|c| c.txmgr.submit_tries = 0).contains("txmgr.submit_tries = 0"));
        assert!(findings(|c| c.txmgr.stage_retry_ms = 0).contains("txmgr.stage_retry_ms = 0"));
        assert!(findings(|c| c.txmgr.persist_retry_ms = 0).contains("txmgr.persist_retry_ms = 0"));
        assert!(findings(|c| c.txmgr.sign_tries = 1).contains("txmgr.sign_tries = 1"));
        assert!(findings(|c| c.keys.sign_timeout_ms = 0).contains("keys.sign_timeout_ms = 0"));
        assert!(findings(|c| c.shards.count = Some(0)).contains("shards.count = 0"));
        assert!(findings(|c| c.shards.run = 0).contains("shards.run = 0"));
        assert!(findings(|c| c.writer.records_max = 0).contains("writer.records_max = 0"));
        assert!(findings(|c| c.storage.small.memtables_max = 0).contains("storage.small.memtables_max = 0"));
        assert!(findings(|c| c.api.listen = "localhost".into()).contains("127.0.0.1:7545"));
        let url = findings(|c| c.node.url = "ftp://host/secret".into());
        assert!(url.contains("node.url") && url.contains("ftp") && !url.contains("secret"), "{url}");
        let heads = findings(|c| c.node.url = "wss://host/secret".into());
        assert!(heads.contains("node.url") && heads.contains("https://") && !heads.contains("secret"), "{heads}");
    }

    #[test]
    fn several_nodes_are_named_one_by_one_and_not_beside_a_single_one() {
        let node = |url: &str| super::super::EndpointConfig { url: url.into(), ws_url: None };
        let both = findings(|c| c.node.endpoints = vec![node("http://a"), node("http://b")]);
        assert!(both.contains("beside node.endpoints"), "{both}");
        let wrong = findings(|c| {
            c.node.url.clear();
            c.node.endpoints = vec![node("http://a"), node("ftp://b/secret")];
        });
        assert!(wrong.contains("node.endpoints[1].url") && !wrong.contains("secret"), "{wrong}");
        assert!(findings(|c| c.node.send_to_all = true).contains("at least two"));
        let heads = findings(|c| c.node.ws_url = Some("http://a/secret".into()));
        assert!(heads.contains("node.ws_url begins with http://") && !heads.contains("secret"), "{heads}");
    }

    #[test]
    fn an_oracle_needs_to_be_told_where_its_price_is() {
        let oracle = |c: &mut Config| c.gas.oracle_url = Some(super::super::HiddenUrl("http://a/secret".into()));
        let alone = findings(oracle);
        assert!(alone.contains("gas.oracle_url needs gas.oracle_max_fee") && !alone.contains("secret"), "{alone}");
        let pointer = findings(|c| {
            oracle(c);
            c.gas.oracle_max_fee = Some("fast".into());
        });
        assert!(pointer.contains("gas.oracle_max_fee = \"fast\" is not a JSON pointer"), "{pointer}");
        let zero = findings(|c| {
            oracle(c);
            c.gas.oracle_max_fee = Some("/fast".into());
            c.gas.zero = true;
        });
        assert!(zero.contains("gas.zero"), "{zero}");
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let depth = findings(|c| {
            c.txmgr.finality_depth = 2;
            c.txmgr.required_confirmations = 3;
        });
        assert!(depth.contains("txmgr.finality_depth = 2"), "{depth}");
        let above_the_cap = findings(|c| {
            c.gas.max_fee_per_gas = Some(7);
            c.gas.max_priority_fee_per_gas = Some(1);
            c.gas.cap_max_fee_per_gas = Some(6);
        });
        assert!(above_the_cap.contains("gas.cap_max_fee_per_gas = 6"), "{above_the_cap}");
        assert!(findings(|c| c.gas.max_fee_per_gas = Some(7)).contains("set both"));
        let tip = findings(|c| {
            c.gas.max_fee_per_gas = Some(7);
            c.gas.max_priority_fee_per_gas = Some(8);
        });
        assert!(tip.contains("gas.max_priority_fee_per_gas = 8"), "{tip}");
    }
}
