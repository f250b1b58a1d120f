//! The gateway under test: the real binary with a port, a data directory and plugins of its own.

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::{mpsc, watch},
};

use super::{Claims, Over, RawConnection, Stream, TestCertificate, TestClient, token::SECRET};

/// Longest that a gateway may take to start.
pub(super) const START: Duration = Duration::from_secs(90);
/// Longest that a test waits for something it expects.
const LIMIT: Duration = Duration::from_secs(60);

/// A running gateway; killed when dropped.
pub struct TestApp {
    child: Child,
    pub address: SocketAddr,
    /// What its port speaks.
    pub over: Over,
    /// Everything it has written to stderr so far; the channel says when there is more.
    log: watch::Receiver<Arc<Mutex<Vec<String>>>>,
    _data_dir: TempDir,
    plugins_dir: TempDir,
}

/// What a gateway under test is started with.
pub struct Builder {
    plugins: Vec<String>,
    files: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    dev: bool,
    secret: bool,
    /// What a shell does to itself before it becomes the gateway.
    limits: Option<Limits>,
    listen: SocketAddr,
    data_dir: Option<PathBuf>,
    over: Over,
    plugins_dir: Option<PathBuf>,
}

/// Limits of a process.
struct Limits {
    /// A line of a shell.
    script: String,
    /// Whether they are those of a user namespace of its own.
    in_namespace: bool,
}

impl TestApp {
    /// A gateway without plugins.
    pub fn builder() -> Builder {
        Builder {
            plugins: Vec::new(),
            files: Vec::new(),
            environment: Vec::new(),
            dev: false,
            secret: true,
            limits: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: None,
            over: Over::Tcp,
            plugins_dir: None,
        }
    }

    /// A gateway with fixture plugins.
    pub async fn with_plugins(names: &[&str]) -> Self {
        Self::builder().plugins(names).start().await
    }

    pub fn anonymous(&self) -> TestClient {
        self.client(None)
    }

    pub fn user(&self, id: &str) -> TestClient {
        self.with_claims(&Claims::user(id))
    }

    pub fn admin(&self) -> TestClient {
        self.with_claims(&Claims::user("root").with("roles", vec!["admin"]))
    }

    pub fn expired(&self) -> TestClient {
        self.with_claims(&Claims::user("late").expired())
    }

    pub fn with_claims(&self, claims: &Claims) -> TestClient {
        self.client(Some(claims.sign()))
    }

    pub fn with_token(&self, token: &str) -> TestClient {
        self.client(Some(token.to_owned()))
    }

    fn client(&self, token: Option<String>) -> TestClient {
        let base = format!("{}://{}", self.over.scheme(), self.address);
        TestClient::trusting(&base, token, self.over.authority())
    }

    /// Where its plugins are.
    pub fn plugins_dir(&self) -> &Path {
        self.plugins_dir.path()
    }

    /// A socket to the gateway.
    pub async fn raw(&self) -> RawConnection {
        RawConnection::over(self.connect().await)
    }

    /// A connection to the gateway's port, as its clients have it.
    pub async fn connect(&self) -> Box<dyn Stream> {
        self.over.connect(self.address).await
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the gateway runs").to_string();
        let sent = std::process::Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits until the gateway has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        within(LIMIT, self.child.wait()).await.unwrap()
    }

    /// The gateway's process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the gateway runs")
    }

    /// Resident memory of the gateway, in bytes.
    pub fn resident_bytes(&self) -> usize {
        let pid = self.child.id().expect("the gateway runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kib: usize = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse()
                    .ok()
            })
            .expect("the process has memory");
        kib * 1024
    }

    /// Waits for a log line that holds all the parts.
    pub async fn log_line(&mut self, parts: &[&str]) -> String {
        let mut log = self.log.clone();
        let found = async {
            loop {
                let lines = Arc::clone(&log.borrow_and_update());
                let line = lines
                    .lock()
                    .unwrap()
                    .iter()
                    .find(|line| parts.iter().all(|part| line.contains(part)))
                    .cloned();
                if let Some(line) = line {
                    return line;
                }
                if log.changed().await.is_err() {
                    panic!("the gateway ended without logging {parts:?}");
                }
            }
        };
        match tokio::time::timeout(LIMIT, found).await {
            Ok(line) => line,
            Err(_) => panic!("no log line with {parts:?} in\n{}", self.log_text()),
        }
    }

    /// Everything logged so far.
    pub fn log_text(&self) -> String {
        self.log.borrow().lock().unwrap().join("\n")
    }

    /// Reads one number of `/metrics`.
    pub async fn metric(&self, series: &str) -> f64 {
        let answer = self.anonymous().get("/metrics").await;
        answer
            .text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or(0.0)
    }

    /// Waits until a number of `/metrics` is as wanted.
    pub async fn metric_reaches(&self, series: &str, wanted: impl Fn(f64) -> bool) {
        let mut last = f64::NAN;
        let reached = async {
            while !wanted(last) {
                last = self.metric(series).await;
            }
        };
        if tokio::time::timeout(LIMIT, reached).await.is_err() {
            panic!("{series} stays {last}");
        }
    }
}

impl Builder {
    /// Copies fixture plugins into the plugins directory.
    pub fn plugins(mut self, names: &[&str]) -> Self {
        self.plugins
            .extend(names.iter().map(|&name| name.to_owned()));
        self
    }

    /// Writes a plugin whose `logic.py` is given.
    pub fn plugin(mut self, name: &str, logic: &str) -> Self {
        self.files
            .push((format!("{name}/logic.py"), logic.to_owned()));
        self.files
            .push((format!("{name}/__init__.py"), String::new()));
        self
    }

    /// Writes a file below the plugins directory.
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// Without the secret of the tests: the keys come from elsewhere.
    pub fn without_secret(mut self) -> Self {
        self.secret = false;
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Development mode.
    pub fn dev(mut self) -> Self {
        self.dev = true;
        self
    }

    /// Lets the process open so many files at most.
    pub fn descriptors(mut self, most: u32) -> Self {
        self.limits = Some(Limits {
            script: format!("ulimit -n {most}"),
            in_namespace: false,
        });
        self
    }

    /// Starts it as `nohup` and a script's `&` start what they start: these signals are ignored.
    pub fn ignoring(mut self, signals: &str) -> Self {
        self.limits = Some(Limits {
            script: format!("trap '' {signals}"),
            in_namespace: false,
        });
        self
    }

    /// Lets the process have so many inotify `instances` or `watches` at most.
    pub fn inotify(mut self, what: &str, most: u32) -> Self {
        self.limits = Some(Limits {
            script: format!("echo {most} > /proc/sys/user/max_inotify_{what}"),
            in_namespace: true,
        });
        self
    }

    /// A certain address instead of a free port.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// A data directory that outlives the gateway.
    pub fn data_dir(mut self, path: &Path) -> Self {
        self.data_dir = Some(path.to_owned());
        self
    }

    /// With a certificate on its port, where one is given.
    pub fn tls(mut self, certificate: Option<&TestCertificate>) -> Self {
        let Some(certificate) = certificate else {
            return self;
        };
        self.over = certificate.over();
        self.env("MOZAIKS_TLS_CERT", &certificate.cert().to_string_lossy())
            .env("MOZAIKS_TLS_KEY", &certificate.key().to_string_lossy())
    }

    /// A directory of plugins that outlives the gateway.
    pub fn plugins_dir(mut self, path: &Path) -> Self {
        self.plugins_dir = Some(path.to_owned());
        self
    }

    /// Starts the gateway and waits until it is ready.
    pub async fn start(self) -> TestApp {
        let (mut app, mut lines) = self.spawn();
        let line = match tokio::time::timeout(START, lines.recv()).await {
            Ok(Some(line)) => line,
            Ok(None) => {
                let status = app.ended().await;
                panic!("the gateway ended with {status}:\n{}", app.log_text())
            }
            Err(_) => panic!("the gateway did not get ready:\n{}", app.log_text()),
        };
        app.address = line
            .strip_prefix(&format!("listening on {}://", app.over.scheme()))
            .unwrap_or_else(|| panic!("not the ready line: {line}"))
            .parse()
            .unwrap();
        app
    }

    fn spawn(self) -> (TestApp, mpsc::Receiver<String>) {
        let data_dir = TempDir::new().unwrap();
        let data_path = self.data_dir.as_deref().unwrap_or(data_dir.path());
        let plugins_dir = TempDir::new().unwrap();
        for name in &self.plugins {
            copy_dir(&fixtures().join(name), &plugins_dir.path().join(name));
        }
        for (path, text) in &self.files {
            let path = plugins_dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let program = program();
        let mut command = match &self.limits {
            None => Command::new(program),
            Some(limits) => {
                let mut shell = Command::new("sh");
                if limits.in_namespace {
                    shell = Command::new("unshare");
                    shell.args(["--user", "--map-root-user", "sh"]);
                }
                let script = format!("{} && exec \"$0\" \"$@\"", limits.script);
                shell.args(["-c", &script]).arg(program);
                shell
            }
        };
        for (name, _) in std::env::vars() {
            let is_alias = |key: &mozaiks_config::Key| key.aliases.contains(&name.as_str());
            if name.starts_with("MOZAIKS_")
                || mozaiks_config::KEYS.iter().any(is_alias)
                || ["PORT", "HOST", "FRONTEND_URL"].contains(&name.as_str())
            {
                command.env_remove(name);
            }
        }
        command
            .args(["serve", "--listen", &self.listen.to_string()])
            .arg("--plugins")
            .arg(self.plugins_dir.as_deref().unwrap_or(plugins_dir.path()))
            .arg("--data-dir")
            .arg(data_path)
            .args(self.dev.then_some("--dev"))
            .envs(self.secret.then_some(("MOZAIKS_JWT_SECRET", SECRET)))
            .env("MOZAIKS_SDK_PATH", sdk())
            // Importing is slow where many gateways start at once; no test is about how slow.
            .env("MOZAIKS_PLUGIN_IMPORT_TIMEOUT_SECONDS", "60")
            .env("MOZAIKS_PLUGIN_START_WAIT_SECONDS", "60")
            .envs(python().map(|path| ("MOZAIKS_PYTHON", path)))
            .env("MOZAIKS_WORKER_START_TIMEOUT_SECONDS", "60")
            // The whole of the tests holds wherever plugins run.
            .envs(
                std::env::var_os("MOZAIKS_TEST_ISOLATION")
                    .map(|mode| ("MOZAIKS_ISOLATION_DEFAULT_DIRECTORY", mode)),
            )
            .envs(self.environment)
            .current_dir(data_dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (lines, ready) = mpsc::channel(16);
        let stdout = child.stdout.take().unwrap();
        tokio::spawn(for_each_line(stdout, move |line| {
            lines.try_send(line).ok();
        }));
        let (more, log) = watch::channel(Arc::new(Mutex::new(Vec::new())));
        let stderr = child.stderr.take().unwrap();
        tokio::spawn(for_each_line(stderr, move |line| {
            more.send_modify(|lines| lines.lock().unwrap().push(line));
        }));
        let app = TestApp {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            over: self.over,
            log,
            _data_dir: data_dir,
            plugins_dir,
        };
        (app, ready)
    }
}

async fn for_each_line(stream: impl AsyncRead + Unpin, mut act: impl FnMut(String)) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        act(line);
    }
}

/// The gateway: the one named, such as a wheel's script, else the binary of this build.
pub fn program() -> PathBuf {
    std::env::var_os("MOZAIKS_TEST_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_mozaiks").into(), PathBuf::from)
}

/// An interpreter with the packages of the tests: the one named, else the repository's own.
pub fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    std::env::var_os("MOZAIKS_TEST_PYTHON")
        .map(PathBuf::from)
        .or_else(|| own.exists().then_some(own))
}

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python-sdk")
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plugins")
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let entries = std::fs::read_dir(from)
        .unwrap_or_else(|error| panic!("no fixture {}: {error}", from.display()));
    for entry in entries {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if entry.file_name() != "__pycache__" {
                copy_dir(&entry.path(), &target);
            }
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The future's result, or a failed test.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, future)
        .await
        .unwrap_or_else(|_| panic!("nothing happened within {limit:?}"))
}
