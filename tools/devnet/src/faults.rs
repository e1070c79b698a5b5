//! Faults on request: what a reply suffers, chosen by method and by count.
//!
//! A rule names a method, how many matching requests it lets pass first, and how many it strikes. A request is one HTTP
//! request or one WebSocket message: a batch matches when one of its calls does, and is struck as a whole. Calls of
//! `devnet_*` are never struck, so that a chain full of faults can still be told to stop.

use std::{collections::VecDeque, num::NonZeroU64, time::Duration};

use serde::Deserialize;

/// Rules that can wait at a time. More is a test that forgot to clear them.
pub(crate) const FAULTS_MAX: usize = 10_000;
/// A held reply is let go after this time if nobody says so earlier: longer than any client waits.
const HOLD_MAX: Duration = Duration::from_secs(600);
/// Methods under this prefix control the chain and are never struck.
const CONTROL_PREFIX: &str = "devnet_";

/// When a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// The request has had no effect.
    #[default]
    Before,
    /// The request has taken effect; only the reply suffers.
    After,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Wait, then go on.
    Hold,
    /// Close the connection without a reply.
    Cut,
    /// HTTP 429 with `Retry-After`; the request has no effect.
    TooManyRequests,
}

/// A fault to come, as `devnet_addFault` takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Method name, or `*` for every method outside `devnet_*`.
    method: String,
    action: Action,
    #[serde(default)]
    when: When,
    /// Matching requests that pass before the first is struck.
    #[serde(default)]
    skip: u64,
    /// Requests struck.
    #[serde(default = "once")]
    count: NonZeroU64,
    /// How long a reply is held, in milliseconds; without it, until `devnet_releaseHeld`.
    #[serde(default)]
    hold_ms: Option<u64>,
    /// Value of `Retry-After` in seconds.
    #[serde(default = "one")]
    retry_after: u64,
}

const fn one() -> u64 {
    1
}

pub(crate) const fn once() -> NonZeroU64 {
    NonZeroU64::MIN
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// Its reply is held.
    Hold(When, Duration),
    /// Its connection is cut.
    Cut(When),
    /// It is refused with `Retry-After` in seconds.
    TooManyRequests(u64),
}

/// The rules that wait for requests.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: VecDeque<Rule>,
    struck: u64,
}

impl Faults {
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.rules.len()
    }

    pub(crate) fn struck(&self) -> u64 {
        self.struck
    }

    /// Adds a rule; `false` when there are too many.
    pub(crate) fn add(&mut self, rule: Rule) -> bool {
        let room = self.rules.len() < FAULTS_MAX;
        if room {
            self.rules.push_back(rule);
        }
        room
    }

    /// Removes all rules and says how many there were.
    pub(crate) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.rules).len()
    }

    /// What happens to a request with these methods: the oldest rule that matches and has nothing left to skip decides.
    pub(crate) fn strike(&mut self, methods: &[&str]) -> Option<Strike> {
        for position in 0..self.rules.len() {
            let rule = &mut self.rules[position];
            if !methods.iter().any(|method| rule.matches(method)) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            let strike = rule.strike();
            match NonZeroU64::new(rule.count.get() - 1) {
                Some(left) => rule.count = left,
                None => drop(self.rules.remove(position)),
            }
            self.struck += 1;
            return Some(strike);
        }
        None
    }
}

impl Rule {
    /// The next request with `method` (`*`: any outside `devnet_*`) suffers `action` before it takes effect. Held is until released; 429 says
    /// to come back after a second.
    pub fn new(method: impl Into<String>, action: Action) -> Self {
        Self { method: method.into(), action, when: When::Before, skip: 0, count: once(), hold_ms: None, retry_after: one() }
    }

    /// The request takes effect; only the reply suffers.
    #[must_use]
    pub fn after_effect(self) -> Self {
        Self { when: When::After, ..self }
    }

    /// So many matching requests pass first.
    #[must_use]
    pub fn skip(self, requests: u64) -> Self {
        Self { skip: requests, ..self }
    }

    /// So many requests are struck.
    #[must_use]
    pub fn count(self, requests: NonZeroU64) -> Self {
        Self { count: requests, ..self }
    }

    /// A held reply comes after this time by itself.
    #[must_use]
    pub fn hold_ms(self, ms: u64) -> Self {
        Self { hold_ms: Some(ms), ..self }
    }

    /// What 429 says of the time to come back, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: seconds, ..self }
    }

    fn matches(&self, method: &str) -> bool {
        !method.starts_with(CONTROL_PREFIX) && (self.method == "*" || self.method == method)
    }

    fn strike(&self) -> Strike {
        match self.action {
            Action::Hold => {
                let time = self.hold_ms.map_or(HOLD_MAX, |ms| Duration::from_millis(ms).min(HOLD_MAX));
                Strike::Hold(self.when, time)
            }
            Action::Cut => Strike::Cut(self.when),
            Action::TooManyRequests => Strike::TooManyRequests(self.retry_after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> Faults {
        let mut faults = Faults::default();
        assert!(faults.add(serde_json::from_str(json).expect("the rule is valid")));
        faults
    }

    #[test]
    fn a_rule_skips_then_strikes_then_is_gone() {
        let mut faults = faults(r#"{"method":"eth_call","action":"cut","when":"after","skip":1,"count":2}"#);
        let strikes: Vec<_> = (0..4).map(|_| faults.strike(&["eth_call"])).collect();
        let cut = Some(Strike::Cut(When::After));
        assert_eq!(strikes, [None, cut, cut, None]);
        assert!(faults.is_empty());
    }

    #[test]
    fn a_batch_matches_by_any_of_its_calls_but_control_never() {
        let mut faults = faults(r#"{"method":"*","action":"tooManyRequests","retryAfter":3}"#);
        assert_eq!(faults.strike(&["devnet_mine"]), None);
        assert_eq!(faults.strike(&["devnet_mine", "eth_call"]), Some(Strike::TooManyRequests(3)));
    }

    #[test]
    fn unknown_fields_and_a_rule_for_nobody_are_refused() {
        assert!(serde_json::from_str::<Rule>(r#"{"method":"*","action":"cut","often":1}"#).is_err());
        assert!(serde_json::from_str::<Rule>(r#"{"method":"*","action":"cut","count":0}"#).is_err());
    }
}
