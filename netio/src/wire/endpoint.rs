//! Where a node is: `http://host:port/path`, or the same with https, ws or wss.
//!
//! Providers put access keys into the path, so a path is never shown: not in errors, not in logs, not by `Debug`.
//!
//! Fails on anything that could not be dialled, with the reason and without the rest of the address.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;

use super::tls::{Tls, TlsError};

/// What is spoken at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 under TLS.
    Https,
    /// WebSocket.
    Ws,
    /// WebSocket under TLS.
    Wss,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Ws, Self::Wss];

    /// As it is written before `://`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether the bytes travel under TLS.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Https | Self::Wss)
    }

    /// Whether it is WebSocket, which carries heads; requests go over HTTP.
    pub const fn is_web_socket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The port of an address that names none.
    const fn port(self) -> u16 {
        if self.is_encrypted() { 443 } else { 80 }
    }
}

/// A parsed `scheme://host[:port][/path]`. Its `Display` and `Debug` show `scheme://host:port` and keep the path secret.
#[derive(Clone)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    /// The target of every request: path and query.
    target: Uri,
    /// The value of the `Host` header.
    authority: HeaderValue,
    /// Whom to trust there, if not just the authorities of this machine.
    tls: Option<Tls>,
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
    /// Something else than http, https, ws, wss, or no scheme.
    #[error("a node's address must begin with http://, https://, ws:// or wss://, and this one begins with {scheme}")]
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

    /// What is spoken there.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// TCP port; 80, or 443 under TLS, where the address has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same address, trusting `tls`. Without it the authorities of this machine are trusted ([`Tls::system`]); it says
    /// nothing about `http` and `ws`, which check nobody.
    #[must_use]
    pub fn with_tls(self, tls: Tls) -> Self {
        Self { tls: Some(tls), ..self }
    }

    pub(super) fn tls(&self) -> Result<Tls, TlsError> {
        self.tls.clone().map_or_else(Tls::system, Ok)
    }

    pub(crate) fn target(&self) -> &Uri {
        &self.target
    }

    pub(crate) fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let uri: Uri = text.trim().parse().map_err(malformed)?;
        let scheme = match uri.scheme_str() {
            None => return Err(EndpointError::Scheme { scheme: "no scheme".to_owned() }),
            Some(found) => Scheme::ALL
                .into_iter()
                .find(|scheme| scheme.as_str().eq_ignore_ascii_case(found))
                .ok_or_else(|| EndpointError::Scheme { scheme: format!("{found}://") })?,
        };
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
            scheme,
            host,
            port: authority.port_u16().unwrap_or(scheme.port()),
            target: path.unwrap_or_else(|| PathAndQuery::from_static("/")).into(),
            authority: HeaderValue::from_str(authority.as_str()).map_err(malformed)?,
            tls: None,
        })
    }
}

fn malformed(reason: impl fmt::Display) -> EndpointError {
    EndpointError::Malformed { reason: reason.to_string() }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.as_str();
        if self.host.contains(':') {
            write!(formatter, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{scheme}://{}:{}", self.host, self.port)
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
        for (text, scheme, port) in [
            ("http://10.0.0.1", Scheme::Http, 80),
            ("https://10.0.0.1", Scheme::Https, 443),
            ("ws://10.0.0.1", Scheme::Ws, 80),
            ("WSS://10.0.0.1", Scheme::Wss, 443),
        ] {
            let node = parse(text).expect("an address");
            assert_eq!((node.scheme(), node.port(), node.target().path()), (scheme, port, "/"));
        }
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
        for scheme in Scheme::ALL {
            let node = parse(&format!("{}://node.example/v3/SECRET", scheme.as_str())).expect("an address");
            assert!(!format!("{node} {node:?}").contains("SECRET"));
            assert!(node.to_string().starts_with(&format!("{}://node.example:", scheme.as_str())));
        }
        let error = parse("ftp://node.example/SECRET").expect_err("ftp");
        assert!(!format!("{error} {error:?}").contains("SECRET"));
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_with_the_reason() {
        let said = |text| parse(text).expect_err("not an address").to_string();
        assert!(said("ftp://node.example").contains("ftp://"));
        assert!(said("node.example:8545").contains("https://"));
        assert!(said("http://user:pass@node.example").contains("not supported"));
        assert!(!said("http://user:pass@node.example").contains("pass@"));
        assert!(said("http://node.example:99999").contains("http://host:port"));
        assert!(said("").contains("http://host:port"));
    }
}
