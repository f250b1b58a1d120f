//! Whether the interpreter whose packages plugins see is there and has what plugins import. Asked by
//! running it, so that a broken one cannot take this process with it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::Finding;
use mozaiks_config::PluginsConfig;
use mozaiks_python::{BUILD_PYTHON, BUILD_VERSION, refusal, running, sdk_dirs};

/// Prints a line for each thing that is asked: name, tab, answer. Imports may fail in any way.
const QUESTIONS: &str = r#"
import importlib, sys, sysconfig
print("version", "%d.%d.%d" % sys.version_info[:3], sep="\t")
print("shared", sysconfig.get_config_var("LDLIBRARY") or "", sep="\t")
print("executable", sys.executable, sep="\t")
for name in ("pymongo", "bson"):
    try:
        module = importlib.import_module(name)
        print(name, getattr(module, "version", "") or getattr(module, "__version__", "") or "present", sep="\t")
    except BaseException as error:
        print(name + "!", type(error).__name__, error, sep="\t")
"#;

pub(super) fn check(config: &PluginsConfig) -> Vec<Finding> {
    if let Some(reason) = refusal(config.python.as_deref()) {
        return vec![Finding::fail("python", reason)];
    }
    let python = interpreter(config);
    let shown = python.display();
    let output = Command::new(&python)
        .args(["-c", QUESTIONS])
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let last = stderr.lines().last().unwrap_or_default();
            return vec![Finding::fail("python", format!("{shown} fails: {last}"))];
        }
        Err(error) => {
            return vec![Finding::fail(
                "python",
                format!("cannot run {shown}: {error}; name another with MOZAIKS_PYTHON"),
            )];
        }
    };
    let answers = String::from_utf8_lossy(&output.stdout);
    let answer = |name: &str| {
        answers
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'))
    };
    let mut findings = vec![
        check_version(answer("version").unwrap_or_default(), &python),
        match answer("shared")
            .filter(|library| library.contains(".so") || library.contains(".dylib"))
        {
            Some(library) => Finding::ok("libpython", library),
            None if running().is_some() => Finding::ok("libpython", "part of the interpreter"),
            None => Finding::warn(
                "libpython",
                "this interpreter has no shared library; the one of the build is used",
            ),
        },
    ];
    for (name, failed) in [("pymongo", "pymongo!"), ("bson", "bson!")] {
        findings.push(match (answer(name), answer(failed)) {
            (Some(version), _) => Finding::ok(name, version),
            (None, error) => Finding::fail(
                name,
                format!(
                    "cannot be imported ({}); run {shown} -m pip install pymongo",
                    error.unwrap_or("no answer")
                ),
            ),
        });
    }
    findings
}

/// What a line of code prints on the interpreter of the plugins, with the SDK that they have.
///
/// # Errors
/// The last line that it says where it fails.
pub(super) fn run(config: &PluginsConfig, code: &str) -> Result<String, String> {
    let python = interpreter(config);
    let mut command = Command::new(&python);
    command.args(["-B", "-c", code]).stdin(Stdio::null());
    let sdk = sdk_dirs(config.sdk_path.as_deref());
    if !sdk.is_empty() {
        let path = std::env::join_paths(sdk).map_err(|error| error.to_string())?;
        command.env("PYTHONPATH", path);
    }
    let output = command
        .output()
        .map_err(|error| format!("cannot run {}: {error}", python.display()))?;
    let last = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        text.lines().last().unwrap_or_default().to_owned()
    };
    if output.status.success() {
        Ok(last(&output.stdout))
    } else {
        Err(last(&output.stderr))
    }
}

fn check_version(version: &str, python: &Path) -> Finding {
    let shown = python.display();
    if version.starts_with(&format!("{BUILD_VERSION}.")) {
        return Finding::ok("python", format!("{version} ({shown})"));
    }
    Finding::fail(
        "python",
        format!("{shown} is {version}, but the gateway was built for {BUILD_VERSION}"),
    )
}

/// The interpreter that runs this process, where one does; else the configured one, that of a venv, the one
/// of the build.
pub(in crate::cli) fn interpreter(config: &PluginsConfig) -> PathBuf {
    if let Some(python) = running() {
        return python.to_owned();
    }
    if let Some(python) = &config.python {
        return python.clone();
    }
    let active = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let beside_binary = std::env::current_exe()
        .ok()
        .and_then(|binary| Some(binary.parent()?.join(".venv")));
    [active, Some(PathBuf::from(".venv")), beside_binary]
        .into_iter()
        .flatten()
        .map(|venv| venv.join("bin/python"))
        .chain(std::iter::once(PathBuf::from(BUILD_PYTHON)))
        .find(|python| python.exists())
        .unwrap_or_else(|| PathBuf::from(format!("python{BUILD_VERSION}")))
}
