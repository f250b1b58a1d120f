//! Tells the code which interpreter it is built against, and the programs that link this crate where
//! libpython lies and what it is called. pyo3 itself links none (`.cargo/config.toml`): a module that Python
//! loads must not.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
    let config = pyo3_build_config::get();
    if let Some(dir) = config.lib_dir() {
        // For this crate's own tests.
        println!("cargo::rustc-link-arg=-L{dir}");
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
        println!("cargo::metadata=LIB_DIR={dir}");
    }
    if let Some(name) = config.lib_name() {
        println!("cargo::rustc-link-arg=-l{name}");
        println!("cargo::metadata=LIB_NAME={name}");
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
