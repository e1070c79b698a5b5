//! Whom a TLS client trusts, and what it says when it does not.
//!
//! rustls with the ring provider (no cmake, no assembler), TLS 1.2 and 1.3. The roots are the machine's own, not a list compiled in:
//! its administrator decides whom it trusts, they are kept up to date without a new millrace, and `SSL_CERT_FILE` and `SSL_CERT_DIR` are
//! honoured. For a private node, [`Tls::with_ca`] adds its authority. There is no way to switch the check off.
//!
//! How it fails: a certificate that is not trusted, not for this name or not valid now ends the handshake, and the words say which of these and
//! what to do.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use futures_rustls::pki_types::pem::PemObject;
use futures_rustls::pki_types::{CertificateDer, ServerName};
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore};
use futures_util::io::{AsyncRead, AsyncWrite};

/// Trusted authorities. Clones share them, and the sessions that make a second handshake shorter.
#[derive(Clone)]
pub struct Tls(Arc<ClientConfig>);

/// Why nobody can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// The extra authorities are not PEM, or there is none among them.
    #[error(
        "the extra certificate authorities cannot be read: {reason}; give one or more certificates as PEM (-----BEGIN CERTIFICATE-----)"
    )]
    Pem {
        /// What the parser found.
        reason: String,
    },
    /// The machine has none.
    #[error(
        "this machine trusts no certificate authority{reason}: install its ca-certificates package, or name a PEM file in SSL_CERT_FILE, or give the node's authority as an extra one"
    )]
    NoRoots {
        /// What went wrong while looking, with a leading blank; often nothing.
        reason: String,
    },
    /// rustls refuses what millrace asks of it.
    #[error("TLS cannot be set up: {reason}")]
    Setup {
        /// rustls' words.
        reason: String,
    },
}

impl Tls {
    /// Trusts the authorities of this machine. They are read once in the life of the process.
    ///
    /// # Errors
    /// The machine has none.
    pub fn system() -> Result<Self, TlsError> {
        static SYSTEM: OnceLock<Result<Tls, TlsError>> = OnceLock::new();
        SYSTEM.get_or_init(|| Self::new(&[])).clone()
    }

    /// Trusts the authorities of this machine, if it has any, and those in `pem`: one certificate or more. A node's self-signed certificate
    /// is its own authority, unless it is marked as one (`CA:TRUE`).
    ///
    /// # Errors
    /// `pem` holds no certificate, or one that cannot be read.
    pub fn with_ca(pem: &[u8]) -> Result<Self, TlsError> {
        let unreadable = |reason: &dyn fmt::Display| TlsError::Pem { reason: reason.to_string() };
        let extra: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
        if extra.is_empty() {
            return Err(unreadable(&"there is no certificate in them"));
        }
        Self::new(&extra)
    }

    fn new(extra: &[CertificateDer<'static>]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let machines = rustls_native_certs::load_native_certs();
        // Machines carry oddities that nobody needs; a root that cannot be read is only not trusted.
        roots.add_parsable_certificates(machines.certs);
        for authority in extra {
            roots.add(authority.clone()).map_err(|error| TlsError::Pem { reason: error.to_string() })?;
        }
        if roots.is_empty() {
            let reason = machines.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
            return Err(TlsError::NoRoots { reason });
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup { reason: error.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// The handshake with `host`, a name or an address literal without brackets.
    pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(&self, host: &str, stream: S) -> Result<TlsStream<S>, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no name that a certificate can carry"))?;
        TlsConnector::from(Arc::clone(&self.0)).connect(name, stream).await.map_err(|error| explain(host, &error))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// What was wrong with the handshake, and what to do.
fn explain(host: &str, error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(wrong)) => refusal(host, wrong),
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "it does not speak TLS at this port: write http:// (or ws://) in place of https:// (or wss://)".to_owned()
        }
        Some(other) => format!("the TLS handshake failed: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the connection was closed in the middle of the TLS handshake".to_owned(),
        None => format!("the TLS handshake failed: {error}"),
    }
}

fn refusal(host: &str, wrong: &CertificateError) -> String {
    match wrong {
        // A bad signature: an authority known here has the same name and another key, as one does that was made anew.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate of {host} is not trusted: no authority known here issued it; give the certificate of its authority as an extra one, or install it on this machine"
        ),
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!(
                "the certificate is not for {host} but for {}: dial that name, or have {host} put into the certificate",
                presented.join(", ")
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired: renew it there, or correct the clock of this machine if that is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet: correct the clock of this machine or of whoever issued it")
        }
        // webpki keeps this one to itself, as an error of another kind.
        CertificateError::Other(other) if other.0.to_string().contains("CaUsedAsEndEntity") => format!(
            "the certificate of {host} is marked as an authority (CA:TRUE), and those cannot serve: issue one with CA:FALSE, and give it as an extra authority if it is self-signed"
        ),
        other => format!("the certificate of {host} cannot be accepted: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_certificate_is_refused_with_what_to_give() {
        for pem in ["", "secret", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"] {
            let error = Tls::with_ca(pem.as_bytes()).expect_err("no certificate").to_string();
            assert!(error.contains("BEGIN CERTIFICATE") && !error.contains("secret"), "{error}");
        }
    }
}
