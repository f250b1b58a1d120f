//! The gateway as plugin code in a worker has it: the same trait, over the link.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use mozaiks_plugins::{
    CallId, Caller, Generation, HostError, HostServices,
    findings::FindingKind,
    host::{HandlerId, Registration, RegistrationId},
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{
    frame::{Ask, Asker, ToGateway, Way, WireError},
    link::{NotSent, Outgoing},
};

/// Codes that may be kept for ever: the gateway has some dozens.
const MAX_CODES: usize = 1024;

type Answer = Result<Bytes, HostError>;

/// The gateway, from a worker.
pub(crate) struct RemoteHost {
    outgoing: Arc<Outgoing>,
    next: AtomicU64,
    /// Calls that are over, not yet told of: what is taken from time to time.
    ended: Mutex<Vec<u64>>,
    /// Who waits for an answer; `None` once the link is gone. Held for moments.
    waiting: Mutex<Option<HashMap<u64, oneshot::Sender<Answer>>>>,
}

impl RemoteHost {
    pub(crate) fn new(outgoing: Arc<Outgoing>) -> Arc<Self> {
        Arc::new(Self {
            outgoing,
            next: AtomicU64::new(1),
            ended: Mutex::default(),
            waiting: Mutex::new(Some(HashMap::new())),
        })
    }

    /// The gateway has answered.
    pub(crate) fn answered(&self, request: u64, result: Result<Bytes, WireError>) {
        let waiting = self
            .waiting
            .lock()
            .as_mut()
            .and_then(|all| all.remove(&request));
        if let Some(waiting) = waiting {
            // Whoever asked may have been cancelled.
            waiting.send(result.map_err(host_error)).ok();
        }
    }

    /// Calls of which nothing runs any more, since the last look.
    pub(crate) fn take_ended(&self) -> Vec<u64> {
        std::mem::take(&mut *self.ended.lock())
    }

    /// The link is gone: nobody is answered any more.
    pub(crate) fn lost(&self) {
        let waiting = self.waiting.lock().take();
        // Dropped senders tell their receivers.
        drop(waiting);
    }

    fn send(
        &self,
        frame: impl FnOnce(u64) -> ToGateway,
    ) -> Result<oneshot::Receiver<Answer>, HostError> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match self.waiting.lock().as_mut() {
            Some(all) => all.insert(request, sender),
            None => return Err(gone()),
        };
        self.outgoing.push(&frame(request)).map_err(|error| {
            if let Some(all) = self.waiting.lock().as_mut() {
                all.remove(&request);
            }
            match error {
                NotSent::Closed => gone(),
                NotSent::Full => refusal("OVERLOADED", "too many requests to the gateway wait"),
                NotSent::Unwritable => refusal("VALIDATION_ERROR", "the request is too large"),
            }
        })?;
        Ok(receiver)
    }

    fn ask(
        &self,
        caller: &Caller,
        way: Way,
        what: &str,
        payload: Bytes,
    ) -> Result<oneshot::Receiver<Answer>, HostError> {
        let asker = asker(caller);
        let what = what.to_owned();
        self.send(|request| {
            ToGateway::Ask(Ask {
                request,
                asker,
                way,
                what,
                payload,
            })
        })
    }
}

impl HostServices for RemoteHost {
    fn request(
        &self,
        caller: Caller,
        operation: &str,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, HostError>> {
        let sent = self.ask(&caller, Way::Request, operation, payload);
        Box::pin(async move { sent?.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn query(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<Bytes, HostError> {
        let payload = Bytes::copy_from_slice(payload);
        wait(self.ask(caller, Way::Query, operation, payload)?)
    }

    fn publish(&self, caller: &Caller, event: &str, data: Bytes) -> Result<(), HostError> {
        wait(self.ask(caller, Way::Publish, event, data)?).map(drop)
    }

    fn register(
        &self,
        caller: &Caller,
        registration: Registration,
        handler: HandlerId,
    ) -> Result<RegistrationId, HostError> {
        let asker = asker(caller);
        let answer = wait(self.send(|request| ToGateway::Register {
            request,
            asker,
            kind: registration.kind.into(),
            spec: registration.spec,
            handler: handler.0,
        })?)?;
        let id = answer
            .first_chunk::<8>()
            .map(|bytes| u64::from_le_bytes(*bytes));
        id.map(RegistrationId).ok_or_else(gone)
    }

    fn unregister(&self, id: RegistrationId) {
        // Refused only by a link that is gone, and the registrations with it.
        self.outgoing.push_owed(&ToGateway::Unregister(id.0)).ok();
    }

    fn call_ended(&self, call: CallId) {
        self.ended.lock().push(call.number());
    }

    /// The gateway knows: it is what has ended the load.
    fn found(&self, _plugin: &Arc<str>, generation: Generation, kind: FindingKind, sentence: &str) {
        let sentence = sentence.to_owned();
        // Whose load it is the gateway knows. What finds no room is noticed again.
        let found = ToGateway::Found {
            generation,
            kind,
            sentence,
        };
        self.outgoing.push(&found).ok();
    }

    fn forget_generation(&self, _: Generation) {}
}

/// Waits on a thread of the interpreter's; the link is served by another.
fn wait(answer: oneshot::Receiver<Answer>) -> Answer {
    answer.blocking_recv().unwrap_or_else(|_| Err(gone()))
}

fn asker(caller: &Caller) -> Asker {
    Asker {
        generation: caller.generation,
        call: caller.call.map(|call| call.number()),
    }
}

fn host_error(error: WireError) -> HostError {
    HostError {
        code: known_code(error.code),
        message: error.message,
        details: error.details,
    }
}

/// Codes are constants in the gateway; here each is made one when it is first seen.
fn known_code(code: String) -> &'static str {
    static CODES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut codes = CODES.lock();
    let codes = codes.get_or_insert_with(HashSet::new);
    if let Some(known) = codes.get(&*code) {
        return known;
    }
    if codes.len() >= MAX_CODES {
        return "INTERNAL_ERROR";
    }
    let code: &'static str = Box::leak(code.into_boxed_str());
    codes.insert(code);
    code
}

fn refusal(code: &'static str, message: &str) -> HostError {
    HostError {
        code,
        message: message.to_owned(),
        details: None,
    }
}

fn gone() -> HostError {
    refusal("INTERNAL_ERROR", "the gateway is gone")
}
