//! Links libpython into the programs, and puts its folder into their rpath, so that they start without
//! `LD_LIBRARY_PATH`.

use std::env::var;

fn main() {
    // Told by the build script of `crates/python`.
    println!("cargo::rerun-if-env-changed=DEP_MOZAIKS_PYTHON_LIB_DIR");
    println!("cargo::rerun-if-env-changed=DEP_MOZAIKS_PYTHON_LIB_NAME");
    if let Ok(dir) = var("DEP_MOZAIKS_PYTHON_LIB_DIR") {
        println!("cargo::rustc-link-arg=-L{dir}");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
    }
    if let Ok(name) = var("DEP_MOZAIKS_PYTHON_LIB_NAME") {
        println!("cargo::rustc-link-arg=-l{name}");
    }
}
