//! Calls: identity, JSON in, asyncio inside, exceptions.

use super::*;

#[test]
fn identity_is_put_over_the_clients() {
    on_shared(|gateway| async move {
        let body = json!({
            "user_id": "evil", "app_id": "evil", "_context": {"is_superadmin": true},
            "_entitlements": ["all"], "value": [1, {"a": null}],
        });
        let reply = gateway.call("echo", body).await.unwrap();
        assert_eq!(
            reply,
            json!({
                "user_id": "u1", "app_id": "app", "value": [1, {"a": null}],
                "_context": {
                    "app_id": "app", "user_id": "u1", "username": "ann", "roles": ["editor"],
                    "is_superadmin": false, "request_id": "req-1",
                },
            })
        );
    });
}

#[test]
fn json_arrives_exactly() {
    on_shared(|gateway| async move {
        let digits = "7".repeat(4300);
        let body = format!(
            r#"{{"big":-{digits},"i":9223372036854775808,"f":0.1,"e":1e3,"s":"\u00e4\ud83d\ude00","a":1,"a":2}}"#
        );
        let reply = gateway.call_bytes("echo", body.as_bytes()).await.unwrap();
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(text.contains(&format!("\"big\":-{digits},")), "{text}");
        assert!(text.contains("\"i\":9223372036854775808,"));
        assert!(
            text.contains("\"f\":0.1,\"e\":1000.0,\"s\":\"ä😀\",\"a\":2,"),
            "{text}"
        );
        let reply = gateway.call_bytes("echo", b"").await.unwrap();
        assert!(reply.body.starts_with(b"{\"user_id\":\"u1\""));
    });
}

#[test]
fn bodies_that_are_no_objects_are_refused() {
    on_shared(|gateway| async move {
        let big = format!("{{\"a\":\"{}\", nope}}", "x".repeat(50_000));
        for body in [
            "{",
            "{\"a\":NaN}",
            "\u{feff}{}",
            "{\"a\":\"\\ud800\"}",
            &big,
        ] {
            let error = gateway
                .call_bytes("echo", body.as_bytes())
                .await
                .unwrap_err();
            assert!(
                matches!(error, DispatchError::Call(CallError::InvalidJson(_))),
                "{error:?}"
            );
            let error = gateway
                .call_bytes("sync", body.as_bytes())
                .await
                .unwrap_err();
            assert!(
                matches!(error, DispatchError::Call(CallError::InvalidJson(_))),
                "{error:?}"
            );
        }
        let error = gateway.call_bytes("echo", b"[1]").await.unwrap_err();
        assert!(matches!(
            error,
            DispatchError::Call(CallError::NotAnObject(_))
        ));
    });
}

#[test]
fn plain_functions_run_on_the_pool() {
    on_shared(|gateway| async move {
        let reply = gateway.call("sync", json!({"value": 3})).await.unwrap();
        assert_eq!(reply["echo"], 3);
        assert_ne!(reply["thread"], "MainThread");
        let calls = (0..50).map(|value| gateway.call("sync", json!({"value": value})));
        for (value, reply) in futures_util::future::join_all(calls)
            .await
            .into_iter()
            .enumerate()
        {
            assert_eq!(reply.unwrap()["echo"], value);
        }
        let reply = gateway.call("sync_awaitable", json!({})).await.unwrap();
        assert_eq!(reply, json!({"task": true, "user_id": "u1"}));
    });
}

#[test]
fn a_plain_function_that_waits_keeps_no_other_from_running() {
    on_shared(|gateway| async move {
        let calls = (0..3).map(|_| gateway.call("sync_gate", json!({})));
        for reply in futures_util::future::join_all(calls).await {
            assert_eq!(reply.unwrap(), json!({"place": true}));
        }
    });
}

#[test]
fn asyncio_works_inside_a_call() {
    on_shared(|gateway| async move {
        for (probe, wanted) in [
            (
                "current_task",
                json!({"same": true, "is_task": true, "named": true, "in_all": true,
                       "loop": true, "done": false, "repr": true}),
            ),
            ("timeout", json!({"timed_out": true, "went_on": true})),
            ("timeout_eager", json!({"ok": true})),
            ("wait_for", json!({"timed_out": true, "value": 3})),
            (
                "group",
                json!({"sum": 6, "failed": ["ValueError"], "cancelled": true}),
            ),
            (
                "cancel_self",
                json!({"cancelled": true, "message": ["mine"]}),
            ),
            ("cancel_self_bare", json!({"cancelled": true})),
            (
                "cancel_self_late",
                json!({"cancelled": true, "message": ["mine"]}),
            ),
            ("cancel_self_unawaited", json!({"returned": true})),
            (
                "cancel_self_done",
                json!({"cancelled": true, "message": ["mine"]}),
            ),
            ("task_callback", json!({"kept": true})),
            ("task_callback_called", json!({"ended": [false]})),
            ("contextvar_looked", json!({"value": "after", "same": true})),
            ("all_tasks", json!({"in_all": true})),
            ("shield", json!({"value": 5, "done": [true]})),
            ("gather", json!({"results": [1, 2, "ValueError"]})),
            ("awaitables", json!({"values": [7, 9, 11, 13]})),
            ("future_error", json!({"error": null, "caught": ["inside"]})),
            (
                "primitives",
                json!({"order": ["first", "other"], "taken": [1, 2]}),
            ),
            ("generators", json!({"total": 3, "closed": [true]})),
            ("subprocess", json!({"out": "hi"})),
            ("executor", json!({"value": 4})),
            ("stop_loop", json!({"went_on": true})),
            ("leave_task", json!({"left": true})),
            ("bad_yield", json!({"refused": true})),
            ("nested_run", json!({"refused": "asyncio.run() cannot"})),
            (
                "sniff",
                json!({"coroutine": true, "name": "execute", "stack": true}),
            ),
        ] {
            let reply = gateway.call("asyncio_probe", json!({"probe": probe})).await;
            assert_eq!(reply.expect(probe), wanted, "{probe}");
            gateway.assert_alive().await;
        }
    });
}

#[test]
fn every_call_has_its_own_task_and_context() {
    on_shared(|gateway| async move {
        let probe = |probe: &'static str, tag: u32| {
            gateway.call("asyncio_probe", json!({"probe": probe, "tag": tag}))
        };
        let calls = (0..100).map(|tag| probe("contextvar", tag));
        for (tag, reply) in futures_util::future::join_all(calls)
            .await
            .into_iter()
            .enumerate()
        {
            let reply = reply.unwrap();
            assert_eq!(reply["before"], "unset");
            for key in ["first", "inner", "thread", "callback", "last"] {
                assert_eq!(reply[key], tag, "{key}");
            }
        }
        for tag in 0..20 {
            let reply = probe("contextvar_eager", tag).await.unwrap();
            assert_eq!(reply, json!({"before": "unset", "after": tag}));
            assert_eq!(
                probe("unique_tasks", 0).await.unwrap(),
                json!({"fresh": true})
            );
            assert_eq!(probe("eager", 0).await.unwrap()["is_task"], true);
        }
        probe("done_callback", 0).await.unwrap();
        let read = json!({"probe": "done_callback", "read": true});
        assert_eq!(
            gateway.call("asyncio_probe", read).await.unwrap(),
            json!({"called": 1})
        );
    });
}

#[test]
fn whatever_a_plugin_raises_is_contained() {
    on_shared(|gateway| async move {
        for after in [json!({}), json!({"after": true}), json!({"later": true})] {
            for (kind, wanted) in [
                ("value", "ValueError: no such thing"),
                ("custom", "Custom: own kind"),
                ("key", "KeyError: 'k'"),
                (
                    "stop_iteration",
                    "RuntimeError: coroutine raised StopIteration",
                ),
                ("stop_async", "StopAsyncIteration: 3"),
                ("system_exit", "SystemExit: 3"),
                ("keyboard", "KeyboardInterrupt"),
                ("generator_exit", "GeneratorExit"),
                ("cancelled", "CancelledError"),
                ("base", "BaseException: base"),
                (
                    "recursion",
                    "RecursionError: maximum recursion depth exceeded",
                ),
                ("memory", "MemoryError"),
                ("long", "ValueError: xxxxxx"),
                ("group", "ValueError: line break "),
                ("surrogate", "ValueError: "),
            ] {
                let mut data = after.clone();
                data["kind"] = kind.into();
                data["action"] = "act".into();
                let error = gateway.fail("raises", data.clone()).await;
                let CallError::Raised {
                    summary,
                    traceback,
                    action,
                    trouble,
                } = error
                else {
                    panic!("{kind}: {error:?}");
                };
                assert!(summary.starts_with(wanted), "{kind} {after}: {summary}");
                assert!(summary.len() < 2100 && traceback.len() < 70_000, "{kind}");
                assert!(
                    traceback.contains("logic.py") || kind == "long",
                    "{kind}: {traceback}"
                );
                assert_eq!(action.as_deref(), Some("act"));
                assert_eq!(trouble, None);
                gateway.assert_alive().await;
            }
        }
        let CallError::Raised { summary, .. } = gateway.fail("raises_broken_str", json!({})).await
        else {
            panic!("it raised");
        };
        assert_eq!(summary, "Broken: <its __str__ raised>");
        let CallError::Raised { summary, .. } = gateway
            .fail("asyncio_probe", json!({"probe": "cancel_self_uncaught"}))
            .await
        else {
            panic!("it cancelled itself");
        };
        assert_eq!(summary, "CancelledError");
    });
}

#[test]
fn leaving_the_process_does_not_end_the_loop() {
    on_shared(|gateway| async move {
        let CallError::Raised { summary, .. } = gateway.fail("sys_exit", json!({})).await else {
            panic!("it raised");
        };
        assert_eq!(summary, "SystemExit: 1");
        let reply = gateway
            .call("sys_exit", json!({"in_task": true}))
            .await
            .unwrap();
        assert_eq!(reply, json!({"left": true}));
        gateway.assert_alive().await;
    });
}

#[test]
fn domain_failures_are_seen() {
    on_shared(|gateway| async move {
        let failure = |data: Value| async move {
            let body = data.to_string();
            gateway
                .call_bytes("domain", body.as_bytes())
                .await
                .unwrap()
                .domain_failure
        };
        assert_eq!(failure(json!({})).await, None);
        assert_eq!(failure(json!({"error": null})).await, None);
        assert_eq!(failure(json!({"error": "no"})).await, Some(None));
        assert_eq!(
            failure(json!({"error": "no", "error_code": 5})).await,
            Some(None)
        );
        assert_eq!(
            failure(json!({"error": "no", "error_code": "NOT_FOUND"})).await,
            Some(Some("NOT_FOUND".into()))
        );
    });
}
