//! The service's certificate and key: two files, read together, checked, and read again when they change.
//!
//! A pair that cannot be used is refused with what is wrong with it, and the one in use stays. Must never show any of
//! the key.

use crate::{
    clock::Clock,
    model::{sha256, with_causes},
};
use arc_swap::ArcSwap;
use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use webpki::{EndEntityCert, KeyUsage};
use zeroize::Zeroizing;

/// A longer file is none of ours.
const MAX_BYTES: u64 = 1 << 20;
/// How often the files are looked at. By their content: a link that Kubernetes swaps, a file that is moved into place and
/// one that is written over are all the same.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is wrong with a pair, and with which of its files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    /// The file of the certificate.
    #[error("{0}")]
    Certificate(String),
    /// The file of the key.
    #[error("{0}")]
    Key(String),
}

/// Where the pair is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those between it and its authority, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

/// What a look at the files brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing new.
    Same,
    /// Another pair, now in use.
    Taken,
    /// Something that is no pair, or not yet: what was in use stays.
    Refused(TlsFault),
}

/// The pair in use.
pub struct Certificates {
    files: TlsFiles,
    clock: Clock,
    pair: ArcSwap<CertifiedKey>,
    seen: Mutex<Seen>,
}

/// What the last looks found.
struct Seen {
    in_use: [u8; 32],
    fault: Option<TlsFault>,
}

impl TlsFiles {
    /// What would keep the pair from being used now.
    pub fn check(&self, clock: &Clock) -> Result<(), TlsFault> {
        self.read()?.parse(clock).map(|_| ())
    }

    fn read(&self) -> Result<Texts, TlsFault> {
        let certificate = read(&self.certificate).map_err(TlsFault::Certificate)?;
        let key = read(&self.key).map_err(TlsFault::Key)?;
        Ok(Texts { certificate, key })
    }
}

/// Both files as they were read.
struct Texts {
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Texts {
    fn digest(&self) -> [u8; 32] {
        sha256(&[&sha256(&[&self.certificate]), &self.key])
    }

    fn parse(&self, clock: &Clock) -> Result<CertifiedKey, TlsFault> {
        let no_certificate =
            || TlsFault::Certificate("expected certificates as PEM, the service's own first".to_owned());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(no_certificate)?;
        let own = EndEntityCert::try_from(&chain[0]).map_err(|_| no_certificate())?;
        check_time(&own, clock)?;
        // Neither error says what it found: that could be some of the key.
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsFault::Key("expected a private key as PEM, without a passphrase".to_owned()))?;
        CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| {
            TlsFault::Key(
                match error {
                    rustls::Error::InconsistentKeys(_) => "expected the key of the certificate, which has another",
                    _ => "expected an RSA, ECDSA or Ed25519 key",
                }
                .to_owned(),
            )
        })
    }
}

/// Without an authority to trust nothing verifies, but the times are looked at first.
fn check_time(own: &EndEntityCert<'_>, clock: &Clock) -> Result<(), TlsFault> {
    let since_1970 = Duration::from_micros(u64::try_from(clock.now().as_micros()).unwrap_or_default());
    let now = UnixTime::since_unix_epoch(since_1970);
    let problem = match own.verify_for_usage(&[], &[], &[], now, KeyUsage::server_auth(), None, None) {
        Err(webpki::Error::CertExpired { .. }) => "the certificate has expired",
        Err(webpki::Error::CertNotValidYet { .. }) => "the certificate is not valid yet",
        _ => return Ok(()),
    };
    Err(TlsFault::Certificate(problem.to_owned()))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut text = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
    let fits = |bytes: usize| {
        let long = io::Error::new(io::ErrorKind::FileTooLarge, "it is over 1 MiB");
        if bytes as u64 > MAX_BYTES { Err(long) } else { Ok(()) }
    };
    let read = read.and_then(fits);
    read.map(|()| text).map_err(|error| format!("{} cannot be read: {}", path.display(), with_causes(&error)))
}

impl Certificates {
    /// Reads and checks the pair.
    pub fn load(files: TlsFiles, clock: Clock) -> Result<Arc<Self>, TlsFault> {
        let texts = files.read()?;
        let pair = ArcSwap::from_pointee(texts.parse(&clock)?);
        let seen = Mutex::new(Seen { in_use: texts.digest(), fault: None });
        Ok(Arc::new(Self { files, clock, pair, seen }))
    }

    /// Looks at the files, and takes what is in them if it is another pair and a good one. Each fault is logged once.
    pub fn look(&self) -> Look {
        let read = self.files.read();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = read.as_ref().ok().map(Texts::digest);
        if digest == Some(seen.in_use) {
            seen.fault = None;
            return Look::Same;
        }
        match read.and_then(|texts| texts.parse(&self.clock)) {
            Ok(pair) => {
                self.pair.store(Arc::new(pair));
                *seen = Seen { in_use: digest.unwrap_or_default(), fault: None };
                tracing::info!(certificate = %self.files.certificate.display(), "the new certificate is in use");
                Look::Taken
            }
            Err(fault) => {
                if seen.fault.as_ref() != Some(&fault) {
                    let (certificate, key) = (self.files.certificate.display(), self.files.key.display());
                    tracing::warn!(%certificate, %key, %fault, "the new certificate is refused, the old one stays in use");
                    seen.fault = Some(fault.clone());
                }
                Look::Refused(fault)
            }
        }
    }

    /// Looks every few seconds, for ever.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let own = self.clone();
            let _ = tokio::task::spawn_blocking(move || own.look()).await;
        }
    }

    /// How the service speaks TLS: 1.2 and 1.3, HTTP/2 and HTTP/1.1, with whatever pair is in use.
    pub fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        #[expect(clippy::expect_used, reason = "both versions are compiled in")]
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.pair.load_full())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}
