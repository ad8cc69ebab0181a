//! Certificates out of PEM files. Errors name the file, and nothing that stands in it.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use deadpool_redis::redis::{Client, ClientTlsConfig, ConnectionInfo, TlsCertificates};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::pem::PemFiles;
use crate::Error;

/// More than any file of certificates holds.
const LONGEST: u64 = 4 << 20;

/// Reads the files that are set; `None` if none is.
pub(super) fn load(files: &PemFiles) -> Result<Option<TlsCertificates>, Error> {
    if !files.are_set() {
        return Ok(None);
    }
    let root_cert = files.authority.as_deref().map(authority).transpose()?;
    let client_tls = match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => Some(client(certificate, key)?),
        (None, None) => None,
        _ => {
            let message = "REDIS_CLIENT_CERT and REDIS_CLIENT_KEY are set together or not at all";
            return Err(Error::config(message));
        }
    };
    Ok(Some(TlsCertificates { client_tls, root_cert }))
}

/// Makes connections to these servers use the certificates.
pub(super) fn add(
    nodes: &mut [ConnectionInfo],
    certificates: &TlsCertificates,
) -> Result<(), Error> {
    for node in nodes {
        let client = Client::build_with_tls(node.clone(), certificates.clone())
            .map_err(|_| Error::config("the certificates for Redis cannot be used"))?;
        *node = client.get_connection_info().clone();
    }
    Ok(())
}

fn authority(file: &Path) -> Result<Vec<u8>, Error> {
    const NAME: &str = "REDIS_CA_CERT";
    let pem = read(NAME, file)?;
    let mut store = RootCertStore::empty();
    for certificate in chain(NAME, file, &pem)? {
        let unusable = |_| wrong(NAME, file, "holds a certificate that is no authority's");
        store.add(certificate).map_err(unusable)?;
    }
    Ok(pem)
}

fn client(certificate: &Path, key: &Path) -> Result<ClientTlsConfig, Error> {
    const NAME: &str = "REDIS_CLIENT_KEY";
    let client_cert = read("REDIS_CLIENT_CERT", certificate)?;
    let client_key = read(NAME, key)?;
    let chain = chain("REDIS_CLIENT_CERT", certificate, &client_cert)?;
    let no_key = |_| wrong(NAME, key, "holds no private key in PEM form");
    let secret = PrivateKeyDer::from_pem_slice(&client_key).map_err(no_key)?;
    let fits = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(RootCertStore::empty()))
        .and_then(|builder| builder.with_client_auth_cert(chain, secret));
    match fits {
        Ok(_) => Ok(ClientTlsConfig { client_cert, client_key }),
        Err(_) => Err(wrong(NAME, key, "holds a key that does not fit the certificate")),
    }
}

fn chain(name: &str, file: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(wrong(name, file, "holds no certificate in PEM form")),
    }
}

fn read(name: &str, file: &Path) -> Result<Vec<u8>, Error> {
    let mut pem = Vec::new();
    let read = File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_end(&mut pem));
    match read {
        Ok(_) if pem.len() as u64 > LONGEST => Err(wrong(name, file, "is too long")),
        Ok(_) => Ok(pem),
        Err(error) => Err(wrong(
            name,
            file,
            &format!("cannot be read ({}); expected a PEM file", error.kind()),
        )),
    }
}

fn wrong(name: &str, file: &Path, what: &str) -> Error {
    Error::config(format!("{name}: {:?} {what}", file.display().to_string()))
}
