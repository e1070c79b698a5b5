//! The few HTTP requests of a demo, and the reading of Prometheus text.
//!
//! `load` reads Prometheus text too, and neither borrows from the other: through `load`, xtask would bring an Ethereum library
//! into the build of the command that checks what a bare machine lacks; through xtask, `load` would bring in a build tool. A
//! package for these few lines would be larger than they are.

use std::time::Duration;

use anyhow::Context;
use ureq::Agent;

/// Everything asked here is on this machine and answers at once, or is down.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client that returns any status as an answer.
pub(crate) fn agent() -> Agent {
    Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build().new_agent()
}

/// Status and body of a GET.
pub(crate) fn get(agent: &Agent, url: &str) -> anyhow::Result<(u16, String)> {
    let mut response = agent.get(url).call().with_context(|| format!("GET {url}"))?;
    let body = response.body_mut().read_to_string().with_context(|| format!("reading {url}"))?;
    Ok((response.status().as_u16(), body))
}

/// Whether a node answers `eth_chainId` at `url`.
pub(crate) fn node_answers(agent: &Agent, url: &str) -> bool {
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let response = agent.post(url).header("content-type", "application/json").send(request);
    response.is_ok_and(|mut response| response.body_mut().read_to_string().is_ok_and(|body| body.contains("\"result\"")))
}

/// The value of metric `name`, summed over its labels; `None` if it is not there.
pub(crate) fn metric(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = if rest.starts_with('{') { rest.rsplit_once('}')?.1 } else { rest };
        value.strip_prefix(' ')?.split_whitespace().next()?.parse::<f64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_taken_for_a_longer_name() {
        let text = "# TYPE a counter\na 1\na_total{x=\"}\"} 2\na_total{x=\"b\"} 3.5 1700000000\n";
        assert_eq!(metric(text, "a"), Some(1.0));
        assert_eq!(metric(text, "a_total"), Some(5.5));
        assert_eq!(metric(text, "a_"), None);
        assert_eq!(metric(text, "b"), None);
    }
}
