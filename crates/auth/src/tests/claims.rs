//! Which claims are accepted and what they come to.

use super::*;

fn check(config: &AuthConfig, changes: Value) -> Result<Arc<Principal>, AuthError> {
    verdict(&build(config).0, &hs256(&claims(changes)))
}

fn check_raw(payload: &str) -> Result<Arc<Principal>, AuthError> {
    let token = hs256_raw(r#"{"alg":"HS256"}"#, payload);
    verdict(&build(&secret_config()).0, &token)
}

fn is_invalid(result: &Result<Arc<Principal>, AuthError>) -> bool {
    use AuthError::{Invalid, InvalidClaim};
    matches!(result, Err(Invalid(_) | InvalidClaim(_)))
}

#[test]
fn exp_is_required_and_a_number() {
    let config = secret_config();
    for wrong in [
        json!({"exp": null}),
        json!({"exp": "1900000000"}),
        json!({"exp": true}),
        json!({"exp": []}),
        json!({"exp": {}}),
    ] {
        assert!(is_invalid(&check(&config, wrong.clone())), "{wrong}");
    }
    assert!(is_invalid(&check_raw(r#"{"user_id":"u","exp":null}"#)));
    assert!(is_invalid(&check_raw(r#"{"user_id":"u","exp":1e999}"#)));
    assert!(is_invalid(&check_raw(r#"{"user_id":"u","exp":NaN}"#)));
    assert!(is_invalid(&check_raw(
        r#"{"user_id":"u","exp":1900000000,"exp":1}"#
    )));

    for past in [
        json!(-1),
        json!(0),
        json!(-1e300),
        json!(NOW - 30),
        json!(NOW as f64 - 30.5),
    ] {
        assert_eq!(
            check(&config, json!({"exp": past})),
            Err(AuthError::Expired),
            "{past}"
        );
    }
    for ahead in [
        json!(NOW - 29),
        json!(NOW as f64 + 0.5),
        json!(u64::MAX),
        json!(1e300),
    ] {
        assert!(check(&config, json!({"exp": ahead})).is_ok(), "{ahead}");
    }
    let principal = check(&config, json!({"exp": NOW as f64 + 9.75})).unwrap();
    assert_eq!(principal.expires_at_unix, NOW + 9);
}

#[test]
fn nbf_counts_and_iat_does_not() {
    let config = secret_config();
    assert!(check(&config, json!({"nbf": NOW + 30})).is_ok());
    assert_eq!(
        check(&config, json!({"nbf": NOW + 31})),
        Err(AuthError::NotYetValid)
    );
    assert!(is_invalid(&check(&config, json!({"nbf": "tomorrow"}))));
    assert!(check(&config, json!({"iat": NOW + 1_000_000})).is_ok());
    assert!(check(&config, json!({"iat": "odd"})).is_ok());
}

#[test]
fn issuer_and_audience_are_checked_where_configured() {
    let open = secret_config();
    assert!(check(&open, json!({"iss": "anyone", "aud": "anything"})).is_ok());

    let config = AuthConfig {
        issuer: Some("https://id.example/".into()),
        audience: Some("app".into()),
        ..secret_config()
    };
    let iss = "https://id.example/";
    assert!(check(&config, json!({"iss": iss, "aud": "app"})).is_ok());
    assert!(check(&config, json!({"iss": iss, "aud": ["other", "app"]})).is_ok());
    for wrong in [
        json!({"aud": "app"}),
        json!({"iss": "https://id.example", "aud": "app"}),
        json!({"iss": "https://evil.example/", "aud": "app"}),
        json!({"iss": [iss], "aud": "app"}),
        json!({"iss": iss}),
        json!({"iss": iss, "aud": "other"}),
        json!({"iss": iss, "aud": "APP"}),
        json!({"iss": iss, "aud": []}),
        json!({"iss": iss, "aud": ["other"]}),
        json!({"iss": iss, "aud": ["app", 1]}),
        json!({"iss": iss, "aud": {"app": true}}),
        json!({"iss": iss, "aud": 1}),
    ] {
        assert!(is_invalid(&check(&config, wrong.clone())), "{wrong}");
    }
}

#[test]
fn the_user_is_user_id_else_sub_else_uid() {
    let config = secret_config();
    let user = |changes: Value| check(&config, changes).map(|p| p.user_id.to_string());
    assert_eq!(user(json!({"sub": "s", "uid": "d"})).unwrap(), "u1");
    assert_eq!(
        user(json!({"user_id": null, "sub": "s", "uid": "d"})).unwrap(),
        "s"
    );
    assert_eq!(user(json!({"user_id": null, "uid": "d"})).unwrap(), "d");
    assert_eq!(user(json!({"user_id": 42})).unwrap(), "42");
    assert_eq!(user(json!({"user_id": -7})).unwrap(), "-7");
    assert_eq!(
        user(json!({"user_id": u64::MAX})).unwrap(),
        "18446744073709551615"
    );
    for wrong in [
        json!({"user_id": null}),
        json!({"user_id": ""}),
        json!({"user_id": "", "sub": "s"}),
        json!({"user_id": 1.5}),
        json!({"user_id": 1e30}),
        json!({"user_id": true}),
        json!({"user_id": ["u"]}),
        json!({"user_id": {"id": "u"}}),
    ] {
        assert!(user(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn an_address_counts_only_where_the_issuer_has_verified_it() {
    let config = secret_config();
    let verified = |changes: Value| check(&config, changes).unwrap().verified.clone();
    let email = |changes: Value| verified(changes).email.as_deref().map(str::to_owned);
    let yes = Some("a@b.c".to_owned());
    assert_eq!(
        email(json!({"email": "a@b.c", "email_verified": true})),
        yes
    );
    assert_eq!(
        email(json!({"email": "a@b.c", "email_verified": "true"})),
        yes
    );
    for not in [
        json!({"email": "a@b.c"}),
        json!({"email": "a@b.c", "email_verified": false}),
        json!({"email": "a@b.c", "email_verified": 1}),
        json!({"email": "", "email_verified": true}),
        json!({"username": "u", "email": ["a@b.c"], "email_verified": true}),
        json!({"username": "a@b.c", "email_verified": true}),
        json!({"phone_number": "+49155500", "phone_number_verified": false}),
    ] {
        assert_eq!(
            verified(not.clone()),
            crate::VerifiedContacts::default(),
            "{not}"
        );
    }
    let phone = json!({"phone_number": "+49155500", "phone_number_verified": true});
    assert_eq!(verified(phone).phone.as_deref(), Some("+49155500"));
}

#[test]
fn the_username_is_the_first_of_three() {
    let config = secret_config();
    let name =
        |changes: Value| check(&config, changes).map(|p| p.username.as_deref().map(str::to_owned));
    assert_eq!(name(json!({})).unwrap(), None);
    assert_eq!(
        name(json!({"username": "a", "preferred_username": "b", "email": "c"})).unwrap(),
        Some("a".into())
    );
    assert_eq!(
        name(json!({"preferred_username": "b", "email": "c"})).unwrap(),
        Some("b".into())
    );
    assert_eq!(
        name(json!({"username": "", "email": "c"})).unwrap(),
        Some("c".into())
    );
    assert!(name(json!({"username": 1})).is_err());
}

#[test]
fn roles_come_as_list_or_string_or_from_the_realm() {
    let config = secret_config();
    let roles = |changes: Value| {
        check(&config, changes).map(|p| {
            p.roles
                .iter()
                .map(|role| role.to_string())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(roles(json!({})).unwrap(), Vec::<String>::new());
    assert_eq!(roles(json!({"roles": ["a", "b"]})).unwrap(), ["a", "b"]);
    assert_eq!(roles(json!({"roles": "a"})).unwrap(), ["a"]);
    assert_eq!(
        roles(json!({"realm_access": {"roles": ["r"]}})).unwrap(),
        ["r"]
    );
    assert_eq!(
        roles(json!({"roles": [], "realm_access": {"roles": ["superadmin"]}})).unwrap(),
        Vec::<String>::new()
    );
    for wrong in [
        json!({"roles": 1}),
        json!({"roles": [1]}),
        json!({"roles": ["a", null]}),
        json!({"roles": {"superadmin": true}}),
        json!({"realm_access": "x"}),
        json!({"realm_access": {"roles": 1}}),
    ] {
        assert!(roles(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn superadmin_is_a_role_or_a_true_claim() {
    let config = secret_config();
    let is_superadmin = |changes: Value| check(&config, changes).map(|p| p.is_superadmin);
    assert!(is_superadmin(json!({"is_superadmin": true})).unwrap());
    assert!(is_superadmin(json!({"roles": ["superadmin"]})).unwrap());
    assert!(!is_superadmin(json!({"is_superadmin": false, "roles": ["admin"]})).unwrap());
    assert!(!is_superadmin(json!({"roles": ["SuperAdmin"]})).unwrap());
    assert!(is_superadmin(json!({"is_superadmin": "true"})).is_err());
    assert!(is_superadmin(json!({"is_superadmin": 1})).is_err());

    let admin = check(&config, json!({"roles": ["admin"]})).unwrap();
    assert!(admin.is_admin() && !admin.has_role("editor"));
    let superadmin = check(&config, json!({"is_superadmin": true})).unwrap();
    assert!(superadmin.is_admin() && superadmin.has_role("editor"));
}

#[test]
fn a_token_of_another_app_is_refused() {
    let config = AuthConfig {
        app_id: "shop".into(),
        ..secret_config()
    };
    let app = |changes: Value| check(&config, changes).map(|p| p.app_id.to_string());
    assert_eq!(app(json!({})).unwrap(), "shop");
    assert_eq!(app(json!({"app_id": "shop"})).unwrap(), "shop");
    for other in ["blog", "Shop", "*", "shop "] {
        assert_eq!(app(json!({"app_id": other})), Err(AuthError::AppMismatch));
    }
    for wrong in [json!(1), json!(""), json!(["shop"])] {
        assert!(matches!(
            app(json!({"app_id": wrong})),
            Err(AuthError::InvalidClaim(_))
        ));
    }
}

#[test]
fn a_gateway_of_many_apps_demands_the_claim() {
    let config = AuthConfig {
        app_id: "*".into(),
        ..secret_config()
    };
    assert_eq!(
        &*check(&config, json!({"app_id": "shop"})).unwrap().app_id,
        "shop"
    );
    for wrong in [json!({}), json!({"app_id": "*"}), json!({"app_id": ""})] {
        assert!(is_invalid(&check(&config, wrong)));
    }
}
