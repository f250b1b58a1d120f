//! What plugins find in the environment: nothing of the gateway's secrets.

use serde_json::json;

use crate::support::TestApp;

const MARK: &str = "mark-of-a-secret-that-is-long-enough";

/// Looks wherever the environment can be looked at: in Python, in the kernel's copy of the block the
/// process was started with, by the C library, and in a program that the plugin starts.
const LOOKS: &str = r#"
import ctypes, os, subprocess

def execute(data):
    name = data["name"].encode()
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    with open("/proc/self/environ", "rb") as file:
        kernel = file.read().decode("latin-1")
    child = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    return {
        "python": "\n".join(f"{key}={value}" for key, value in os.environ.items()),
        "kernel": kernel,
        "library": (getenv(name) or b"").decode(),
        "child": child,
    }
"#;

#[tokio::test]
async fn secrets_are_taken_out_of_the_environment() {
    let app = TestApp::builder()
        .plugin("looks", LOOKS)
        .without_secret()
        .env("MOZAIKS_JWT_SECRET", MARK)
        // An alias that is not even read, as the first name is set.
        .env("JWT_SECRET", MARK)
        .env("DATABASE_URI", "")
        .env("MOZAIKS_EMAIL_FROM", "shop@example.com")
        .env(
            "MOZAIKS_SMTP_URL",
            &format!("smtps://user:{MARK}@mail.example.com"),
        )
        .env("OF_THE_PLUGIN", "stays")
        .start()
        .await;
    let claims = crate::support::Claims::user("a");
    let user = app.with_token(&claims.sign_with(MARK));
    for name in ["MOZAIKS_JWT_SECRET", "JWT_SECRET", "MOZAIKS_SMTP_URL"] {
        let seen = user
            .execute("looks", &json!({ "name": name }))
            .await
            .expect_ok();
        for place in ["python", "kernel", "library", "child"] {
            let text = seen[place].as_str().unwrap();
            assert!(!text.contains(MARK), "{name} is seen in {place}");
        }
        for place in ["python", "child"] {
            let text = seen[place].as_str().unwrap();
            assert!(text.contains("OF_THE_PLUGIN=stays"), "{place} is empty");
            assert!(!text.contains("JWT_SECRET"), "{text}");
        }
        assert!(
            seen["kernel"]
                .as_str()
                .unwrap()
                .contains("OF_THE_PLUGIN=stays")
        );
    }
}
