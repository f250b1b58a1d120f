//! Users, roles, apps and scopes from the claims that the configuration names.

use super::*;
use mozaiks_config::{ClaimPath, ClaimsConfig};

fn paths(listed: &[&str]) -> Vec<ClaimPath> {
    listed
        .iter()
        .map(|path| ClaimPath::parse(path).unwrap())
        .collect()
}

fn with(claims: ClaimsConfig) -> AuthConfig {
    AuthConfig {
        claims,
        ..secret_config()
    }
}

fn check(config: &AuthConfig, changes: Value) -> Result<Arc<Principal>, AuthError> {
    verdict(&build(config).0, &hs256(&claims(changes)))
}

fn said(result: Result<Arc<Principal>, AuthError>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, AuthError::InvalidClaim(_)), "{error:?}");
    error.to_string()
}

#[test]
fn the_user_is_the_first_configured_claim_that_is_there() {
    let config = with(ClaimsConfig {
        user_id: paths(&["https://example.com/user.id", "account.id"]),
        ..ClaimsConfig::default()
    });
    let user = |changes: Value| check(&config, changes).map(|p| p.user_id.to_string());
    let both = json!({"https://example.com/user.id": "n", "account": {"id": "a"}});
    assert_eq!(user(both).unwrap(), "n");
    let second = json!({"https://example.com/user.id": null, "account": {"id": 7}});
    assert_eq!(user(second).unwrap(), "7");
    // The usual claims are others' now: `user_id` stands in each of these tokens.
    let missing = said(check(&config, json!({"sub": "s"})));
    assert!(
        missing.contains("https://example.com/user.id or account.id"),
        "{missing}"
    );
    for wrong in [
        json!(""),
        json!(1.5),
        json!(["u"]),
        json!({"id": "u"}),
        json!(true),
    ] {
        let sentence = said(check(&config, json!({"account": {"id": wrong}})));
        assert!(sentence.contains("account.id must be"), "{sentence}");
    }
    for nowhere in [json!("text"), json!(["id"]), json!({}), json!({"id": null})] {
        said(check(&config, json!({"account": nowhere})));
    }
    // One that is there and is no id is not passed over.
    let empty = json!({"https://example.com/user.id": "", "account": {"id": "a"}});
    said(check(&config, empty));
}

#[test]
fn a_claim_of_the_whole_name_goes_before_the_path() {
    let config = with(ClaimsConfig {
        user_id: paths(&["a.b"]),
        ..ClaimsConfig::default()
    });
    let user = |changes: Value| check(&config, changes).unwrap().user_id.to_string();
    assert_eq!(user(json!({"a.b": "whole", "a": {"b": "path"}})), "whole");
    assert_eq!(user(json!({"a": {"b": "path"}})), "path");
}

#[test]
fn roles_of_several_claims_are_joined() {
    let config = with(ClaimsConfig {
        roles: paths(&[
            "realm_access.roles",
            r"resource_access.api\.shop.roles",
            "https://example.com/roles",
            "groups",
        ]),
        ..ClaimsConfig::default()
    });
    let roles = |changes: Value| {
        let principal = check(&config, changes).unwrap();
        let roles: Vec<String> = principal.roles.iter().map(ToString::to_string).collect();
        (roles, principal.is_superadmin)
    };
    let all = json!({
        "realm_access": {"roles": ["user", "admin"]},
        "resource_access": {
            "api.shop": {"roles": ["admin", "editor"]},
            "account": {"roles": ["superadmin"]},
            "api": {"shop": {"roles": ["superadmin"]}},
        },
        "https://example.com/roles": ["with space"],
        "groups": "staff  night\tshift",
        "roles": ["superadmin"],
    });
    let expected = [
        "user",
        "admin",
        "editor",
        "with space",
        "staff",
        "night",
        "shift",
    ];
    assert_eq!(roles(all), (expected.map(str::to_owned).to_vec(), false));
    assert_eq!(roles(json!({})), (vec![], false));
    assert_eq!(roles(json!({"groups": ""})), (vec![], false));
    assert_eq!(
        roles(json!({"groups": "superadmin"})),
        (vec!["superadmin".into()], true)
    );
    for wrong in [
        json!(1),
        json!([1]),
        json!(["a", null]),
        json!({"admin": true}),
    ] {
        let sentence = said(check(&config, json!({"groups": wrong})));
        assert!(sentence.contains("groups"), "{sentence}");
    }
}

#[test]
fn the_app_keeps_its_rules_under_another_name() {
    let claims_config = ClaimsConfig {
        app_id: paths(&["https://example.com/app", "tenant.id"]),
        ..ClaimsConfig::default()
    };
    let one = AuthConfig {
        app_id: "shop".into(),
        ..with(claims_config.clone())
    };
    let many = AuthConfig {
        app_id: "*".into(),
        ..with(claims_config)
    };
    let app =
        |config: &AuthConfig, changes: Value| check(config, changes).map(|p| p.app_id.to_string());
    assert_eq!(app(&one, json!({})).unwrap(), "shop");
    assert_eq!(
        app(&one, json!({"tenant": {"id": "shop"}})).unwrap(),
        "shop"
    );
    assert_eq!(app(&one, json!({"app_id": "other"})).unwrap(), "shop");
    assert_eq!(
        app(&one, json!({"tenant": {"id": "other"}})),
        Err(AuthError::AppMismatch)
    );
    assert_eq!(
        app(&many, json!({"https://example.com/app": "a"})).unwrap(),
        "a"
    );
    let missing = said(check(&many, json!({"app_id": "a"})));
    assert!(missing.contains("tenant.id is missing"), "{missing}");
    for wrong in [json!("*"), json!(""), json!(1), json!(["a"])] {
        assert!(app(&many, json!({"tenant": {"id": wrong}})).is_err());
    }
}

#[test]
fn every_required_scope_must_be_there() {
    let config = with(ClaimsConfig {
        required_scopes: vec!["read:tasks".into(), "tasks".into()],
        ..ClaimsConfig::default()
    });
    for enough in [
        json!({"scope": "openid read:tasks tasks"}),
        json!({"scp": ["tasks", "read:tasks"]}),
        json!({"scp": "read:tasks tasks"}),
        json!({"scope": ["tasks"], "scp": "read:tasks"}),
    ] {
        assert!(check(&config, enough.clone()).is_ok(), "{enough}");
    }
    for (too_little, missing) in [
        (json!({}), "read:tasks"),
        (json!({"scope": null, "scp": []}), "read:tasks"),
        (json!({"scope": "read:tasks"}), "tasks"),
        (json!({"scope": "tasks"}), "read:tasks"),
        (json!({"scope": "read:tasks TASKS"}), "tasks"),
        (json!({"scp": ["read:tasks tasks"]}), "read:tasks"),
    ] {
        assert_eq!(
            check(&config, too_little.clone()),
            Err(AuthError::ScopeMissing(missing.into())),
            "{too_little}"
        );
    }
    said(check(&config, json!({"scope": 1})));
    said(check(&config, json!({"scp": [1]})));
    // Who is nobody lacks no scope.
    said(check(&config, json!({"user_id": null})));
    assert!(check(&secret_config(), json!({"scope": 1})).is_ok());
}

#[test]
fn what_is_signed_here_stands_where_it_is_looked_for() {
    let config = AuthConfig {
        app_id: "*".into(),
        ..with(ClaimsConfig {
            user_id: paths(&["account.id", "sub"]),
            roles: paths(&[r"resource_access.api\.shop.roles"]),
            app_id: paths(&["https://example.com/app"]),
            required_scopes: vec!["a".into(), "b".into()],
        })
    };
    let roles = ["editor".to_owned()];
    let request = crate::signer::TokenRequest {
        user_id: "u9",
        username: None,
        roles: &roles,
        app_id: Some("shop"),
        ttl: std::time::Duration::from_secs(60),
    };
    let token = crate::signer::sign(&config, &request).unwrap();
    let verifier = TokenVerifier::from_config(&config).unwrap();
    let principal = verdict(&verifier, &token).unwrap();
    assert_eq!((&*principal.user_id, &*principal.app_id), ("u9", "shop"));
    assert!(principal.has_role("editor"));
}
