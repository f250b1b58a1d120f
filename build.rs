//! Puts libpython's folder into the binaries' rpath, so that they start without `LD_LIBRARY_PATH`,
//! and tells the code which interpreter it was built against.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let config = pyo3_build_config::get();
    if let Some(dir) = config.lib_dir() {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{dir}");
    }
    println!(
        "cargo:rustc-env=MOZAIKS_BUILD_PYTHON={}",
        config.executable().unwrap_or_default()
    );
    let version = config.version();
    println!(
        "cargo:rustc-env=MOZAIKS_BUILD_PYTHON_VERSION={}.{}",
        version.major, version.minor
    );
}
