//! What a container must offer beyond what every machine has to: where data lies, who runs it, how it is
//! reached, and what slim images lack.

use std::{fs, net::SocketAddr, os::unix::fs::MetadataExt as _, path::Path};

use super::{Finding, python, writable};
use mozaiks_config::Config;

/// The user of the image that the repository builds.
const IMAGE_USER: u32 = 10001;
/// A zone that every list of them has.
const ZONE: &str = "Europe/Berlin";

pub(super) fn check(config: &Config) -> Vec<Finding> {
    vec![
        check_user(rustix::process::geteuid().as_raw()),
        check_mode(config.dev),
        check_listen(config.server.listen),
        check_data(&config.data_dir, config.database.uri.is_none()),
        check_temporary(&std::env::temp_dir()),
        check_authorities(rustls_native_certs::load_native_certs().certs.len()),
        check_sdk(config),
        check_zones(config),
    ]
}

fn check_user(user: u32) -> Finding {
    if user == 0 {
        return Finding::warn(
            "user",
            format!("root; the image has a user of its own for it ({IMAGE_USER})"),
        );
    }
    Finding::ok("user", format!("{user}"))
}

fn check_mode(dev: bool) -> Finding {
    if dev {
        return Finding::fail(
            "mode",
            "development (--dev): tracebacks are shown to clients, and who reads the data directory can sign tokens",
        );
    }
    Finding::ok("mode", "production")
}

/// A published port leads to an address of the container that is not its loopback.
fn check_listen(address: SocketAddr) -> Finding {
    if address.ip().to_canonical().is_loopback() {
        return Finding::fail(
            "listen",
            format!(
                "{address} is not reached from outside of the container: set MOZAIKS_LISTEN=0.0.0.0:8000"
            ),
        );
    }
    if address.port() == 0 {
        return Finding::fail(
            "listen",
            format!("{address} is another port at each start, which nobody can publish"),
        );
    }
    Finding::ok("listen", address.to_string())
}

/// Whether the data directory can be written, and stays when the container goes.
fn check_data(dir: &Path, holds_documents: bool) -> Finding {
    let shown = dir.display();
    if let Err(error) = writable(dir) {
        return Finding::fail("data", format!("{shown}: {error}"));
    }
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    if device(dir) == device(Path::new("/")) {
        let what = if holds_documents {
            "documents and files"
        } else {
            "files of plugins"
        };
        return Finding::warn(
            "data",
            format!("{shown} is no volume: {what} are lost with the container"),
        );
    }
    Finding::ok("data", format!("{shown}, a volume"))
}

fn check_temporary(dir: &Path) -> Finding {
    let shown = dir.display();
    // It is there, or it is not: nobody makes it.
    let found = fs::metadata(dir).and_then(|_| writable(dir));
    match found {
        Ok(()) => Finding::ok("temporary files", shown.to_string()),
        Err(error) => Finding::fail("temporary files", format!("{shown}: {error}")),
    }
}

fn check_authorities(count: usize) -> Finding {
    if count == 0 {
        return Finding::fail(
            "certificates",
            "no authorities are installed, so nothing is reached by https: install ca-certificates, or name \
             a file with SSL_CERT_FILE",
        );
    }
    Finding::ok("certificates", format!("{count} authorities"))
}

/// Whether plugins can import what the gateway offers them.
fn check_sdk(config: &Config) -> Finding {
    let code = "import core.config.database, mozaiks; print(mozaiks.__file__)";
    match python::run(&config.plugins, code) {
        Ok(file) => Finding::ok("sdk", file),
        Err(error) => Finding::fail(
            "sdk",
            format!("plugins cannot import core: {error}; install python-sdk"),
        ),
    }
}

/// Python brings no time zones of its own; the gateway does, for jobs.
fn check_zones(config: &Config) -> Finding {
    let code = format!("import zoneinfo; print(zoneinfo.ZoneInfo('{ZONE}'))");
    match python::run(&config.plugins, &code) {
        Ok(zone) => Finding::ok("time zones", zone),
        Err(error) => Finding::warn(
            "time zones",
            format!("plugins have none: {error}; install tzdata"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Status;

    fn status(finding: &Finding) -> Status {
        finding.status
    }

    #[test]
    fn what_cannot_be_reached_from_outside_fails() {
        for address in [
            "127.0.0.1:8000",
            "[::1]:8000",
            "[::ffff:127.0.0.1]:80",
            "0.0.0.0:0",
        ] {
            let finding = check_listen(address.parse().unwrap());
            assert_eq!(status(&finding), Status::Fail, "{finding}");
        }
        for address in ["0.0.0.0:8000", "[::]:8000", "10.0.0.7:80"] {
            let finding = check_listen(address.parse().unwrap());
            assert_eq!(status(&finding), Status::Ok, "{finding}");
        }
    }

    #[test]
    fn root_is_told_of_and_development_refused() {
        assert_eq!(status(&check_user(0)), Status::Warn);
        assert_eq!(status(&check_user(10001)), Status::Ok);
        assert_eq!(status(&check_mode(true)), Status::Fail);
        assert_eq!(status(&check_mode(false)), Status::Ok);
        assert_eq!(status(&check_authorities(0)), Status::Fail);
    }

    #[test]
    fn directories_are_tried() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert_eq!(status(&check_temporary(dir.path())), Status::Ok);
        assert_eq!(status(&check_temporary(&missing)), Status::Fail);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(status(&check_data(&file.join("data"), true)), Status::Fail);
        assert_ne!(status(&check_data(&missing, true)), Status::Fail);
        assert_eq!(
            fs::read_dir(&missing).unwrap().count(),
            0,
            "nothing is left"
        );
    }
}
