//! Answers of a running gateway, each held against what the document says of its operation.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use super::ELSEWHERE;
use crate::support::{Answer, TestClient};

/// Calls operations and holds what they answer against the document.
pub(crate) struct Asked<'a> {
    document: &'a Value,
    operations: BTreeMap<String, Value>,
    done: BTreeSet<String>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(document: &'a Value) -> Self {
        Self {
            document,
            operations: operations(document),
            done: BTreeSet::new(),
        }
    }

    pub(super) async fn get(&mut self, client: &TestClient, template: &str, real: &str) -> Value {
        self.call(client, Method::GET, template, real, Value::Null)
            .await
    }

    pub(super) async fn post(
        &mut self,
        client: &TestClient,
        template: &str,
        real: &str,
        body: Value,
    ) -> Value {
        self.call(client, Method::POST, template, real, body).await
    }

    pub(super) async fn put(
        &mut self,
        client: &TestClient,
        template: &str,
        real: &str,
        body: Value,
    ) -> Value {
        self.call(client, Method::PUT, template, real, body).await
    }

    pub(crate) async fn call(
        &mut self,
        client: &TestClient,
        method: Method,
        template: &str,
        real: &str,
        body: Value,
    ) -> Value {
        let name = format!("{} {template}", method.as_str().to_lowercase());
        let operation = self
            .operations
            .get(&name)
            .unwrap_or_else(|| panic!("no {name}"));
        let mut request = client.request(method, real);
        if !body.is_null() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            self.check(&format!("{name}: what it takes"), schema, &body);
            request = request.json(&body);
        }
        let answer = Answer::of(request).await;
        assert!(answer.status.is_success(), "{name}: {}", answer.text);
        let response = &operation["responses"][answer.status.as_str()];
        let given = answer.json();
        let schema = &response["content"]["application/json"]["schema"];
        self.check(&name, schema, &given);
        self.done.insert(name);
        given
    }

    pub(super) fn check(&self, name: &str, schema: &Value, body: &Value) {
        assert!(says_something(schema), "{name}: {schema}");
        let schema = whole(self.document, schema);
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(body)
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?} in {body}");
    }

    pub(crate) fn none_is_left_out(&self, stored: bool) {
        let left: Vec<&String> = self
            .operations
            .iter()
            .filter(|(name, operation)| {
                let responses = operation["responses"].as_object().unwrap();
                if of_stored(operation) != stored {
                    return false;
                }
                let is_json = responses.iter().any(|(status, response)| {
                    status.starts_with('2') && response["content"].get("application/json").is_some()
                });
                is_json && !self.done.contains(*name) && !ELSEWHERE.contains(&name.as_str())
            })
            .map(|(name, _)| name)
            .collect();
        assert!(left.is_empty(), "{left:#?}");
    }
}

/// Whether an operation is one of stored plugins, which are off in the gateway that is asked here:
/// `stored/described.rs` asks for them.
pub(super) fn of_stored(operation: &Value) -> bool {
    let away = operation["responses"]["503"]["description"].as_str();
    away.is_some_and(|away| away.starts_with("FEATURE_DISABLED"))
}

/// All operations by method and path.
pub(super) fn operations(document: &Value) -> BTreeMap<String, Value> {
    let paths = document["paths"].as_object().unwrap();
    let all: BTreeMap<_, _> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
        })
        .collect();
    assert!(all.len() > 40, "the document was not read");
    all
}

/// A schema of the document with what it refers to.
pub(super) fn whole(document: &Value, schema: &Value) -> Value {
    json!({ "components": document["components"], "allOf": [schema] })
}

/// Whether a schema tells more than that anything goes.
pub(super) fn says_something(schema: &Value) -> bool {
    ["$ref", "type", "anyOf", "oneOf", "allOf"]
        .iter()
        .any(|key| schema.get(key).is_some())
}
