//! Whether a plugin's code could be loaded: asked of the interpreter that would load it, in a process of
//! its own that imports none of it.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use mozaiks_config::PluginsConfig;
use mozaiks_plugins::{
    discovery::Found,
    manifest::{self, Manifest},
};
use mozaiks_python::sdk_dirs;

use super::{super::doctor::interpreter, inspect::Inspection};

/// Reads and compiles; see its own first lines.
const CODE: &str = include_str!("code.py");
/// Longest that looking may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Adds what is wrong with the plugin's code.
///
/// `site` is where what it requires is installed, where it is.
pub(super) fn check(
    config: &PluginsConfig,
    found: &Found,
    site: Option<&Path>,
    inspection: &mut Inspection,
) {
    // What is wrong with the manifest has been said.
    let manifest = manifest::read(&found.dir, &found.name)
        .map_or_else(|_| Manifest::of(&found.name), |read| read.manifest);
    let entry = match found.entry_for(&manifest) {
        Ok(Some(entry)) => entry,
        Ok(None) => return,
        Err(reason) => return inspection.errors.push(reason),
    };
    match ask(config, &found.dir, &entry, site) {
        Ok(lines) => {
            for line in lines.lines() {
                match line.split_once('\t') {
                    Some(("warn", sentence)) => inspection.warnings.push(sentence.to_owned()),
                    Some((_, sentence)) => inspection.errors.push(sentence.to_owned()),
                    None => inspection.errors.push(line.to_owned()),
                }
            }
        }
        Err(reason) => inspection
            .errors
            .push(format!("its code was not checked: {reason}")),
    }
}

fn ask(
    config: &PluginsConfig,
    dir: &Path,
    entry: &Path,
    site: Option<&Path>,
) -> Result<String, String> {
    let python = interpreter(config);
    let mut child = Command::new(&python)
        .args(["-I", "-X", "utf8", "-W", "ignore", "-c", CODE])
        .args([entry, dir])
        .args(sdk_dirs(config.sdk_path.as_deref()))
        .args(site)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| {
            format!(
                "cannot run {}: {error}; name another with MOZAIKS_PYTHON",
                python.display()
            )
        })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let lines = std::thread::spawn(move || read(stdout));
    let trouble = std::thread::spawn(move || read(stderr));
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if began.elapsed() > LIMIT => {
                // It may have ended in this moment; then there is nothing to kill.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it took longer than {} s", LIMIT.as_secs()));
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let lines = lines.join().unwrap_or_default();
    let trouble = trouble.join().unwrap_or_default();
    if status.success() {
        Ok(lines)
    } else {
        let last = trouble.lines().last().unwrap_or_default();
        Err(format!("{} fails: {last}", python.display()))
    }
}

fn read(stream: Option<impl std::io::Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // What was read before a failure is worth as much.
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use mozaiks_plugins::discovery;

    use super::*;

    const GOOD: &str = "async def execute(data):\n    return data\n";

    /// What is said about a plugin of these files: its errors and its warnings.
    fn look(files: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = dir.path().join("mine").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let (found, _) = discovery::discover(dir.path()).unwrap();
        let mut inspection = Inspection {
            name: "mine".into(),
            version: String::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        };
        let config = PluginsConfig {
            sdk_path: Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("python-sdk")),
            ..PluginsConfig::default()
        };
        check(&config, &found[0], None, &mut inspection);
        (inspection.errors, inspection.warnings)
    }

    #[test]
    fn good_code_has_nothing_said_about_it() {
        let imports = "import os.path, asyncio\nfrom core.event_bus import event_bus\n\
             from . import helper, CONSTANT\nfrom .deep.inner import thing\nfrom .deep import x\n\
             import bson\ntry:\n    import no_such_module\nexcept ImportError:\n    pass\n\
             def later():\n    import no_such_module_either\n";
        let init = "CONSTANT = 1\n";
        for files in [
            vec![("logic.py", GOOD)],
            vec![("backend/logic.py", GOOD)],
            vec![("logic.py", "def run(data):\n    return {}\n")],
            vec![("logic.py", "execute = lambda data: data\n")],
            vec![(
                "logic.py",
                "from core.actions import action\n\n@action('a')\nasync def a(n: int) -> int:\n    return n\n",
            )],
            vec![(
                "logic.py",
                "def execute(data, more=1, *, other=2):\n    return {}\n",
            )],
            vec![("logic.py", "def execute(*all):\n    return {}\n")],
            vec![("logic.py", "from .own import execute\n"), ("own.py", GOOD)],
            vec![("logic.py", "from .own import *\n"), ("own.py", GOOD)],
            vec![
                ("logic.py", &format!("{imports}{GOOD}")),
                ("__init__.py", init),
                ("helper.py", "from .deep import inner\n"),
                ("deep/__init__.py", "from .. import helper\nx = 1\n"),
                ("deep/inner.py", "thing = 1\n"),
            ],
        ] {
            assert_eq!(look(&files), (vec![], vec![]), "{files:?}");
        }
    }

    #[test]
    fn code_that_could_not_be_loaded_is_named_with_its_place() {
        let good = |more: &str| format!("{more}\n{GOOD}");
        let cases: &[(&str, &str, &[&str])] = &[
            ("def execute(data:\n", "", &["logic.py:1", "SyntaxError"]),
            (&good("def f():\n  x\n   y"), "", &["IndentationError"]),
            (
                &good("return 1"),
                "",
                &["logic.py:1", "SyntaxError", "return"],
            ),
            ("x = '\u{0}'\n", "", &["logic.py", "null byte"]),
            (
                "def execut(data):\n    return {}\n",
                "",
                &["neither execute"],
            ),
            ("", "", &["neither execute"]),
            (
                "def execute():\n    return {}\n",
                "",
                &["logic.py:1", "one argument"],
            ),
            ("def execute(a, b):\n    return {}\n", "", &["one argument"]),
            (
                &good("import no_such_module"),
                "",
                &["logic.py:1", "'no_such_module'"],
            ),
            (
                &good("from no_such_module.x import y"),
                "",
                &["'no_such_module'"],
            ),
            (
                &good("with open('/dev/null'):\n    import no_such_module"),
                "",
                &["no_such_module"],
            ),
            (&good("from . import helpr"), "", &["'.helpr'"]),
            (&good("from .helpr import x"), "", &["'.helpr'"]),
            (&good("from .. import x"), "", &["'..'"]),
            (
                &good("from . import helper"),
                "import no_such_module\n",
                &["helper.py:1"],
            ),
            (GOOD, "def broken(:\n", &["helper.py:1", "SyntaxError"]),
        ];
        for (logic, helper, said) in cases {
            let (errors, _) = look(&[("logic.py", logic), ("helper.py", helper)]);
            assert_eq!(errors.len(), 1, "{logic}: {errors:?}");
            for part in *said {
                assert!(errors[0].contains(part), "{part} is not in {errors:?}");
            }
        }
        // What nothing loads may lack something; the parts of a package may be made when it is imported.
        for logic in [GOOD, &good("import bson.no_such_part")] {
            let beside = if logic == GOOD {
                "import no_such_module\n"
            } else {
                ""
            };
            let (errors, warnings) = look(&[("logic.py", logic), ("helper.py", beside)]);
            assert_eq!(
                (errors.len(), warnings.len()),
                (0, 1),
                "{errors:?} {warnings:?}"
            );
        }
    }

    #[test]
    fn nothing_of_the_plugin_runs() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("ran");
        let write = format!("open({:?}, 'w').close()\n", mark.display().to_string());
        let files = [
            ("__init__.py", write.as_str()),
            ("logic.py", &format!("from . import own\n{write}{GOOD}")),
            ("own.py", &write),
            ("sitecustomize.py", &write),
        ];
        assert_eq!(look(&files), (vec![], vec![]));
        assert!(!mark.exists());
    }
}
