//! Certificates for TLS, and servers that use them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::launch::RedisServerBuilder;
use super::ports::Port;
use super::server::RedisServer;

/// An authority of one test's own, a server's and a client's certificate from it, and those of a
/// stranger; PEM files, removed on drop.
#[derive(Debug)]
pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn new() -> Certificates {
        let files = Certificates(TempDir::with_prefix("evenkeel-tls-").expect("a directory"));
        files.authority("ca", &["server", "client"]);
        files.authority("strangers-ca", &["stranger"]);
        files
    }

    /// `ca`, `server`, `client`, `stranger` with the ending `.pem` or `.key`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A server that speaks TLS on the second port (and none on its own, for the test itself).
    pub(crate) async fn server(&self, builder: RedisServerBuilder) -> TlsServer {
        let port = Port::take();
        let server = builder
            .arg("tls-port", port.number())
            .arg("tls-cert-file", self.file("server.pem").display())
            .arg("tls-key-file", self.file("server.key").display())
            .arg("tls-ca-cert-file", self.file("ca.pem").display())
            .start()
            .await;
        TlsServer { server, port }
    }

    fn authority(&self, name: &str, members: &[&str]) {
        let mut params = CertificateParams::new(Vec::new()).expect("no name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
        std::fs::write(self.file(&format!("{name}.pem")), issuer.pem()).expect("a file");
        for member in members {
            let names = vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()];
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(names).expect("names");
            // A name of its own: one that is its issuer's, too, makes it self-signed for OpenSSL.
            params.distinguished_name.push(DnType::CommonName, *member);
            let certificate = params.signed_by(&key, &issuer).expect("a certificate");
            std::fs::write(self.file(&format!("{member}.pem")), certificate.pem()).expect("a file");
            std::fs::write(self.file(&format!("{member}.key")), key.serialize_pem())
                .expect("a file");
        }
    }
}

/// A server that speaks TLS.
#[derive(Debug)]
pub(crate) struct TlsServer {
    pub(crate) server: RedisServer,
    port: Port,
}

impl TlsServer {
    /// Where it speaks TLS.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port.number()).into()
    }
}
