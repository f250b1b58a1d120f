//! A root directory that holds what the image's last stage puts there and nothing else: the programs, the
//! libraries that they ask for, Python's standard library, and an environment with the SDK.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;
use toml::Table;

use super::repository;
use crate::support::python;

/// The image's user.
pub const USER: u32 = 10001;

/// What the interpreter of the tests says of itself; as JSON.
const ABOUT: &str = r#"
import importlib.metadata, json, os, sys, sysconfig

def files(name):
    found = importlib.metadata.distribution(name)
    return [
        [str(file.locate()), str(file)]
        for file in found.files
        if ".." not in file.parts
    ]

print(json.dumps({
    "executable": os.path.realpath(sys.executable),
    "stdlib": sorted({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}),
    "base": sys.base_prefix,
    "version": "%d.%d" % sys.version_info[:2],
    "packages": files("pymongo") + files("dnspython"),
}))
"#;

/// The root directory; goes with the value.
pub struct BareRoot(TempDir);

impl BareRoot {
    /// Makes one, with a plugin.
    pub fn make(plugin: &str, logic: &str) -> Self {
        let root = Self(TempDir::new().unwrap());
        // Others than the one who makes it come in.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for folder in ["proc", "dev", "etc/ssl/certs", "data", "tmp"] {
            fs::create_dir_all(root.at(folder)).unwrap();
        }
        fs::set_permissions(root.at("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_mozaiks"));
        let mut linked = Vec::new();
        for name in ["mozaiks", "docstore"] {
            let program = program.with_file_name(name);
            root.put(&program, &format!("usr/local/bin/{name}"));
            linked.push(program);
        }
        linked.extend(root.add_python());
        root.add_libraries(&linked);
        root.add_authority();
        let zone = Path::new("/usr/share/zoneinfo/Europe/Berlin");
        if zone.exists() {
            root.put(zone, "usr/share/zoneinfo/Europe/Berlin");
        }
        for (file, text) in [("__init__.py", ""), ("logic.py", logic)] {
            let file = root.at(&format!("plugins/{plugin}/{file}"));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        if rustix::process::geteuid().is_root() {
            chown(root.at("data"), Some(USER), Some(USER)).unwrap();
        }
        root
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn at(&self, inside: &str) -> PathBuf {
        self.path().join(inside)
    }

    /// Puts a file there: a second name for it where that can be.
    fn put(&self, file: &Path, inside: &str) {
        let to = self.at(inside.trim_start_matches('/'));
        if to.exists() {
            return;
        }
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let file = file.canonicalize().unwrap();
        if fs::hard_link(&file, &to).is_err() {
            fs::copy(&file, &to).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }

    /// Puts a folder there but for what the image's packages of Python have not; gives its libraries.
    fn put_folder(&self, folder: &Path, inside: &str) -> Vec<PathBuf> {
        let mut libraries = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let to = format!("{inside}/{name}");
            let left_out = ["test", "tests", "idlelib", "turtledemo"];
            if path.is_dir() {
                let is_left = left_out.contains(&name.as_str())
                    || name.ends_with("-packages")
                    || name.starts_with("config-");
                if !is_left {
                    libraries.extend(self.put_folder(&path, &to));
                }
                continue;
            }
            self.put(&path, &to);
            if name.ends_with(".so") {
                libraries.push(path);
            }
        }
        libraries
    }

    /// Python and the environment `/opt/venv`; gives the files that ask for libraries.
    fn add_python(&self) -> Vec<PathBuf> {
        let output = Command::new(python().expect("an interpreter"))
            .args(["-B", "-c", ABOUT])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let about: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &str| about[name].as_str().unwrap();
        let executable = PathBuf::from(text("executable"));
        let mut linked = vec![executable.clone()];
        self.put(&executable, text("executable"));
        for folder in about["stdlib"].as_array().unwrap() {
            let folder = folder.as_str().unwrap();
            linked.extend(self.put_folder(Path::new(folder), folder.trim_start_matches('/')));
        }

        let packages = format!("opt/venv/lib/python{}/site-packages", text("version"));
        for file in about["packages"].as_array().unwrap() {
            let (from, to) = (file[0].as_str().unwrap(), file[1].as_str().unwrap());
            self.put(Path::new(from), &format!("{packages}/{to}"));
            if from.ends_with(".so") {
                linked.push(from.into());
            }
        }
        let sdk = repository().join("python-sdk");
        let about_sdk: Table = fs::read_to_string(sdk.join("pyproject.toml"))
            .unwrap()
            .parse()
            .unwrap();
        let wheel = &about_sdk["tool"]["hatch"]["build"]["targets"]["wheel"];
        for package in wheel["packages"].as_array().unwrap() {
            let package = package.as_str().unwrap();
            self.put_folder(&sdk.join(package), &format!("{packages}/{package}"));
        }
        let home = executable.parent().unwrap().display();
        let settings = format!("home = {home}\nversion = {}.0\n", text("version"));
        fs::write(self.at("opt/venv/pyvenv.cfg"), settings).unwrap();
        fs::create_dir_all(self.at("opt/venv/bin")).unwrap();
        symlink(&executable, self.at("opt/venv/bin/python")).unwrap();
        linked
    }

    /// What the loader needs for these files.
    fn add_libraries(&self, linked: &[PathBuf]) {
        let output = Command::new("ldd").args(linked).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut found = BTreeSet::new();
        for line in text.lines() {
            assert!(!line.contains("not found"), "{line}");
            let wanted = line.split_once("=> ").map_or(line, |(_, path)| path).trim();
            if let Some((path, _)) = wanted.split_once(" (0x")
                && path.starts_with('/')
            {
                found.insert(path.to_owned());
            }
        }
        assert!(found.len() > 3, "{text}");
        for library in found {
            self.put(Path::new(&library), &library);
        }
    }

    /// An authority whose certificates are trusted, where ca-certificates puts them.
    fn add_authority(&self) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut about = rcgen::CertificateParams::new(Vec::new()).unwrap();
        about.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = about.self_signed(&key).unwrap().pem();
        fs::write(self.at("etc/ssl/certs/ca-certificates.crt"), pem).unwrap();
    }
}
