//! TLS to a server, where the program has it (cargo feature `tls`).

use crate::config::Server;
use crate::io::socket::Stream;

/// The same connection, by TLS if the server is to be spoken to so.
///
/// # Errors
///
/// Why that cannot be, in words.
pub(in crate::io) async fn wrap(
    server: &Server,
    stream: Box<dyn Stream>,
) -> Result<Box<dyn Stream>, String> {
    if server.tls { encrypted(server, stream).await } else { Ok(stream) }
}

/// What the lite program says.
#[cfg(not(feature = "tls"))]
pub(in crate::io) const MISSING: &str =
    "this program has no TLS; use a server or a program in the LAN";

#[cfg(not(feature = "tls"))]
fn encrypted(
    _: &Server,
    _: Box<dyn Stream>,
) -> std::future::Ready<Result<Box<dyn Stream>, String>> {
    std::future::ready(Err(MISSING.to_owned()))
}

#[cfg(feature = "tls")]
async fn encrypted(server: &Server, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>, String> {
    let now = crate::io::clock::now().utc;
    encrypted_at(now, server, stream).await
}

#[cfg(feature = "tls")]
async fn encrypted_at(
    now: Option<crate::time::Utc>,
    server: &Server,
    stream: Box<dyn Stream>,
) -> Result<Box<dyn Stream>, String> {
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;

    // Every certificate of today would be one of the future.
    if now.is_none() {
        return Err(
            "the clock of this box is not set, so certificates cannot be checked yet".to_owned()
        );
    }
    let name = ServerName::try_from(server.host.clone())
        .map_err(|_| format!("{} is no name for a certificate", server.host))?;
    let connector = TlsConnector::from(config());
    match tokio::time::timeout(HANDSHAKE, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(format!("{}: {}", server.host, refused(&error))),
        Err(_) => Err(format!("{} does not answer by TLS", server.host)),
    }
}

#[cfg(feature = "tls")]
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(10);

/// Whom to trust: the system's authorities, or those of the program where the system has none. Made for each
/// connection, as a hundred certificates in memory for good would be half of what the agent takes.
#[cfg(feature = "tls")]
fn config() -> std::sync::Arc<tokio_rustls::rustls::ClientConfig> {
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    std::sync::Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Why there is no connection by TLS.
#[cfg(feature = "tls")]
fn refused(error: &std::io::Error) -> String {
    use tokio_rustls::rustls::{CertificateError, Error};

    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate is not from an authority that this box trusts".to_owned()
        }
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "its certificate has expired".to_owned(),
        Some(Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => "its certificate is not valid yet; is the clock of this box right?".to_owned(),
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "its certificate is for another name".to_owned(),
        Some(Error::InvalidMessage(_)) => "what answers there does not speak TLS".to_owned(),
        Some(other) => other.to_string(),
        None => crate::io::socket::words(error),
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn a_box_whose_clock_is_not_set_says_so_and_nothing_to_the_server() {
        let server = Server { tls: true, host: "mail.example".to_owned(), port: 465 };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tried = |now| {
            let (near, mut far) = tokio::io::duplex(4096);
            let heard = async {
                let mut byte = [0];
                far.read(&mut byte).await.unwrap()
            };
            let said = async {
                let wait = std::time::Duration::from_millis(300);
                let said = encrypted_at(now, &server, Box::new(near));
                tokio::time::timeout(wait, said).await.map(|said| said.map(drop))
            };
            runtime.block_on(async { tokio::join!(said, heard) })
        };
        let (said, heard) = tried(None);
        assert!(said.unwrap().unwrap_err().starts_with("the clock of this box is not set"));
        assert_eq!(heard, 0);
        let (said, heard) = tried(Some(crate::time::Utc(1_900_000_000_000)));
        assert!(said.is_err() && heard == 1, "control: it would have begun");
    }
}
