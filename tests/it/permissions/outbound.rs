//! Requests of plugins to others: the way out is the gateway's.

use std::{io::Write as _, net::SocketAddr};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{data::with_sdk, support::TestApp};

const CALLER: &str = r#"
from mozaiks import HostError

ctx = None

async def on_load(context):
    global ctx
    ctx = context

async def execute(data):
    sender = ctx.http.api(data["api"]) if data.get("api") else ctx.http
    try:
        answer = await sender.request(data.get("method", "GET"), data["url"], **data.get("options", {}))
    except HostError as error:
        return {"refused": error.error_code, "kind": type(error).__name__}
    return {
        "status": answer.status, "text": answer.text, "url": answer.url,
        "kind": answer.headers.get("content-type"),
    }
"#;

/// Answers with the request itself; `/go?to=` is a redirect.
async fn sink() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 65_536];
                let mut end = 0;
                while !is_whole(&request[..end]) {
                    match socket.read(&mut request[end..]).await {
                        Ok(0) | Err(_) => return,
                        Ok(count) => end += count,
                    }
                }
                let text = String::from_utf8_lossy(&request[..end]).into_owned();
                let answer = match text.split_once("/go?to=") {
                    Some((_, rest)) => {
                        let to = rest.split_whitespace().next().unwrap();
                        format!(
                            "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                        )
                    }
                    None => format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                        text.len()
                    ),
                };
                socket.write_all(answer.as_bytes()).await.ok();
            });
        }
    });
    address
}

/// Whether head and body are there.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= length.unwrap_or(0)
}

async fn started(sink: SocketAddr, apis: &std::path::Path) -> TestApp {
    let permissions = json!({ "permissions": {
        "network": [sink.to_string(), "*.example.com"],
        "api": ["weather", "unknown"],
    }});
    with_sdk()
        .plugin("caller", CALLER)
        .file("caller/plugin.json", &permissions.to_string())
        .plugin("free", CALLER)
        .env("MOZAIKS_HTTP_PRIVATE_HOSTS", "127.0.0.1")
        .env("MOZAIKS_HTTP_APIS", apis.to_str().unwrap())
        .start()
        .await
}

#[tokio::test]
async fn plugins_reach_what_they_may_and_no_more() {
    let sink = sink().await;
    let other = self::sink().await;
    let mut apis = tempfile::NamedTempFile::new().unwrap();
    let described = format!(
        "[weather]\nbase_url = \"http://{sink}/v1\"\nmethods = [\"GET\", \"POST\"]\n\
         headers = {{ authorization = \"Bearer hidden\" }}\n"
    );
    apis.write_all(described.as_bytes()).unwrap();
    let app = started(sink, apis.path()).await;
    let user = app.user("ann");
    let ask =
        async |plugin: &str, data: serde_json::Value| user.execute(plugin, &data).await.expect_ok();

    let url = format!("http://{sink}/a");
    let options =
        json!({ "params": { "q": "x y" }, "json": { "n": 1 }, "headers": { "x-a": "1" } });
    let sent = ask(
        "caller",
        json!({ "method": "POST", "url": url, "options": options }),
    )
    .await;
    assert_eq!(
        (&sent["status"], &sent["kind"]),
        (&json!(200), &json!("text/plain"))
    );
    let text = sent["text"].as_str().unwrap();
    for part in [
        "POST /a?q=x+y HTTP/1.1",
        "content-type: application/json",
        "x-a: 1",
        "{\"n\":1}",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("cookie") && !text.contains("hidden"),
        "{text}"
    );

    for (plugin, data, code, kind) in [
        (
            "caller",
            json!({ "url": format!("http://{other}/") }),
            "PERMISSION_DENIED",
            "PermissionDenied",
        ),
        (
            "caller",
            json!({ "url": "https://example.com/" }),
            "PERMISSION_DENIED",
            "PermissionDenied",
        ),
        (
            "caller",
            json!({ "url": "/", "api": "news" }),
            "PERMISSION_DENIED",
            "PermissionDenied",
        ),
        (
            "caller",
            json!({ "url": "/", "api": "unknown" }),
            "NETWORK_DENIED",
            "NetworkDenied",
        ),
        (
            "caller",
            json!({ "url": "http://a.example.com/" }),
            "NETWORK_DENIED",
            "NetworkDenied",
        ),
        (
            "caller",
            json!({ "url": format!("http://{sink}/go?to=http://{other}/") }),
            "NETWORK_DENIED",
            "NetworkDenied",
        ),
        (
            "caller",
            json!({ "url": format!("http://{sink}/go?to=http://169.254.169.254/") }),
            "NETWORK_DENIED",
            "NetworkDenied",
        ),
        // Everything is permitted, and private places are not reached all the same.
        (
            "free",
            json!({ "url": "https://169.254.169.254/" }),
            "NETWORK_DENIED",
            "NetworkDenied",
        ),
        (
            "free",
            json!({ "url": format!("https://[::1]:{}/", other.port()) }),
            "NETWORK_DENIED",
            "NetworkDenied",
        ),
        (
            "free",
            json!({ "url": format!("http://127.0.0.2:{}/", other.port()) }),
            "NETWORK_DENIED",
            "NetworkDenied",
        ),
        (
            "free",
            json!({ "url": "http://127.0.0.1:1/" }),
            "UPSTREAM_ERROR",
            "UpstreamError",
        ),
        (
            "free",
            json!({ "url": "not a url" }),
            "VALIDATION_ERROR",
            "HostError",
        ),
    ] {
        let refused = ask(plugin, data.clone()).await;
        assert_eq!(refused, json!({ "refused": code, "kind": kind }), "{data}");
    }

    let named = ask("caller", json!({ "url": "/today", "api": "weather" })).await;
    let text = named["text"].as_str().unwrap();
    assert!(text.contains("GET /v1/today HTTP/1.1"), "{text}");
    assert!(text.contains("authorization: Bearer hidden"), "{text}");
    let refused = ask(
        "caller",
        json!({ "url": "/x", "api": "weather", "method": "DELETE" }),
    )
    .await;
    assert_eq!(refused["refused"], "NETWORK_DENIED");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let late = ask("free", json!({ "url": url, "options": { "timeout": 0.1 } })).await;
    assert_eq!(
        late,
        json!({ "refused": "UPSTREAM_TIMEOUT", "kind": "UpstreamTimeout" })
    );
}
