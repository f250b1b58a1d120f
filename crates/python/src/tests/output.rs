//! Results: the one rule of what can be sent.

use super::*;

#[test]
fn values_have_one_form() {
    on_shared(|gateway| async move {
        for (kind, wanted) in [
            (
                "plain",
                r#"{"s":"ä\"\\\n\u0001","i":-5,"big":1180591620717411303424,"f":1.5,"n":null,"t":true,"l":[1,[2],{}],"whole":2.0,"tiny":5e-324}"#,
            ),
            ("tuple", r#"{"v":[1,2],"p":[1,2],"s":[1],"f":[2]}"#),
            ("dicts", r#"{"o":{"a":1},"d":{"b":2}}"#),
            ("subclasses", r#"{"n":"bob","i":7,"l":3,"c":"red"}"#),
            (
                "datetimes",
                r#"{"naive":"2024-01-02T03:04:05+00:00","utc":"2024-01-02T03:04:05.000600+00:00","aware":"2024-01-02T00:00:00+02:00","date":"2024-01-02","time":"03:04:05"}"#,
            ),
            (
                "texts",
                r#"{"u":"00000000-0000-0000-0000-000000000001","d":"1.10"}"#,
            ),
            ("dataclass", r#"{"p":{"x":1,"y":{"x":2,"y":null}}}"#),
            ("model", r#"{"m":{"at":"2024-05-06"}}"#),
            ("int_keys", r#"{"1":"a","-2":"b","3":"c"}"#),
            ("ordered", r#"{"a":1}"#),
        ] {
            let body = json!({"kind": kind}).to_string();
            let reply = gateway
                .call_bytes("returns", body.as_bytes())
                .await
                .expect(kind);
            assert_eq!(std::str::from_utf8(&reply.body).unwrap(), wanted, "{kind}");
        }
        gateway
            .call("returns", json!({"kind": "depth_64"}))
            .await
            .unwrap();
        gateway
            .call("returns", json!({"kind": "shrinking"}))
            .await
            .unwrap();
    });
}

#[test]
fn what_cannot_be_sent_is_named() {
    on_shared(|gateway| async move {
        for (kind, wanted_path, wanted_reason) in [
            (
                "int_keys_collide",
                "$.<int>",
                "the int key 1 is there as a string too",
            ),
            ("bool_key", "$.<bool>", "a key of type bool"),
            ("none_key", "$.<NoneType>", "a key of type NoneType"),
            ("tuple_key", "$.a.<tuple>", "a key of type tuple"),
            ("nan", "$.items[1].v", "the float NaN has no JSON form"),
            ("infinity", "$.a", "the float -inf has no JSON form"),
            ("bytes", "$.a.b", "a value of type bytes"),
            ("object", "$[\"odd key\"][0]", "a value of type object"),
            ("type", "$.m", "a value of type type"),
            ("function", "$.f", "a value of type function"),
            ("generator", "$.g", "a value of type generator"),
            ("cycle", "$.self[0]", "a container that holds itself"),
            ("depth_65", "$.a.a", "nested deeper than 64"),
            ("depth_100000", "$.a.a", "nested deeper than 64"),
            ("surrogate", "$.a", "a string with a lone surrogate"),
            ("surrogate_key", "$.<str>", "a string with a lone surrogate"),
            ("huge_int", "$.a", "an int of more than 4300 digits"),
            (
                "broken_model",
                "$.m",
                "converting it raised RuntimeError: no dump",
            ),
            ("endless_model", "$.m.model_dump()", "nested deeper than 64"),
            (
                "mutating",
                "$.a",
                "the dict changed while it was being sent",
            ),
            ("growing", "$.a", "the dict changed while it was being sent"),
        ] {
            let error = gateway.fail("returns", json!({"kind": kind})).await;
            let CallError::NotSerializable { path, reason } = error else {
                panic!("{kind}: {error:?}");
            };
            assert!(path.starts_with(wanted_path), "{kind}: {path}");
            assert_eq!(reason, wanted_reason, "{kind}");
        }
        for kind in ["huge_string", "huge_list"] {
            let error = gateway.fail("returns", json!({"kind": kind})).await;
            assert!(
                matches!(error, CallError::OutputTooLarge { .. }),
                "{kind}: {error:?}"
            );
        }
        for (kind, wanted) in [
            ("list", "list"),
            ("none", "NoneType"),
            ("string", "str"),
            ("coroutine", "coroutine"),
        ] {
            let error = gateway.fail("returns", json!({"kind": kind})).await;
            let CallError::BadResult(name) = error else {
                panic!("{kind}: {error:?}")
            };
            assert_eq!(name, wanted);
        }
    });
}

#[test]
fn pymongos_types_are_text() {
    if std::env::var_os(TEST_PYTHON).is_none() {
        // Said by the environment: no interpreter with pymongo for the tests.
        return;
    }
    on_shared(|gateway| async move {
        let reply = gateway
            .call("returns", json!({"kind": "bson"}))
            .await
            .unwrap();
        assert_eq!(
            reply,
            json!({"id": "0123456789abcdef01234567", "d": "1.50"})
        );
    });
}
