//! Jobs of plugins from the command line.

use crate::{
    jobs_of_plugins::{clock, runs_of, until},
    support::{Claims, program},
};

#[tokio::test]
async fn the_command_lists_and_runs_jobs() {
    let app = clock().await;
    let token = Claims::user("root").with("roles", vec!["admin"]).sign();
    let url = format!("http://{}", app.address);
    let command = async |args: &[&str]| {
        let output = tokio::process::Command::new(program())
            .args(["plugin", "jobs"])
            .args(args)
            .args(["--url", &url, "--token", &token])
            .output()
            .await
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    until(|| async {
        let (_, said, _) = command(&["run", "clock", "raises"]).await;
        (said == "clock raises: due now\n").then_some(())
    })
    .await;
    runs_of(&app, "clock", "raises", 1).await;
    let (_, listed, _) = command(&["list", "clock"]).await;
    let line = listed
        .lines()
        .find(|line| line.starts_with("raises"))
        .unwrap();
    assert!(line.contains("0 0 1 1 * Europe/Berlin  next "), "{line}");
    assert!(line.ends_with(": ValueError: no such luck"), "{line}");
    let (done, _, error) = command(&["run", "clock", "none"]).await;
    assert!(!done && error.contains("NOT_FOUND"), "{error}");
}
