//! Tells the code which interpreter it is built against, and whoever links this crate where libpython
//! lies: they put it into their rpath.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let config = pyo3_build_config::get();
    if let Some(dir) = config.lib_dir() {
        // For this crate's own tests.
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
        println!("cargo::metadata=LIB_DIR={dir}");
    }
    println!(
        "cargo::rustc-env=MOZAIKS_BUILD_PYTHON={}",
        config.executable().unwrap_or_default()
    );
    let version = config.version();
    println!(
        "cargo::rustc-env=MOZAIKS_BUILD_PYTHON_VERSION={}.{}",
        version.major, version.minor
    );
}
