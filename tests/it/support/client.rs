//! An HTTP client of one identity.

use std::time::Duration;

use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;

/// Longest that any request of a test may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Speaks to one gateway as one user, or as nobody.
#[derive(Clone)]
pub struct TestClient {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What came back, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl TestClient {
    pub fn new(base: &str, token: Option<String>) -> Self {
        Self::trusting(base, token, None)
    }

    /// As [`Self::new`], for a server whose certificate an authority has given.
    pub fn trusting(base: &str, token: Option<String>, authority: Option<&str>) -> Self {
        let mut http = reqwest::Client::builder().timeout(LIMIT).no_proxy();
        if let Some(authority) = authority {
            let authority = reqwest::Certificate::from_pem(authority.as_bytes()).unwrap();
            http = http.tls_certs_only([authority]);
        }
        Self {
            http: http.build().unwrap(),
            base: base.to_owned(),
            token,
        }
    }

    /// A request to fill in by hand, with this client's identity.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// Calls a plugin.
    pub async fn execute(&self, plugin: &str, data: &Value) -> Answer {
        let path = format!("/api/execute/{plugin}");
        Answer::of(self.request(Method::POST, &path).json(data)).await
    }

    /// Calls a plugin with a body as it is, declared to be JSON.
    pub async fn execute_raw(&self, plugin: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self
            .request(Method::POST, &format!("/api/execute/{plugin}"))
            .header("content-type", "application/json")
            .body(body);
        Answer::of(request).await
    }
}

impl Answer {
    /// Sends a request and reads its answer.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the gateway answers");
        Self {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await.expect("the answer is complete"),
        }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks status, code and the shape every error has; gives the body.
    #[track_caller]
    pub fn expect_error(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status.as_u16(), body["error_code"].as_str()),
            (status, Some(code)),
            "{}",
            self.text
        );
        assert!(
            body["error"].as_str().is_some_and(|text| !text.is_empty()),
            "{body}"
        );
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"));
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        body
    }

    /// Checks that the plugin itself refused: its dict as it is, the status by its code.
    #[track_caller]
    pub fn expect_domain_failure(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status.as_u16(), body["error_code"].as_str()),
            (status, Some(code)),
            "{}",
            self.text
        );
        body
    }

    /// Checks that the call succeeded; gives the dict.
    #[track_caller]
    pub fn expect_ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }
}
