//! SCRAM-SHA-256 for the one user that a server may be given.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bson::{Binary, Bson, Document, RawBsonRef, RawDocument, doc, spec::BinarySubtype};

use super::{args::Args, call::Call, insert};
use crate::{
    bail,
    error::{Code, CommandError, Result},
    wire::BsonWriter,
};

const ITERATIONS: NonZeroU32 = NonZeroU32::new(15_000).expect("invariant: 15000 is not zero");
const KEY_BYTES: usize = 32;

/// What the server keeps of the user; the password cannot be had from it.
#[derive(Clone)]
pub struct Credentials {
    name: String,
    salt: [u8; 28],
    stored_key: [u8; KEY_BYTES],
    server_key: [u8; KEY_BYTES],
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// The user's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Derives the keys. Passwords beyond ASCII are taken as they are.
    pub fn new(name: &str, password: &str) -> Result<Self> {
        let mut salt = [0; 28];
        rand::fill(&mut salt).map_err(|_| failed())?;
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ITERATIONS,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let client_key = sign(&salted, b"Client Key");
        Ok(Self {
            name: name.to_owned(),
            salt,
            stored_key: to_key(digest::digest(&digest::SHA256, &client_key).as_ref()),
            server_key: sign(&salted, b"Server Key"),
        })
    }
}

fn to_key(bytes: &[u8]) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(&bytes[..KEY_BYTES]);
    key
}

fn sign(key: &[u8], data: &[u8]) -> [u8; KEY_BYTES] {
    to_key(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref())
}

/// An exchange under way on a connection.
#[derive(Debug)]
pub struct Exchange {
    id: i32,
    /// Client's and server's nonce.
    nonce: String,
    /// The first two messages, which the proof signs.
    so_far: String,
    step: Step,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The client's proof is expected.
    Proof { skip_empty: bool },
    /// The client's last, empty message is expected.
    Empty,
}

/// `saslStart`.
pub fn sasl_start(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let args = call.args;
    let reply = start(call, &args)?;
    insert::finish(reply, out)
}

/// `saslStart` within `hello`; no answer where it fails, the client then starts over.
pub fn speculate(call: &mut Call<'_>, start_document: &RawDocument) -> Option<Document> {
    let args = Args::new("saslStart", start_document);
    start(call, &args).ok()
}

fn start(call: &mut Call<'_>, args: &Args<'_>) -> Result<Document> {
    let Some(credentials) = &call.service.config.user else {
        bail!(
            AuthenticationFailed,
            "Authentication failed: no user is defined"
        )
    };
    match args.string("mechanism")? {
        Some("SCRAM-SHA-256") => {}
        Some(other) => {
            return Err(CommandError {
                code_name: "MechanismUnavailable".to_owned(),
                ..CommandError::location(
                    334,
                    format!("Received authentication for mechanism {other} which is not enabled"),
                )
            });
        }
        None => bail!(
            IDLFailedToParse,
            "BSON field 'saslStart.mechanism' is missing but a required field"
        ),
    }
    let skip_empty = args
        .raw_document("options")?
        .and_then(|options| options.get_bool("skipEmptyExchange").ok())
        .unwrap_or(false);
    let payload = payload(args)?;
    // gs2 header without channel binding, then n=user,r=nonce.
    let Some(bare) = payload.strip_prefix("n,,") else {
        return Err(failed());
    };
    let user = attribute(bare, "n=").ok_or_else(failed)?;
    let client_nonce = attribute(bare, "r=").ok_or_else(failed)?;
    let user = user.replace("=2C", ",").replace("=3D", "=");
    let mut random = [0; 24];
    rand::fill(&mut random).map_err(|_| failed())?;
    let nonce = format!("{client_nonce}{}", BASE64.encode(random));
    let first = format!(
        "r={nonce},s={},i={ITERATIONS}",
        BASE64.encode(credentials.salt)
    );
    let known = user == credentials.name;
    call.connection.scram = known.then(|| Exchange {
        id: 1,
        so_far: format!("{bare},{first}"),
        nonce,
        step: Step::Proof { skip_empty },
    });
    // An unknown user learns that only after the proof.
    Ok(doc! { "conversationId": 1, "done": false, "payload": binary(&first) })
}

/// `saslContinue`.
pub fn sasl_continue(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let Some(mut exchange) = call.connection.scram.take() else {
        return Err(failed());
    };
    let Some(credentials) = &call.service.config.user else {
        return Err(failed());
    };
    if call.args.integer("conversationId")? != Some(i64::from(exchange.id)) {
        bail!(ProtocolError, "sasl: Mismatched conversation id");
    }
    let message = payload(&call.args)?;
    let Step::Proof { skip_empty } = exchange.step else {
        call.connection.authenticated = true;
        let reply = doc! { "conversationId": exchange.id, "done": true, "payload": binary("") };
        return insert::finish(reply, out);
    };
    let (without_proof, proof) = message.rsplit_once(",p=").ok_or_else(failed)?;
    if attribute(without_proof, "r=") != Some(exchange.nonce.as_str())
        || attribute(without_proof, "c=") != Some("biws")
    {
        return Err(failed());
    }
    let signed = format!("{},{without_proof}", exchange.so_far);
    let proof = BASE64.decode(proof).map_err(|_| failed())?;
    if proof.len() != KEY_BYTES {
        return Err(failed());
    }
    let signature = sign(&credentials.stored_key, signed.as_bytes());
    let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let hashed = digest::digest(&digest::SHA256, &client_key);
    constant_time::verify_slices_are_equal(hashed.as_ref(), &credentials.stored_key)
        .map_err(|_| failed())?;
    let server = format!(
        "v={}",
        BASE64.encode(sign(&credentials.server_key, signed.as_bytes()))
    );
    let reply =
        doc! { "conversationId": exchange.id, "done": skip_empty, "payload": binary(&server) };
    if skip_empty {
        call.connection.authenticated = true;
    } else {
        exchange.step = Step::Empty;
        call.connection.scram = Some(exchange);
    }
    insert::finish(reply, out)
}

/// `logout`.
pub fn logout(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    call.connection.authenticated = false;
    call.connection.scram = None;
    Call::ok(out);
    Ok(())
}

/// `connectionStatus`.
pub fn connection_status(call: &mut Call<'_>, out: &mut BsonWriter) -> Result<()> {
    let mut users: Vec<Bson> = Vec::new();
    let mut roles: Vec<Bson> = Vec::new();
    if let Some(user) = call
        .service
        .config
        .user
        .as_ref()
        .filter(|_| call.connection.authenticated)
    {
        users.push(Bson::Document(doc! { "user": &user.name, "db": "admin" }));
        roles.push(Bson::Document(doc! { "role": "root", "db": "admin" }));
    }
    let info = doc! { "authenticatedUsers": users, "authenticatedUserRoles": roles };
    insert::finish(doc! { "authInfo": info }, out)
}

fn payload(args: &Args<'_>) -> Result<String> {
    let bytes = match args.get("payload")? {
        Some(RawBsonRef::Binary(binary)) => binary.bytes.to_vec(),
        Some(RawBsonRef::String(text)) => BASE64.decode(text).map_err(|_| failed())?,
        _ => bail!(
            IDLFailedToParse,
            "BSON field 'payload' is missing but a required field"
        ),
    };
    String::from_utf8(bytes).map_err(|_| failed())
}

fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}

fn binary(text: &str) -> Bson {
    Bson::Binary(Binary {
        subtype: BinarySubtype::Generic,
        bytes: text.as_bytes().to_vec(),
    })
}

fn failed() -> CommandError {
    CommandError::new(Code::AuthenticationFailed, "Authentication failed.")
}
