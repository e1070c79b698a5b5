//! An authority made for one test, and the certificates it issues.

use std::io;
use std::sync::Arc;

use futures_rustls::TlsAcceptor;
use futures_rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use futures_rustls::rustls::ServerConfig;
use futures_rustls::rustls::crypto::ring;
use netio::{Endpoint, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

/// What a server shows.
pub type Server = Arc<ServerConfig>;

/// Issues certificates that those trust who are given its own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        Self::named("the authority of a test")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A valid certificate for a name or an address.
    pub fn server(&self, name: &str) -> Server {
        self.issue(&CertificateParams::new([name.to_owned()]).unwrap())
    }

    /// One that was valid long ago.
    pub fn expired_server(&self, name: &str) -> Server {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Server {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Arc::new(config)
    }

    /// The address, trusting this authority.
    pub fn trusted(&self, url: &str) -> Endpoint {
        url.parse::<Endpoint>().unwrap().with_tls(Tls::with_ca(self.pem().as_bytes()).unwrap())
    }
}

/// A byte stream, plain or not.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// The server's side of a connection.
pub async fn accept(stream: TcpStream, tls: Option<Server>) -> io::Result<Box<dyn Duplex>> {
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let stream = TlsAcceptor::from(tls).accept(stream.compat()).await?;
    Ok(Box::new(stream.compat()))
}
