//! Issuers, claims and scopes as they are written.

use super::*;
use crate::ClaimPath;

const ISSUER: &str = "https://id.example/realms/shop";

#[test]
fn an_issuer_alone_is_an_auth_configuration() {
    let setup = Setup::new()
        .variable("MOZAIKS_OIDC_ISSUER", ISSUER)
        .auth_required();
    let loaded = setup.load();
    assert!(matches!(&loaded.config.auth.keys, Some(KeySource::Oidc(issuer)) if issuer == ISSUER));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn an_issuer_is_an_address_that_documents_may_be_fetched_from() {
    for good in [
        ISSUER,
        "https://shop.example/",
        "http://127.0.0.1:9/auth/v1",
        "http://localhost:8080/realms/shop",
    ] {
        Setup::new().variable("MOZAIKS_OIDC_ISSUER", good).load();
    }
    for bad in [
        "http://id.example",
        "id.example",
        "https://id.example/?realm=shop",
        "https://id.example/#shop",
        "https://user:word@id.example/",
        "file:///etc/passwd",
    ] {
        let problems = Setup::new().variable("MOZAIKS_OIDC_ISSUER", bad).problems();
        assert_eq!(problems[0].key, "oidc_issuer", "{bad}");
    }
}

#[test]
fn what_contradicts_an_issuer_is_named() {
    let setup = Setup::new().variable("MOZAIKS_OIDC_ISSUER", ISSUER);
    let problems = setup.variable("MOZAIKS_JWT_SECRET", SECRET).problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let said = problems[0].to_string();
    for part in [
        "jwt_secret (from MOZAIKS_JWT_SECRET)",
        "oidc_issuer (from MOZAIKS_OIDC_ISSUER)",
        "one source of keys",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains(SECRET), "{said}");

    let setup = Setup::new()
        .variable("MOZAIKS_OIDC_ISSUER", ISSUER)
        .variable("MOZAIKS_ISSUER", "https://id.example/realms/other");
    let problems = setup.problems();
    assert_eq!(problems[0].key, "issuer");
    assert_eq!(problems[0].origin, "MOZAIKS_ISSUER");
    assert!(problems[0].found.contains(ISSUER), "{problems:?}");

    let same = Setup::new()
        .variable("MOZAIKS_OIDC_ISSUER", ISSUER)
        .variable("MOZAIKS_ISSUER", ISSUER);
    same.load();
}

#[test]
fn a_path_is_names_with_dots_between() {
    let names = |text: &str| ClaimPath::parse(text).map(|path| path.names().to_vec());
    assert_eq!(names("sub").unwrap(), ["sub"]);
    assert_eq!(
        names("resource_access.shop-api.roles").unwrap(),
        ["resource_access", "shop-api", "roles"]
    );
    assert_eq!(
        names(r"resource_access.api\.shop.roles").unwrap(),
        ["resource_access", "api.shop", "roles"]
    );
    assert_eq!(names(r"a\\.b").unwrap(), [r"a\", "b"]);
    let long = "a".repeat(257);
    let deep = "a.a.a.a.a.a.a.a.a";
    for bad in [
        "", ".", "a.", ".a", "a..b", r"a\", r"a\b", "a b", &long, deep,
    ] {
        assert_eq!(names(bad), None, "{bad}");
    }
}

#[test]
fn claims_and_scopes_are_lists() {
    let setup = Setup::new()
        .variable("MOZAIKS_USER_ID_CLAIM", "sub")
        .variable(
            "MOZAIKS_PLATFORM_ROLES_CLAIM",
            "https://example.com/roles, realm_access.roles",
        )
        .variable("MOZAIKS_REQUIRED_SCOPES", "read:tasks  write:tasks,openid");
    let loaded = setup.load();
    let claims = &loaded.config.auth.claims;
    let shown = |paths: &[ClaimPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&claims.user_id), ["sub"]);
    assert_eq!(
        shown(&claims.roles),
        ["https://example.com/roles", "realm_access.roles"]
    );
    assert_eq!(
        claims.required_scopes,
        ["read:tasks", "write:tasks", "openid"]
    );
    let printed = effective(&loaded);
    assert!(printed.contains("https://example.com/roles,realm_access.roles"));
    assert!(printed.contains("read:tasks write:tasks openid"));

    let setup = Setup::new().file(
        "roles_claim = ['resource_access.api\\.shop.roles', \"groups\"]\n\
         required_scopes = [\"tasks\"]\napp_id_claim = \"tenant.id\"\n",
    );
    let claims = setup.load().config.auth.claims;
    assert_eq!(
        shown(&claims.roles),
        [r"resource_access.api\.shop.roles", "groups"]
    );
    assert_eq!(shown(&claims.app_id), ["tenant.id"]);

    for (name, bad) in [
        ("user_id_claim", ","),
        ("roles_claim", "roles,,groups"),
        ("roles_claim", "a..b"),
        ("required_scopes", " , "),
        ("required_scopes", "a\"b"),
    ] {
        let setup = Setup::new().file(&format!("{name} = '{bad}'\n"));
        assert_eq!(setup.problems()[0].key, name, "{bad}");
    }
}
