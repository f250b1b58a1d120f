//! The programs of the image in a root directory that is made of it.

use std::{path::Path, process::Stdio};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

use super::{
    dockerfile::Dockerfile,
    root::{BareRoot, USER},
};
use crate::support::{Claims, within};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);
const SECRET: &str = "a secret of at least thirty-two bytes";

const DIARY: &str = r#"
import zoneinfo
from core.config.database import db

async def execute(data):
    await db["diary"].insert_one({"of": data["user_id"], "text": data["text"]})
    return {"entries": [one["text"] async for one in db["diary"].find({"of": data["user_id"]})]}
"#;

/// What enters a root directory with the kernel's files in it: as the image's user where this is root, else as
/// who looks like root to itself.
fn entering(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    let mut chroot = "chroot".to_owned();
    if rustix::process::geteuid().is_root() {
        chroot = format!("chroot --userspec={USER}:{USER} --groups=");
    } else {
        command.args(["--user", "--map-root-user"]);
    }
    let script = format!(
        "mount --rbind /proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && exec {chroot} \"$0\" \"$@\""
    );
    command
        .args(["--mount", "sh", "-c", &script])
        .arg(root)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(Dockerfile::read().environment())
        .env("MOZAIKS_JWT_SECRET", SECRET)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn the_gateway_runs_where_nothing_else_is() {
    let root = BareRoot::make("diary", DIARY);
    let tried = entering(root.path(), &["/usr/local/bin/mozaiks", "--version"]);
    let mut tried = tried;
    let output = within(LIMIT, tried.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if ["unshare:", "mount:", "chroot:"]
        .iter()
        .any(|name| said.contains(name))
    {
        eprintln!("skipped: no other root directory can be entered here: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");

    let mut doctor = entering(
        root.path(),
        &["/usr/local/bin/mozaiks", "doctor", "--container"],
    );
    let output = within(LIMIT, doctor.output()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let zones = Path::new("/usr/share/zoneinfo/Europe/Berlin").exists();
    for (what, wanted) in [
        ("pymongo", true),
        ("plugins", true),
        ("auth", true),
        ("user", rustix::process::geteuid().is_root()),
        ("mode", true),
        ("listen: 0.0.0.0:8000", true),
        ("temporary files", true),
        ("certificates: 1 ", true),
        ("sdk: /opt/venv/", true),
        ("time zones", zones),
    ] {
        let start = format!("ok    {what}");
        let found = said.lines().any(|line| line.starts_with(&start));
        assert_eq!(found, wanted, "{what}: {said}");
    }

    let mut serve = entering(root.path(), &["/usr/local/bin/mozaiks", "serve"]);
    let mut gateway = serve
        .env("MOZAIKS_LISTEN", "127.0.0.1:0")
        .env("MOZAIKS_PLUGIN_IMPORT_TIMEOUT_SECONDS", "60")
        .env("MOZAIKS_PLUGIN_START_WAIT_SECONDS", "60")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let line = within(LIMIT, lines.next_line()).await.unwrap();
    let line = line.expect("the gateway says where it listens");
    let address = line.strip_prefix("listening on ").expect("its address");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for entries in [json!(["one"]), json!(["one", "one"])] {
        let answer = client
            .post(format!("{address}/api/execute/diary"))
            .bearer_auth(Claims::user("ann").sign_with(SECRET))
            .json(&json!({"text": "one"}))
            .send();
        let answer: Value = within(LIMIT, answer).await.unwrap().json().await.unwrap();
        assert_eq!(answer, json!({ "entries": entries }));
    }
    let pid = gateway.id().expect("the gateway runs").to_string();
    Command::new("kill").arg(pid).status().await.unwrap();
    let status = within(LIMIT, gateway.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}
