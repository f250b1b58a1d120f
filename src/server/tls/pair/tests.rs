use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;

fn written(params: impl FnOnce(&mut CertificateParams)) -> (tempfile::TempDir, KeyPair) {
    let dir = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params(&mut certificate);
    let certificate = certificate.self_signed(&key).unwrap();
    std::fs::write(dir.path().join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(dir.path().join("key.pem"), key.serialize_pem()).unwrap();
    (dir, key)
}

fn load(dir: &Path) -> Result<Pair, String> {
    Pair::load(&dir.join("cert.pem"), &dir.join("key.pem"))
}

#[test]
fn the_time_of_a_certificate_is_known() {
    let (dir, _key) = written(|certificate| {
        certificate.not_before = date_time_ymd(2001, 9, 9);
        certificate.not_after = date_time_ymd(2001, 9, 19);
    });
    let validity = load(dir.path()).unwrap().validity;
    let began = validity.not_before;
    assert_eq!(began.as_secs(), 999_993_600);
    assert_eq!(validity.not_after - began, 10 * DAY);
    let said = |at| validity.warning_at(at).unwrap();
    assert!(said(began - 3 * DAY).contains("not valid yet (for 3 days)"));
    assert!(said(began + 3 * DAY).contains("expires in 7 days"));
    assert!(said(began + 11 * DAY).contains("expired (a day ago)"));
    assert_eq!(validity.days_left(), 0);
    let (dir, _key) = written(|_| {});
    assert_eq!(load(dir.path()).unwrap().validity.warning(), None);
}

#[test]
fn an_authority_s_own_certificate_has_a_time_too() {
    let (dir, _key) = written(|certificate| {
        certificate.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    assert_eq!(load(dir.path()).unwrap().validity.warning(), None);
}

#[test]
fn what_does_not_fit_is_named_and_not_shown() {
    let (dir, key) = written(|_| {});
    let at = |name: &str| dir.path().join(name);
    let certificate = std::fs::read(at("cert.pem")).unwrap();
    for (file, content, expected) in [
        (
            "key.pem",
            KeyPair::generate().unwrap().serialize_pem().into_bytes(),
            "is not the key of",
        ),
        ("key.pem", certificate.clone(), "holds no private key"),
        ("key.pem", b"secret".to_vec(), "holds no private key"),
        (
            "cert.pem",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            "cert.pem: ",
        ),
        ("cert.pem", b"nonsense".to_vec(), "holds no certificate"),
        (
            "cert.pem",
            key.serialize_pem().into_bytes(),
            "holds no certificate",
        ),
        ("cert.pem", vec![b'x'; 1 << 21], "larger than 1MiB"),
    ] {
        let before = std::fs::read(at(file)).unwrap();
        std::fs::write(at(file), content).unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(error.contains(expected) && error.contains(file), "{error}");
        assert!(!error.contains("secret"), "{error}");
        std::fs::write(at(file), before).unwrap();
    }
    std::fs::remove_file(at("key.pem")).unwrap();
    let error = load(dir.path()).unwrap_err();
    assert!(
        error.starts_with("tls_key ") && error.contains("No such file"),
        "{error}"
    );
}
