//! Where a node is: `http://host:port/path`.
//!
//! Providers put access keys into the path, so a path is never shown: not in errors, not in logs, not by `Debug`.
//!
//! Fails on anything a lane could not dial, with the reason and without the rest of the address.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;

const HTTP_PORT: u16 = 80;

/// A parsed `http://host[:port][/path]`. Its `Display` and `Debug` show `http://host:port` and keep the path secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    /// The target of every request: path and query.
    target: Uri,
    /// The value of the `Host` header.
    authority: HeaderValue,
}

/// Why an address cannot be dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("a node's address must look like http://host:port/path: {reason}")]
    Malformed {
        /// What the parser found.
        reason: String,
    },
    /// https, ws, or no scheme.
    #[error(
        "a node's address must begin with http://, and this one begins with {scheme}; for https let a proxy on this machine do the TLS"
    )]
    Scheme {
        /// The scheme found, with its colon and slashes.
        scheme: String,
    },
    /// `http://user:password@host`.
    #[error(
        "the address of node {host} carries a user name; HTTP authentication is not supported: put an access key into the path, or let a proxy add the header"
    )]
    Credentials {
        /// The host found.
        host: String,
    },
}

impl Endpoint {
    /// Name or address literal, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port; 80 where the address has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn target(&self) -> &Uri {
        &self.target
    }

    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let uri: Uri = text.trim().parse().map_err(malformed)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(other) => {
                return Err(EndpointError::Scheme { scheme: format!("{other}://") });
            }
            None => {
                return Err(EndpointError::Scheme { scheme: "no scheme".to_owned() });
            }
        }
        let authority = uri.authority().ok_or_else(|| malformed("no host"))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if authority.as_str().contains('@') {
            return Err(EndpointError::Credentials { host });
        }
        if authority.as_str() != authority.host() && authority.port_u16().is_none() {
            return Err(malformed("the port is not a number up to 65535"));
        }
        let path = uri.path_and_query().cloned();
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(HTTP_PORT),
            target: path.unwrap_or_else(|| PathAndQuery::from_static("/")).into(),
            authority: HeaderValue::from_str(authority.as_str()).map_err(malformed)?,
        })
    }
}

fn malformed(reason: impl fmt::Display) -> EndpointError {
    EndpointError::Malformed { reason: reason.to_string() }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "http://[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "http://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        text.parse()
    }

    #[test]
    fn host_port_and_path_are_taken_apart() {
        let node = parse("http://node.example:8545/v3/KEY?a=1").expect("an address");
        assert_eq!((node.host(), node.port()), ("node.example", 8545));
        assert_eq!(node.target(), "/v3/KEY?a=1");
        assert_eq!(node.authority(), "node.example:8545");
    }

    #[test]
    fn port_and_path_have_their_defaults() {
        let node = parse("http://10.0.0.1").expect("an address");
        assert_eq!((node.port(), node.target().path()), (80, "/"));
    }

    #[test]
    fn an_ipv6_address_is_dialled_without_its_brackets() {
        let node = parse("http://[::1]:8545").expect("an address");
        assert_eq!(node.host(), "::1");
        assert_eq!(node.authority(), "[::1]:8545");
        assert_eq!(node.to_string(), "http://[::1]:8545");
    }

    #[test]
    fn a_path_is_never_shown() {
        let node = parse("http://node.example/v3/SECRET").expect("an address");
        assert!(!format!("{node} {node:?}").contains("SECRET"));
        let error = parse("https://node.example/SECRET").expect_err("https");
        assert!(!format!("{error} {error:?}").contains("SECRET"));
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_with_the_reason() {
        let said = |text| parse(text).expect_err("not an address").to_string();
        assert!(said("https://node.example").contains("proxy on this machine"));
        assert!(said("ws://node.example").contains("ws://"));
        assert!(said("node.example:8545").contains("http://"));
        assert!(said("http://user:pass@node.example").contains("not supported"));
        assert!(!said("http://user:pass@node.example").contains("pass@"));
        assert!(said("http://node.example:99999").contains("http://host:port"));
        assert!(said("").contains("http://host:port"));
    }
}
