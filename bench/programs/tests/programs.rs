//! The programs start, do a little, and say what they were not told.

use std::process::{Command, Output};

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn calls_go_to_python_and_back() {
    let output = run(env!("CARGO_BIN_EXE_callpath"), &["hello", "200", "4", "{}"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("measured: "), "{}", said(&output));
}

#[test]
fn what_is_missing_is_named() {
    let output = run(env!("CARGO_BIN_EXE_push_load"), &[]);
    assert!(!output.status.success());
    assert!(
        said(&output).contains("<file of tokens>"),
        "{}",
        said(&output)
    );
    let output = run(env!("CARGO_BIN_EXE_ceiling"), &[]);
    assert!(!output.status.success());
}
