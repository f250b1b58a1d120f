use http_body_util::BodyExt as _;

use serde_json::Value;

use super::*;
use mozaiks_plugins::{
    CallError,
    dispatch::DispatchError,
    runtime::{CrashReason, HostTrouble},
};

async fn body_of(error: &ApiError, dev: bool) -> (StatusCode, http::HeaderMap, Value) {
    let (head, body) = error.to_response("r-1", dev).into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (
        head.status,
        head.headers,
        serde_json::from_slice(&bytes).unwrap(),
    )
}

fn raised() -> ApiError {
    CallError::Raised {
        summary: "ValueError: no".into(),
        traceback: "Traceback (most recent call last)".into(),
        action: None,
        trouble: None,
    }
    .into()
}

fn raised_by_the_host(trouble: HostTrouble) -> ApiError {
    CallError::Raised {
        summary: "DatabaseUnavailable: no".into(),
        traceback: "Traceback (most recent call last)".into(),
        action: None,
        trouble: Some(trouble),
    }
    .into()
}

#[tokio::test]
async fn tracebacks_are_for_developers_only() {
    let (status, _, body) = body_of(&raised(), false).await;
    assert_eq!(status, 500);
    assert_eq!(body["error_code"], "PLUGIN_ERROR");
    assert_eq!(body["request_id"], "r-1");
    assert!(!body.to_string().contains("ValueError"), "{body}");
    let (_, _, body) = body_of(&raised(), true).await;
    assert!(
        body["details"]["traceback"]
            .as_str()
            .unwrap()
            .starts_with("Traceback")
    );
}

#[tokio::test]
async fn the_reason_of_a_failed_load_is_for_admins() {
    let unavailable = |tell| ApiError::PluginUnavailable {
        reason: "SyntaxError".into(),
        tell,
    };
    let (status, _, body) = body_of(&unavailable(false), false).await;
    assert_eq!((status.as_u16(), body.get("details")), (503, None));
    let (_, _, body) = body_of(&unavailable(true), false).await;
    assert_eq!(body["details"]["reason"], "SyntaxError");
}

#[tokio::test]
async fn a_missing_permission_is_named_to_admins_only() {
    let denied = |tell| ApiError::PermissionDenied {
        permission: "database:orders:read".into(),
        tell,
    };
    let (status, _, body) = body_of(&denied(false), false).await;
    assert_eq!(status, 500);
    assert!(!body.to_string().contains("orders"), "{body}");
    let (_, _, body) = body_of(&denied(true), false).await;
    assert_eq!(body["details"]["permission"], "database:orders:read");
}

#[tokio::test]
async fn headers_that_belong_to_a_status_are_set() {
    let (_, headers, _) = body_of(&ApiError::AuthRequired, false).await;
    assert_eq!(headers["www-authenticate"], "Bearer realm=\"mozaiks\"");
    let (_, headers, _) = body_of(&AuthError::Expired.into(), false).await;
    assert_eq!(
        headers["www-authenticate"],
        "Bearer realm=\"mozaiks\", error=\"invalid_token\""
    );
    let (_, headers, _) = body_of(&AuthError::AppMismatch.into(), false).await;
    assert!(!headers.contains_key("www-authenticate"));
    let (status, headers, _) = body_of(&DispatchError::Overloaded.into(), false).await;
    assert_eq!(status, 503);
    assert_eq!(headers["retry-after"], "1");
}

#[tokio::test]
async fn bugs_are_said_to_the_log_only() {
    let error = ApiError::Internal("the slot was empty".into());
    assert_eq!(error.internal(), Some("the slot was empty"));
    let (status, _, body) = body_of(&error, true).await;
    assert_eq!(status, 500);
    assert!(!body.to_string().contains("slot"), "{body}");
}

#[test]
fn domain_failures_have_the_statuses_of_the_contract() {
    for (code, status) in [
        (Some("VALIDATION_ERROR"), 422),
        (Some("NOT_FOUND"), 404),
        (Some("FORBIDDEN"), 403),
        (Some("FEATURE_GATED"), 403),
        (Some("CONFLICT"), 409),
        (Some("LIMIT_EXCEEDED"), 429),
        (Some("SOMETHING_ELSE"), 400),
        (None, 400),
    ] {
        assert_eq!(domain_status(code).as_u16(), status, "{code:?}");
    }
}

#[test]
fn a_refusal_is_a_whole_answer() {
    let answer = String::from_utf8(refusal_answer(&ApiError::HeadTooLarge, "r-1")).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error_code"], "HEADERS_TOO_LARGE");
    assert!(head.contains(&format!(
        "x-request-id: {}",
        body["request_id"].as_str().unwrap()
    )));
}

#[test]
fn every_failure_of_a_call_has_its_row() {
    let text = || "what".to_owned();
    let rows: Vec<(ApiError, u16, &str)> = vec![
        (DispatchError::Disabled.into(), 404, "PLUGIN_DISABLED"),
        (
            DispatchError::Unavailable("why".into()).into(),
            503,
            "PLUGIN_UNAVAILABLE",
        ),
        (DispatchError::Overloaded.into(), 503, "OVERLOADED"),
        (
            DispatchError::TimedOut(Duration::from_secs(30)).into(),
            504,
            "PLUGIN_TIMEOUT",
        ),
        (CallError::InvalidJson(text()).into(), 400, "INVALID_JSON"),
        (
            CallError::NotAnObject("a list".into()).into(),
            400,
            "INVALID_REQUEST",
        ),
        (
            CallError::BadResult(text()).into(),
            500,
            "PLUGIN_BAD_RESULT",
        ),
        (
            CallError::NotSerializable {
                path: text(),
                reason: text(),
            }
            .into(),
            500,
            "OUTPUT_NOT_SERIALIZABLE",
        ),
        (
            CallError::OutputTooLarge { limit_bytes: 1 }.into(),
            500,
            "OUTPUT_TOO_LARGE",
        ),
        (
            CallError::WorkerCrashed(CrashReason::Signal(9)).into(),
            502,
            "WORKER_CRASHED",
        ),
        (CallError::Cancelled.into(), 500, "PLUGIN_ERROR"),
        (CallError::NotLoaded.into(), 503, "PLUGIN_UNAVAILABLE"),
        (CallError::Internal(text()).into(), 500, "INTERNAL_ERROR"),
        (raised(), 500, "PLUGIN_ERROR"),
        (
            raised_by_the_host(HostTrouble::DatabaseUnavailable),
            503,
            "DATABASE_UNAVAILABLE",
        ),
        (
            raised_by_the_host(HostTrouble::StorageFull),
            507,
            "STORAGE_FULL",
        ),
        (
            raised_by_the_host(HostTrouble::QuotaExceeded),
            507,
            "QUOTA_EXCEEDED",
        ),
        (
            raised_by_the_host(HostTrouble::EntityNotMigrated),
            424,
            "ENTITY_NOT_MIGRATED",
        ),
        (
            raised_by_the_host(HostTrouble::PermissionDenied("broadcast".into())),
            500,
            "PERMISSION_DENIED",
        ),
        (ApiError::Forbidden("no"), 403, "FORBIDDEN"),
    ];
    for (error, status, code) in rows {
        let (have, have_code) = error.status_and_code();
        assert_eq!((have.as_u16(), have_code), (status, code), "{error:?}");
        assert!(!error.message().is_empty());
    }
}

#[test]
fn what_a_part_refuses_has_the_status_of_its_code() {
    for (code, status) in [
        ("DATABASE_UNAVAILABLE", 503),
        ("STORAGE_FULL", 507),
        ("INTERNAL_ERROR", 500),
        ("VALIDATION_ERROR", 422),
        ("NOT_FOUND", 404),
        ("CHECKSUM_MISMATCH", 409),
        ("MIGRATION_RUNNING", 409),
        ("MIGRATION_DONE", 409),
        ("NO_ROLLBACK", 409),
        ("ENTITY_NOT_MIGRATED", 424),
    ] {
        let error = ApiError::from(HostError {
            code,
            message: "no".into(),
            details: None,
        });
        assert_eq!(error.status_and_code().0.as_u16(), status, "{code}");
    }
}
