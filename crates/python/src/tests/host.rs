//! A host that records what plugins ask, and the tests of the native module against it.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::*;
use mozaiks_plugins::{
    CallId, Caller, Generation, HostError, HostServices, Input, Invocation, Target,
    host::{HandlerId, Registration, RegistrationId},
};

#[derive(Default)]
pub(super) struct TestHost {
    pub published: Mutex<Vec<(Caller, String, Bytes)>>,
    pub registered: Mutex<Vec<(RegistrationId, Registration, HandlerId)>>,
    pub forgotten: Mutex<Vec<Generation>>,
    next: AtomicU64,
}

impl HostServices for TestHost {
    fn request(
        &self,
        caller: Caller,
        operation: &str,
        payload: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, HostError>> {
        let operation = operation.to_owned();
        Box::pin(async move {
            match operation.as_str() {
                "echo" => {
                    tokio::task::yield_now().await;
                    let user = caller.principal.map(|user| user.user_id.to_string());
                    let mut answer = user.unwrap_or_default().into_bytes();
                    answer.push(b':');
                    answer.extend_from_slice(&payload);
                    Ok(answer.into())
                }
                "never" => std::future::pending().await,
                "panics" => panic!("the host panics"),
                _ => Err(HostError {
                    code: "NOT_FOUND",
                    message: format!("no operation {operation}"),
                    details: Some(payload),
                }),
            }
        })
    }

    fn query(&self, caller: &Caller, _: &str, payload: &[u8]) -> Result<Bytes, HostError> {
        Ok([caller.plugin.as_bytes(), b":", payload].concat().into())
    }

    fn publish(&self, caller: &Caller, event: &str, data: Bytes) -> Result<(), HostError> {
        self.published
            .lock()
            .push((caller.clone(), event.to_owned(), data));
        Ok(())
    }

    fn register(
        &self,
        _: &Caller,
        registration: Registration,
        handler: HandlerId,
    ) -> Result<RegistrationId, HostError> {
        let id = RegistrationId(self.next.fetch_add(1, Ordering::Relaxed));
        self.registered.lock().push((id, registration, handler));
        Ok(id)
    }

    fn unregister(&self, id: RegistrationId) {
        self.registered.lock().retain(|(other, _, _)| *other != id);
    }

    fn forget_generation(&self, generation: Generation) {
        self.forgotten.lock().push(generation);
    }
}

#[test]
fn requests_reach_the_host_as_the_caller() {
    on_shared(|gateway| async move {
        let reply = gateway
            .call("native", json!({"do": "request"}))
            .await
            .unwrap();
        assert_eq!(reply, json!({"answer": "u1:hi"}));
        let reply = gateway
            .call("native", json!({"do": "request_many"}))
            .await
            .unwrap();
        assert_eq!(reply["count"], 200);
        let reply = gateway
            .call("native", json!({"do": "query"}))
            .await
            .unwrap();
        assert_eq!(reply, json!({"answer": "native:q"}));
        let reply = gateway
            .call("native", json!({"do": "blocking"}))
            .await
            .unwrap();
        assert_eq!(reply, json!({"answer": "u1:pool", "refused": true}));
        let reply = gateway.call("native_plain", json!({})).await.unwrap();
        assert_eq!(reply, json!({"answer": "u1:plain", "refused": true}));
        let reply = gateway
            .call("native", json!({"do": "caller"}))
            .await
            .unwrap();
        assert_eq!(
            reply["caller"],
            json!(["native", "req-1", "app", "u1", "ann", ["editor"], false])
        );
    });
}

#[test]
fn host_errors_are_exceptions() {
    on_shared(|gateway| async move {
        let reply = gateway
            .call("native", json!({"do": "host_error"}))
            .await
            .unwrap();
        assert_eq!(
            reply,
            json!({"code": "NOT_FOUND", "message": "no operation odd", "details": "x"})
        );
        let reply = gateway
            .call("native", json!({"do": "host_panic"}))
            .await
            .unwrap();
        assert_eq!(reply["code"], "INTERNAL_ERROR");
    });
}

#[test]
fn cancelling_a_request_drops_interest() {
    on_shared(|gateway| async move {
        let reply = gateway
            .call("native", json!({"do": "cancel_request"}))
            .await
            .unwrap();
        assert_eq!(reply, json!({"timed_out": true}));
        gateway.assert_alive().await;
    });
}

#[test]
fn publishing_names_the_plugin_and_the_request() {
    on_shared(|gateway| async move {
        gateway
            .call("native", json!({"do": "publish"}))
            .await
            .unwrap();
        let published = gateway.host.published.lock();
        let (caller, event, data) = published
            .iter()
            .find(|(_, event, _)| event == "native:done")
            .unwrap();
        assert_eq!(&*caller.plugin, "native");
        assert_eq!(caller.request_id.as_deref(), Some("req-1"));
        assert_eq!((event.as_str(), &data[..]), ("native:done", &b"{}"[..]));
    });
}

#[test]
fn handlers_are_called_back() {
    on_shared(|gateway| async move {
        let find = |wanted: &str| {
            let registered = gateway.host.registered.lock();
            let found = registered.iter().find(|(_, registration, _)| {
                let spec: serde_json::Value = serde_json::from_slice(&registration.spec).unwrap();
                spec["pattern"] == wanted || spec["type"] == wanted
            });
            found.map(|(_, _, handler)| *handler)
        };
        let invoke = |handler| {
            gateway.python.submit(Invocation {
                id: CallId::next(),
                target: Target::Handler(handler),
                input: Input::Arguments(Bytes::from_static(br#"[{"n": 2}, "conn"]"#)),
                principal: Some(user()),
                app_id: Some("app".into()),
                request_id: "ev-1".into(),
                timeout: Duration::from_secs(20),
                record: None,
                permit: None,
                wants: mozaiks_plugins::Wants::Anything,
                started: mozaiks_plugins::Started::default(),
            })
        };
        for key in ["native:*", "ping"] {
            let handler = find(key).unwrap();
            let reply = invoke(handler).unwrap().await.unwrap().unwrap();
            let value: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(value["got"], json!([2, "conn", "u1", "ev-1"]), "{key}");
        }
        let handler = find("native:fails").unwrap();
        let failed = invoke(handler).unwrap().await.unwrap();
        assert!(
            matches!(failed, Err(CallError::Raised { .. })),
            "{failed:?}"
        );
        let handler = find("native:odd").unwrap();
        let reply = invoke(handler).unwrap().await.unwrap().unwrap();
        assert_eq!(&reply.body[..], b"null");

        gateway
            .call("native", json!({"do": "unregister"}))
            .await
            .unwrap();
        assert!(find("native:gone").is_none());
        let gone = invoke(HandlerId(u64::MAX)).unwrap().await.unwrap();
        assert!(matches!(gone, Err(CallError::NotLoaded)));
    });
}
