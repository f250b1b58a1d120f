//! Puts libpython's folder into the binary's rpath, so that it starts without `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Told by the build script of `crates/python`, the one that links it.
    println!("cargo::rerun-if-env-changed=DEP_MOZAIKS_PYTHON_LIB_DIR");
    if let Ok(dir) = std::env::var("DEP_MOZAIKS_PYTHON_LIB_DIR") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
    }
}
