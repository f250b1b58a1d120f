//! A `docstore` process, to be killed and frozen at will.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// A database server of the test's own; killed when dropped.
pub struct DocstoreProcess {
    child: Child,
    address: String,
    data: TempDir,
}

impl DocstoreProcess {
    /// Starts one on a free port of the loopback.
    pub async fn start() -> Self {
        let data = TempDir::new().unwrap();
        let (child, address) = spawn(data.path(), "127.0.0.1:0", &[]).await;
        Self {
            child,
            address,
            data,
        }
    }

    /// Starts one with transactions, as a replica set of one.
    pub async fn start_replica_set() -> Self {
        let data = TempDir::new().unwrap();
        let (child, address) = spawn(data.path(), "127.0.0.1:0", &["--replica-set", "rs0"]).await;
        Self {
            child,
            address,
            data,
        }
    }

    pub fn uri(&self) -> String {
        format!("mongodb://{}/?directConnection=true", self.address)
    }

    /// Ends it without a chance to say goodbye.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again: same data, same port.
    pub async fn restart(&mut self) {
        let (child, address) = spawn(self.data.path(), &self.address, &[]).await;
        assert_eq!(address, self.address);
        self.child = child;
    }

    /// Lets it hang: connections stay, nothing is answered.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the server runs").to_string();
        let sent = std::process::Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }
}

async fn spawn(data: &Path, listen: &str, more: &[&str]) -> (Child, String) {
    let mut child = Command::new(program())
        .arg("--path")
        .arg(data)
        .args(["--listen", listen, "--log", "error"])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = super::within(super::app::START, lines.next_line())
        .await
        .unwrap()
        .expect("docstore says where it listens");
    let address = line
        .strip_prefix("listening on ")
        .unwrap_or_else(|| panic!("not the ready line: {line}"));
    (child, address.to_owned())
}

/// `MOZAIKS_DOCSTORE`, else the one beside the gateway, which is built where it is missing.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(program) = std::env::var_os("MOZAIKS_DOCSTORE") {
            return program.into();
        }
        let beside = Path::new(env!("CARGO_BIN_EXE_mozaiks")).with_file_name("docstore");
        if !beside.exists() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let built = std::process::Command::new(cargo)
                .args(["build", "--quiet", "--workspace", "--bin", "docstore"])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(
                built.is_ok_and(|status| status.success()) && beside.exists(),
                "{} is missing: cargo build --workspace --bin docstore, or set MOZAIKS_DOCSTORE",
                beside.display()
            );
        }
        beside
    })
}
