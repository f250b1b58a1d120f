//! The secret of development mode.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::dev_secret::{DevSecretError, exists, load_or_create};

fn secret_of(source: KeySource) -> Vec<u8> {
    match source {
        KeySource::Secret { secret, .. } => secret,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_made_once_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    assert!(!exists(&dir).unwrap());
    let first = secret_of(load_or_create(&dir).unwrap());
    assert!(first.len() >= 32);
    assert_eq!(first, secret_of(load_or_create(&dir).unwrap()));
    assert!(exists(&dir).unwrap());

    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("dev-secret")), 0o600);
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        1,
        "no temporary file is left"
    );

    let other = tempfile::tempdir().unwrap();
    assert_ne!(first, secret_of(load_or_create(other.path()).unwrap()));
}

#[test]
fn those_who_come_at_once_get_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let secrets: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| secret_of(load_or_create(dir.path()).unwrap())))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    load_or_create(dir.path()).unwrap();
    let path = dir.path().join("dev-secret");
    for mode in [0o640, 0o604, 0o660, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = load_or_create(dir.path()).unwrap_err();
        assert!(matches!(error, DevSecretError::Exposed { .. }), "{error}");
    }
}

#[test]
fn a_short_file_or_a_link_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dev-secret");
    fs::write(&path, "short").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(
        load_or_create(dir.path()),
        Err(DevSecretError::Damaged { .. })
    ));
    fs::remove_file(&path).unwrap();
    let elsewhere = file("0123456789abcdef0123456789abcdef");
    std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
    assert!(matches!(
        load_or_create(dir.path()),
        Err(DevSecretError::Damaged { .. })
    ));
}
