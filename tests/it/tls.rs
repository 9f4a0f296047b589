//! TLS with certificates of the tests' own: who may connect, by which protocol, and what happens when the files change.

use crate::support::{
    app::{ALLOWLIST, Persona::Admin, Setting, TestApp},
    database::on_sqlite,
    issuer::{Alg, Issuer},
    service,
    sts::FakeSts,
    until,
};
use hallpass::{
    clock::Clock,
    http::Patience,
    tls::{Certificates, Look, TlsFault, TlsFiles},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use reqwest::Version;
use std::{fs, os::unix::fs::symlink, path::Path, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(10);

/// A certification authority, and a folder for what it gives out.
pub(crate) struct Authority {
    ca: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // By its usual name what it signs would look as if it had signed itself.
        params.distinguished_name.push(DnType::CommonName, "the authority of the tests");
        // Python from 3.13 on wants to be told, and of each certificate which key of the authority's has signed it.
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { ca, folder: tempfile::tempdir().unwrap() }
    }

    /// A certificate for 127.0.0.1 and this name, and its key.
    pub(crate) fn issue(&self, name: &str, until: i32) -> (String, String) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), name.to_owned()]).unwrap();
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.ca).unwrap().pem(), key.serialize_pem())
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.folder.path().join("tls.crt"), key: self.folder.path().join("tls.key") }
    }

    fn write(&self, (certificate, key): &(String, String)) {
        let files = self.files();
        fs::write(files.certificate, certificate).unwrap();
        fs::write(files.key, key).unwrap();
    }

    /// The pair is in use.
    pub(crate) fn load(&self, pair: &(String, String)) -> Arc<Certificates> {
        self.write(pair);
        Certificates::load(self.files(), Clock::system()).unwrap()
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> String {
        self.ca.pem()
    }

    /// A client that trusts this authority and nobody else.
    fn client(&self) -> reqwest::ClientBuilder {
        let authority = reqwest::Certificate::from_pem(self.ca.pem().as_bytes()).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([authority]).tls_info(true)
    }

    /// The certificate that a new connection is shown.
    async fn shown(&self, url: &str) -> Vec<u8> {
        let answer = self.client().build().unwrap().get(format!("{url}/healthz")).send().await.unwrap();
        let info: &reqwest::tls::TlsInfo = answer.extensions().get().unwrap();
        info.peer_certificate().unwrap().to_vec()
    }
}

fn der(pair: &(String, String)) -> Vec<u8> {
    pem::parse(&pair.0).unwrap().into_contents()
}

#[test]
fn both_protocols_are_spoken_to_who_trusts_the_authority() {
    on_sqlite(async |db| {
        let authority = Authority::new();
        let certificates = authority.load(&authority.issue("hallpass.example.com", 2999));
        let test = TestApp::start_with(db, Setting { tls: Some(certificates), ..Setting::default() }).await;
        let url = format!("{}/readyz", test.url);
        for (client, version) in [
            (authority.client(), Version::HTTP_2),
            (authority.client().http1_only(), Version::HTTP_11),
            (authority.client().tls_version_max(reqwest::tls::Version::TLS_1_2), Version::HTTP_2),
        ] {
            let answer = client.build().unwrap().get(&url).send().await.unwrap();
            assert_eq!((answer.version(), answer.status().as_u16()), (version, 200));
        }
        let strangers = Authority::new().client().build().unwrap();
        assert!(strangers.get(&url).send().await.is_err(), "another authority");
        let mut plain = TcpStream::connect(test.url.strip_prefix("https://").unwrap()).await.unwrap();
        plain.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        let _ = timeout(LIMIT, plain.read_to_end(&mut said)).await.expect("an end");
        assert!(!said.starts_with(b"HTTP"), "no answer in the clear");
        test.close().await;
    });
}

#[test]
fn many_streams_and_long_heads_have_their_limits_in_http2() {
    on_sqlite(async |db| {
        let authority = Authority::new();
        let certificates = authority.load(&authority.issue("h", 2999));
        let test = TestApp::start_with(db, Setting { tls: Some(certificates), ..Setting::default() }).await;
        let client = authority.client().build().unwrap();
        let url = format!("{}/healthz", test.url);
        let asking = (0..300).map(|_| client.get(&url).send());
        let answers = futures_util::future::join_all(asking).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().status() == 200), "who has many waits for a stream");
        let long = client.get(&url).header("x-long", "x".repeat(40 * 1024)).send().await;
        assert!(long.is_err() || long.unwrap().status() == 431);
        assert_eq!(client.get(&url).header("x-long", "x".repeat(16 * 1024)).send().await.unwrap().status(), 200);
        test.close().await;
    });
}

/// Neither a full socket nor an idle connection: the windows of single streams are shut, and requests go on.
#[test]
fn answers_that_nobody_takes_end_the_connection() {
    on_sqlite(async |db| {
        let authority = Authority::new();
        let tls = Some(authority.load(&authority.issue("h", 2999)));
        let soon = Duration::from_millis(300);
        let patience = Patience { head: soon / 3, taking: soon, ..Patience::default() };
        let test = TestApp::start_with(db, Setting { patience, tls, ..Setting::default() }).await;
        for window in [0, 1] {
            let client = authority.client().http2_initial_stream_window_size(window).build().unwrap();
            let ask = || client.get(format!("{}/nothing", test.url)).send();
            let mut stuck = Vec::new();
            for _ in 0..5 {
                stuck.push(ask().await.unwrap());
            }
            let began = std::time::Instant::now();
            while began.elapsed() < soon * 4 {
                // What is dropped unread is reset.
                let _ = ask().await;
            }
            for answer in stuck {
                assert!(answer.bytes().await.is_err(), "a window of {window}");
            }
        }
        test.close().await;
    });
}

#[test]
fn who_reads_slowly_is_not_cut_off() {
    on_sqlite(async |db| {
        let authority = Authority::new();
        let tls = Some(authority.load(&authority.issue("h", 2999)));
        let soon = Duration::from_millis(400);
        let patience = Patience { head: soon / 4, idle: soon, taking: soon };
        let test = TestApp::start_with(db, Setting { patience, tls, ..Setting::default() }).await;
        let file = format!("{ALLOWLIST}\n{}", "# padding\n".repeat(60_000));
        assert_eq!(test.apply(&file).await.status, 200);
        let client = authority.client().http2_initial_stream_window_size(32 * 1024).build().unwrap();
        let asking = client.get(format!("{}/v1/allowlist", test.url)).bearer_auth(test.token(Admin));
        let (began, mut answer, mut read) = (std::time::Instant::now(), asking.send().await.unwrap(), 0);
        while let Some(part) = answer.chunk().await.unwrap() {
            read += part.len();
            tokio::time::sleep(soon / 10).await;
        }
        assert_eq!(read, file.len());
        assert!(began.elapsed() > soon * 2, "too fast to show anything");
        test.close().await;
    });
}

#[test]
fn a_handshake_that_does_not_go_on_is_cut_off() {
    on_sqlite(async |db| {
        let authority = Authority::new();
        let tls = Some(authority.load(&authority.issue("h", 2999)));
        let patience = Patience { head: Duration::from_millis(200), ..Patience::default() };
        let test = TestApp::start_with(db, Setting { patience, tls, ..Setting::default() }).await;
        let mut silent = TcpStream::connect(test.url.strip_prefix("https://").unwrap()).await.unwrap();
        // The beginning of a ClientHello.
        silent.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        let mut said = Vec::new();
        let _ = timeout(LIMIT, silent.read_to_end(&mut said)).await.expect("an end");
        test.close().await;
    });
}

#[test]
fn new_files_are_taken_and_broken_ones_refused() {
    on_sqlite(async |db| {
        let authority = Authority::new();
        let [first, second, third] = ["one", "two", "three"].map(|name| authority.issue(name, 2999));
        let certificates = authority.load(&first);
        let tls = Some(certificates.clone());
        let test = TestApp::start_with(db, Setting { tls, ..Setting::default() }).await;
        let kept = authority.client().build().unwrap();
        let healthz = format!("{}/healthz", test.url);
        assert_eq!(kept.get(&healthz).send().await.unwrap().status(), 200);
        assert_eq!(authority.shown(&test.url).await, der(&first));
        assert_eq!(certificates.look(), Look::Same);

        let certificate = |problem: &str| Look::Refused(TlsFault::Certificate(problem.to_owned()));
        let key = |problem: &str| Look::Refused(TlsFault::Key(problem.to_owned()));
        let half = (second.0[..second.0.len() / 2].to_owned(), second.1.clone());
        let none = (String::new(), second.1.clone());
        let of_another = (second.0.clone(), first.1.clone());
        for (pair, look) in [
            (&half, certificate("expected certificates as PEM, the service's own first")),
            (&none, certificate("expected certificates as PEM, the service's own first")),
            (&of_another, key("expected the key of the certificate, which has another")),
            (&(second.0.clone(), "secret".to_owned()), key("expected a private key as PEM, without a passphrase")),
            (&authority.issue("old", 2021), certificate("the certificate has expired")),
        ] {
            authority.write(pair);
            assert_eq!(certificates.look(), look);
            assert_eq!(authority.shown(&test.url).await, der(&first), "the old one stays in use: {look:?}");
        }
        fs::remove_file(authority.files().key).unwrap();
        assert!(matches!(certificates.look(), Look::Refused(TlsFault::Key(_))));

        authority.write(&second);
        assert_eq!(certificates.look(), Look::Taken);
        assert_eq!(certificates.look(), Look::Same);
        assert_eq!(authority.shown(&test.url).await, der(&second));
        assert_eq!(kept.get(&healthz).send().await.unwrap().status(), 200, "an open connection goes on");

        // As Kubernetes does it: the files are links into a folder that is itself a link, and that one is swapped.
        let folder = authority.folder.path();
        fs::create_dir(folder.join("v3")).unwrap();
        fs::write(folder.join("v3/tls.crt"), &third.0).unwrap();
        fs::write(folder.join("v3/tls.key"), &third.1).unwrap();
        symlink("v3", folder.join("data")).unwrap();
        for file in ["tls.crt", "tls.key"] {
            fs::remove_file(folder.join(file)).unwrap();
            symlink(Path::new("data").join(file), folder.join(file)).unwrap();
        }
        assert_eq!(certificates.look(), Look::Taken);
        assert_eq!(authority.shown(&test.url).await, der(&third));
        let log = crate::support::log::text();
        let lines = log.lines().filter(|line| line.contains("the old one stays in use"));
        let lines: Vec<_> = lines.filter(|line| line.contains(folder.to_str().unwrap())).collect();
        assert_eq!(lines.len(), 5, "each fault once: {lines:?}");
        assert!(!log.contains("PRIVATE KEY"));
        test.close().await;
    });
}

#[test]
fn a_certificate_counts_from_its_first_day_to_its_last() {
    let authority = Authority::new();
    authority.write(&authority.issue("h", 2030));
    for (now, fault) in [
        ("2019-12-31T23:59:59Z", Some("the certificate is not valid yet")),
        ("2020-01-01T00:00:00Z", None),
        ("2029-12-31T23:59:59Z", None),
        ("2030-01-01T00:00:01Z", Some("the certificate has expired")),
    ] {
        let clock = Clock::settable(hallpass::model::Time::parse(now).unwrap());
        let fault = fault.map(|problem| TlsFault::Certificate(problem.to_owned()));
        assert_eq!(authority.files().check(&clock).err(), fault, "{now}");
    }
}

/// The real process: configured by the environment, refused where the pair is none, and watching the files by itself.
#[test]
fn serve_speaks_tls_and_sees_by_itself_that_the_files_changed() {
    on_sqlite(async |db| {
        let authority = Authority::new();
        let [first, second] = ["one", "two"].map(|name| authority.issue(name, 2999));
        let (sts, issuer) = (FakeSts::start().await, Issuer::start(Alg::Es256).await);
        let files = authority.files();
        let plan = service::Plan::new(db, &issuer.url, &sts.url).with_tls(&files.certificate, &files.key);
        authority.write(&(first.0.clone(), second.1.clone()));
        let refused = plan.check();
        assert!(!refused.status.success());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            said.contains("HALLPASS_SERVER__TLS__KEY: expected the key of the certificate, which has another"),
            "{said}"
        );
        authority.write(&first);
        assert!(plan.check().status.success());
        let service = plan.start().await;
        let url = service.api.url().to_owned();
        assert_eq!(authority.shown(&url).await, der(&first));
        authority.write(&second);
        until("the new certificate", Duration::from_secs(20), async || {
            (authority.shown(&url).await == der(&second)).then_some(())
        })
        .await;
        assert!(service.log().contains("the new certificate is in use"));
    });
}
