//! An identity provider on loopback: documents in the shape of a real one's, with keys made here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// Where the recorded documents say that they are.
const RECORDED: &str = "https://id.example.com";

pub struct Provider {
    pub base: String,
    /// The recorded documents, with this provider's address in them.
    pub recorded: Value,
    algorithm: Algorithm,
    key_id: String,
    private: EncodingKey,
    jwks: Value,
    served: Arc<Mutex<HashMap<String, String>>>,
    task: JoinHandle<()>,
}

impl Provider {
    /// A provider that serves nothing yet, in the shape of the recorded documents.
    pub async fn start(recorded: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let recorded: Value = serde_json::from_str(&recorded.replace(RECORDED, &base)).unwrap();
        let served: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let documents = Arc::clone(&served);
        let task = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default();
                let document = documents.lock().unwrap().get(path).cloned();
                let (status, body) = match document {
                    Some(document) => ("200 OK", document),
                    None => ("404 Not Found", String::new()),
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await.ok();
            }
        });
        let algorithm: Algorithm = recorded["algorithm"].as_str().unwrap().parse().unwrap();
        let mut jwks = recorded["jwks"].clone();
        let (key_id, private) = fill_in(&mut jwks, algorithm);
        Self {
            base,
            recorded,
            algorithm,
            key_id,
            private,
            jwks,
            served,
            task,
        }
    }

    /// Serves the documents as they were recorded.
    pub fn serve(&self) {
        self.serve_configuration(&self.recorded["configuration"]);
        let path = self.recorded["jwks_path"].as_str().unwrap().to_owned();
        let mut served = self.served.lock().unwrap();
        served.insert(path, self.jwks.to_string());
    }

    /// Serves another discovery document.
    pub fn serve_configuration(&self, configuration: &Value) {
        let path = self.recorded["well_known"].as_str().unwrap().to_owned();
        let mut served = self.served.lock().unwrap();
        served.insert(path, configuration.to_string());
    }

    /// The recorded token, valid for an hour, with some claims changed; null takes one away.
    pub fn token(&self, changes: &Value) -> String {
        let mut claims = self.recorded["token"].clone();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        claims["iat"] = now.as_secs().into();
        claims["exp"] = (now.as_secs() + 3600).into();
        let fields = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(fields.remove(name)),
                value => drop(fields.insert(name.clone(), value.clone())),
            }
        }
        let header = Header {
            kid: Some(self.key_id.clone()),
            ..Header::new(self.algorithm)
        };
        jsonwebtoken::encode(&header, &claims, &self.private).unwrap()
    }

    pub fn issuer(&self) -> &str {
        self.recorded["configuration"]["issuer"].as_str().unwrap()
    }

    /// The settings of the guide, as variables.
    pub fn guide(&self) -> Vec<(String, String)> {
        let guides = include_str!("../../../docs/sign-in.md");
        let heading = format!("\n## {}\n", self.recorded["heading"].as_str().unwrap());
        let (_, guide) = guides.split_once(&heading).expect("the guide is there");
        let (_, block) = guide.split_once("```toml\n").unwrap();
        let (block, _) = block.split_once("```").unwrap();
        let settings: toml::Table = block.replace(RECORDED, &self.base).parse().unwrap();
        let text = |value: &toml::Value| match value {
            toml::Value::Array(items) => {
                let items: Vec<&str> = items.iter().map(|item| item.as_str().unwrap()).collect();
                items.join(",")
            }
            value => value.as_str().unwrap().to_owned(),
        };
        settings
            .iter()
            .map(|(key, value)| (format!("MOZAIKS_{}", key.to_uppercase()), text(value)))
            .collect()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Puts real keys into the recorded set; gives the id of the one to sign with.
fn fill_in(jwks: &mut Value, algorithm: Algorithm) -> (String, EncodingKey) {
    let kind = if algorithm == Algorithm::ES256 {
        "EC"
    } else {
        "RSA"
    };
    let mut signing = None;
    for key in jwks["keys"].as_array_mut().unwrap() {
        let (public, private) = match key["kty"].as_str().unwrap() {
            "RSA" => rsa(),
            _ => p256(),
        };
        for (name, value) in public.as_object().unwrap() {
            key[name] = value.clone();
        }
        if signing.is_none() && key["kty"] == kind && key["use"] != "enc" {
            signing = Some((key["kid"].as_str().unwrap().to_owned(), private));
        }
    }
    signing.expect("a key of the algorithm was recorded")
}

fn rsa() -> (Value, EncodingKey) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public = pair.public_key();
    let numbers = json!({
        "n": encode(public.modulus().big_endian_without_leading_zero()),
        "e": encode(public.exponent().big_endian_without_leading_zero()),
    });
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    (numbers, EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap())
}

fn p256() -> (Value, EncodingKey) {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let der = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref()).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let numbers = json!({ "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
    (numbers, EncodingKey::from_ec_der(der.as_ref()))
}
