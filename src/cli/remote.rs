//! A small HTTP client for commands that speak to a running gateway: one address, one token, JSON both ways.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, RequestBuilder, Response, Url, redirect};
use serde_json::Value;

use super::{Failure, flags::configured_scheme};

/// Until the gateway takes the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Until a whole answer is there: loading a plugin anew may take its import's limit.
const ANSWER_LIMIT: Duration = Duration::from_secs(300);
/// What a name keeps as it is in a path.
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Where the gateway is and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RemoteArgs {
    /// Address of the gateway [default: http://127.0.0.1:8000; https where tls_cert is set].
    #[arg(long, value_name = "URL", env = "MOZAIKS_URL")]
    url: Option<String>,
    /// A token of an admin, such as `mozaiks token --user me --role admin` prints.
    #[arg(
        long,
        value_name = "JWT",
        env = "MOZAIKS_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
}

impl RemoteArgs {
    /// A client for it.
    pub(super) fn connect(&self) -> Result<Remote, Failure> {
        let url = self.url.clone().unwrap_or_else(default_url);
        connect(&url, self.token.as_deref())
    }
}

/// As [`RemoteArgs`], for commands that ask for what is open to anyone.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct OpenRemoteArgs {
    /// Address of the gateway [default: http://127.0.0.1:8000; https where tls_cert is set].
    #[arg(long, value_name = "URL", env = "MOZAIKS_URL")]
    url: Option<String>,
}

impl OpenRemoteArgs {
    /// A client for it, without a token.
    pub(super) fn connect(&self) -> Result<Remote, Failure> {
        Remote::anonymous(&self.url.clone().unwrap_or_else(default_url))
    }
}

fn default_url() -> String {
    format!("{}://127.0.0.1:8000", configured_scheme())
}

/// As [`RemoteArgs`], for commands that speak to a gateway only where one is named.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct MaybeRemoteArgs {
    /// Address of a running gateway.
    #[arg(long, value_name = "URL", env = "MOZAIKS_URL")]
    url: Option<String>,
    /// A token of a user of it, such as `mozaiks token --user me` prints.
    #[arg(
        long,
        value_name = "JWT",
        env = "MOZAIKS_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
}

impl MaybeRemoteArgs {
    /// A client, where a gateway is named.
    pub(super) fn connect(&self) -> Result<Option<Remote>, Failure> {
        let url = self.url.as_deref();
        url.map(|url| connect(url, self.token.as_deref()))
            .transpose()
    }
}

fn connect(url: &str, token: Option<&str>) -> Result<Remote, Failure> {
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return Err(Failure::Usage(
            "no token: give --token or set MOZAIKS_TOKEN; with a shared secret \
             `mozaiks token --user me --role admin` prints one"
                .into(),
        ));
    };
    Remote::new(url, token)
}

/// Asks a gateway as one user. Its methods wait for the answer.
pub(super) struct Remote {
    base: String,
    token: Option<String>,
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Remote {
    /// A client of the gateway at an address.
    pub(super) fn new(url: &str, token: &str) -> Result<Self, Failure> {
        let remote = Self::anonymous(url)?;
        let token = Some(token.trim().to_owned());
        Ok(Self { token, ..remote })
    }

    /// As [`Self::new`], for what needs no token.
    pub(super) fn anonymous(url: &str) -> Result<Self, Failure> {
        let wrong = |reason: String| Failure::Usage(format!("--url {url}: {reason}"));
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(wrong(
                "an address such as http://127.0.0.1:8000 is wanted".into(),
            ));
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("credentials go in --token".into()));
        }
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            // The token is for this gateway and nobody else.
            .redirect(redirect::Policy::none());
        if is_here(&parsed) {
            builder = builder.no_proxy();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start a client")?;
        Ok(Self {
            base: url.trim_end_matches('/').to_owned(),
            token: None,
            client: builder.build().context("cannot make a client")?,
            runtime,
        })
    }

    /// Asks for what is at a path.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(self.request(Method::GET, path))
    }

    /// Sends something to a path.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(self.request(Method::POST, path).json(body))
    }

    /// Puts something at a path.
    pub(super) fn put(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(self.request(Method::PUT, path).json(body))
    }

    /// Takes away what is at a path.
    pub(super) fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(self.request(Method::DELETE, path))
    }

    /// Gives each line of an answer that may never end, as it comes.
    pub(super) fn lines(
        &self,
        path: &str,
        mut each: impl FnMut(&str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let request = self.request(Method::GET, path);
        self.runtime.block_on(async {
            let mut response = self.send(request).await?;
            let mut rest: Vec<u8> = Vec::new();
            while let Some(piece) = response.chunk().await.map_err(|error| self.cut(error))? {
                rest.extend_from_slice(&piece);
                while let Some(end) = memchr::memchr(b'\n', &rest) {
                    let line: Vec<u8> = rest.drain(..=end).collect();
                    each(String::from_utf8_lossy(&line).trim_end())?;
                }
            }
            Ok(())
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn ask(&self, request: RequestBuilder) -> Result<Value, Failure> {
        self.runtime.block_on(async {
            let response = self.send(request.timeout(ANSWER_LIMIT)).await?;
            let body = response.bytes().await.map_err(|error| self.cut(error))?;
            if body.is_empty() {
                return Ok(Value::Null);
            }
            let answer = serde_json::from_slice(&body);
            Ok(answer.with_context(|| format!("{} does not answer as a gateway", self.base))?)
        })
    }

    /// The answer, where it is not a refusal.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.cut(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let refusal: Value = serde_json::from_slice(&body).unwrap_or_default();
        Err(Failure::Failed(match refusal["error"].as_str() {
            Some(sentence) => anyhow!("{}", refused(sentence, &refusal)),
            None => anyhow!("{} answers {status}, not as a gateway does", self.base),
        }))
    }

    fn cut(&self, error: reqwest::Error) -> Failure {
        // Its own text repeats the address, with whatever stands in the query.
        let error = anyhow::Error::new(error.without_url());
        Failure::Failed(error.context(format!("cannot speak to {}", self.base)))
    }
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, IN_SEGMENT).to_string()
}

/// Text of others as it may be shown on a terminal: without signs that steer one.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|sign| match sign {
            '\n' | '\t' => sign,
            sign if sign.is_control() => char::REPLACEMENT_CHARACTER,
            sign => sign,
        })
        .collect()
}

/// What the gateway says of why it refuses, with a traceback where it gives one.
fn refused(sentence: &str, refusal: &Value) -> String {
    let mut said = sentence.trim_end_matches('.').to_owned();
    let word = |key: &str| refusal[key].as_str();
    if let Some(code) = word("error_code") {
        said.push_str(&format!(" ({code}"));
        if let Some(id) = word("request_id") {
            said.push_str(&format!(", request {id}"));
        }
        said.push(')');
    }
    let details = &refusal["details"];
    if let Some(list) = details["list"].as_array() {
        let names: Vec<_> = list.iter().filter_map(Value::as_str).collect();
        said.push_str(&format!(": {}", names.join(", ")));
    }
    if let Some(traceback) = details["traceback"].as_str() {
        said.push_str(&format!("\n{}", traceback.trim_end()));
    }
    printable(&said)
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || (address.parse::<std::net::IpAddr>()).is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        thread::JoinHandle,
    };

    use serde_json::json;

    use super::*;

    /// Answers one request as it is told; gives its address and, at the end, the request's head.
    fn answers(answer: &'static str) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head = lines
                .map(Result::unwrap)
                .take_while(|line| !line.is_empty())
                .collect::<Vec<_>>();
            stream.write_all(answer.as_bytes()).unwrap();
            head.join("\n")
        });
        (address, served)
    }

    fn said(failure: Failure) -> String {
        match failure {
            Failure::Failed(error) => format!("{error:#}"),
            Failure::Usage(sentence) => sentence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_is_json_and_the_token_goes_along() {
        let (url, served) = answers("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"a\": 1}");
        let remote = Remote::new(&format!("{url}/"), "some-token\n").unwrap();
        let path = format!("/api/plugins/{}", segment("a/../b"));
        assert_eq!(remote.get(&path).unwrap(), json!({"a": 1}));
        let head = served.join().unwrap();
        assert!(
            head.starts_with("GET /api/plugins/a%2F..%2Fb HTTP/1.1"),
            "{head}"
        );
        assert!(head.contains("authorization: Bearer some-token"), "{head}");
    }

    #[test]
    fn a_refusal_says_why_and_steers_no_terminal() {
        let (url, served) = answers(
            "HTTP/1.1 409 Conflict\r\nconnection: close\r\n\r\n{\"error\": \"No.\", \"error_code\": \
             \"RELOAD_FAILED\", \"request_id\": \"r\", \"details\": {\"traceback\": \
             \"ValueError: \\u001b[2J\\n\", \"list\": [\"a\", \"b\"]}}",
        );
        let remote = Remote::new(&url, "t").unwrap();
        let failure = remote.post("/x", &json!({})).unwrap_err();
        assert_eq!(
            said(failure),
            "No (RELOAD_FAILED, request r): a, b\nValueError: \u{fffd}[2J"
        );
        served.join().unwrap();
    }

    #[test]
    fn redirects_are_not_followed_with_the_token() {
        let (url, served) = answers(
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        );
        let remote = Remote::new(&url, "t").unwrap();
        assert!(said(remote.get("/x").unwrap_err()).contains("302"));
        served.join().unwrap();
    }

    #[test]
    fn lines_come_one_by_one() {
        let (url, served) = answers(
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"n\": 1}\n{\"n\": 2}\nbroken off",
        );
        let remote = Remote::new(&url, "t").unwrap();
        let mut lines = Vec::new();
        remote
            .lines("/x", |line| {
                lines.push(line.to_owned());
                Ok(())
            })
            .unwrap();
        assert_eq!(lines, ["{\"n\": 1}", "{\"n\": 2}"]);
        served.join().unwrap();
    }

    #[test]
    fn what_is_no_gateway_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let remote = Remote::new(&url, "t").unwrap();
        let failure = said(remote.get("/x?token=secret").unwrap_err());
        assert!(
            failure.contains(&url) && !failure.contains("secret"),
            "{failure}"
        );
        for wrong in ["nonsense", "ftp://x", "http://a:b@x"] {
            assert!(
                matches!(Remote::new(wrong, "t"), Err(Failure::Usage(_))),
                "{wrong}"
            );
        }
    }
}
