//! Certificates of a test's own, and connections over them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::within;

const LIMIT: Duration = Duration::from_secs(60);

/// Bytes both ways, over TLS or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// What a client speaks to a gateway over.
#[derive(Clone)]
pub enum Over {
    Tcp,
    /// Trusting one authority.
    Tls(Trust),
}

/// Trust in the authority of a test.
#[derive(Clone)]
pub struct Trust {
    authority: Arc<str>,
    der: CertificateDer<'static>,
}

impl Over {
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Tcp => "http",
            Self::Tls(_) => "https",
        }
    }

    /// The authority that clients have to know, as PEM.
    pub fn authority(&self) -> Option<&str> {
        match self {
            Self::Tcp => None,
            Self::Tls(trust) => Some(&trust.authority),
        }
    }

    /// Connects, speaking HTTP/1.1 or what comes after it.
    pub async fn connect(&self, address: SocketAddr) -> Box<dyn Stream> {
        match self {
            Self::Tcp => {
                let tcp = within(LIMIT, TcpStream::connect(address)).await.unwrap();
                tcp.set_nodelay(true).unwrap();
                Box::new(tcp)
            }
            Self::Tls(trust) => Box::new(trust.connect(address, &[b"http/1.1"]).await.unwrap()),
        }
    }
}

impl Trust {
    /// A client that offers these protocols.
    pub fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let mut client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        client
    }

    pub async fn connect(
        &self,
        address: SocketAddr,
        protocols: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let client = self.client_of(rustls::DEFAULT_VERSIONS, protocols);
        connect(Arc::new(client), address).await
    }
}

/// Connects with a client's configuration.
pub async fn connect(
    client: Arc<ClientConfig>,
    address: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = within(LIMIT, TcpStream::connect(address)).await?;
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    within(LIMIT, TlsConnector::from(client).connect(name, tcp)).await
}

/// An authority, and the files of a certificate that it has given.
pub struct TestCertificate {
    dir: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl TestCertificate {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let made = Self {
            dir: TempDir::new().unwrap(),
            authority: CertifiedIssuer::self_signed(params, key).unwrap(),
        };
        made.renew();
        made
    }

    pub fn over(&self) -> Over {
        Over::Tls(self.trust())
    }

    pub fn trust(&self) -> Trust {
        Trust {
            authority: self.authority.pem().into(),
            der: self.authority.der().clone(),
        }
    }

    pub fn cert(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    pub fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    /// Puts a new certificate with a new key in the place of what is there; gives it.
    pub fn renew(&self) -> CertificateDer<'static> {
        self.renew_with(|_| {})
    }

    pub fn renew_with(
        &self,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        std::fs::write(self.cert(), certificate.pem()).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }
}
