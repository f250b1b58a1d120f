use bson::doc;
use serde_json::json;

use super::*;

pub(crate) fn cart() -> Value {
    json!({
        "entity_name": "HamidCart",
        "table_name": "hamid_cart",
        "schema_definition": {
            "columns": [
                { "name": "id", "type": "UUID", "primaryKey": true, "default": "gen_random_uuid()" },
                { "name": "user_id", "type": "UUID", "nullable": true, "comment": "User reference" },
                { "name": "session_id", "type": "VARCHAR(255)", "nullable": true },
                { "name": "cart_items_count", "type": "INTEGER", "default": 0 },
                { "name": "visited_at", "type": "TIMESTAMP", "default": "NOW()" }
            ],
            "indexes": [
                { "name": "idx_hamid_cart_user", "columns": ["user_id"] },
                { "name": "idx_hamid_cart_visited_at", "columns": ["visited_at"], "order": "DESC" }
            ],
            "foreignKeys": [
                { "column": "user_id", "references": "users(id)", "onDelete": "SET NULL" }
            ]
        }
    })
}

#[test]
fn the_sample_is_read() {
    let cart = Entity::read(&cart()).unwrap();
    assert_eq!(cart.table_name, "hamid_cart");
    assert_eq!(cart.primary_key().map(|key| &*key.name), Some("id"));
    assert_eq!(cart.field("id"), "_id");
    assert_eq!(cart.field("user_id"), "user_id");
    assert!(cart.indexes[1].columns[0].descending);
    assert_eq!(cart.foreign_keys[0].on_delete, OnDelete::SetNull);
    // Ids of users look as the identity provider likes.
    let owner = cart.column("user_id").unwrap();
    assert_eq!(owner.rule(), doc! { "bsonType": ["string", "null"] });
    check_links(&[cart], 0).unwrap();
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    let mut written = cart();
    change(&mut written);
    match Entity::read(&written) {
        Err(error) => {
            assert_eq!(error.code(), "VALIDATION_ERROR");
            error.public_message()
        }
        Ok(entity) => panic!("taken: {entity:?}"),
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let column = |at: usize, key: &'static str, value: Value| {
        move |written: &mut Value| written["schema_definition"]["columns"][at][key] = value
    };
    for (said, named) in [
        (
            refused(column(3, "type", json!("SERIAL"))),
            "columns.cart_items_count",
        ),
        (
            refused(column(3, "default", json!("nextval('x')"))),
            "columns.cart_items_count",
        ),
        (
            refused(column(0, "default", json!("uuid_generate_v4()"))),
            "columns.id",
        ),
        (refused(column(0, "nullable", json!(true))), "columns.id"),
        (
            refused(column(1, "primaryKey", json!(true))),
            "columns.user_id",
        ),
        (
            refused(column(2, "name", json!("$where"))),
            "columns.$where",
        ),
        (refused(column(2, "name", json!("a.b"))), "columns.a.b"),
        (refused(column(2, "name", json!("_id"))), "columns._id"),
        (
            refused(column(2, "name", json!("user_id"))),
            "columns.user_id",
        ),
        (
            refused(column(2, "check", json!("a > 1"))),
            "columns.session_id",
        ),
        (
            refused(column(2, "unique", json!("yes"))),
            "columns.session_id",
        ),
        (
            refused(|written| written["table_name"] = json!("system.users")),
            "table_name",
        ),
        (
            refused(|written| written["table_name"] = json!("a$b")),
            "table_name",
        ),
        (
            refused(|written| written["table_name"] = json!("other.db")),
            "table_name",
        ),
        (
            refused(|written| written["table_name"] = json!("")),
            "table_name",
        ),
        (
            refused(|written| written["entity_name"] = json!("a b")),
            "entity_name",
        ),
        (
            refused(|written| written["schema_definition"]["indexes"][0]["columns"] = json!(["x"])),
            "indexes.idx_hamid_cart_user",
        ),
        (
            refused(|written| written["schema_definition"]["indexes"][1]["order"] = json!("UP")),
            "indexes.idx_hamid_cart_visited_at",
        ),
        (
            refused(|written| {
                written["schema_definition"]["foreignKeys"][0]["references"] = json!("users");
            }),
            "foreignKeys.user_id",
        ),
        (
            refused(|written| {
                written["schema_definition"]["foreignKeys"][0]["onDelete"] = json!("SET DEFAULT");
            }),
            "foreignKeys.user_id",
        ),
        (
            refused(|written| {
                written["schema_definition"]["columns"][1]["nullable"] = json!(false);
            }),
            "foreignKeys.user_id",
        ),
        (
            refused(|written| written["schema_definition"]["triggers"] = json!([])),
            "schema_definition",
        ),
        (
            refused(|written| written["schema_definition"]["columns"] = json!([])),
            "columns",
        ),
        (
            refused(|written| {
                let column = written["schema_definition"]["columns"][2].clone();
                written["schema_definition"]["columns"] = vec![column; 201].into();
            }),
            "columns",
        ),
    ] {
        assert!(
            said.starts_with(named),
            "{said} does not begin with {named}"
        );
    }
}

#[test]
fn entities_know_each_other() {
    let cart = Entity::read(&cart()).unwrap();
    let line = |target: &str| {
        let line = json!({
            "entity_name": "Line", "table_name": "hamid_line",
            "schema_definition": {
                "columns": [{ "name": "cart", "type": "UUID" }],
                "foreignKeys": [{ "column": "cart", "references": target }],
            }
        });
        Entity::read(&line).unwrap()
    };
    let check = |other: Entity| check_links(&[cart.clone(), other], 1);
    check(line("hamid_cart(id)")).unwrap();
    check(line("elsewhere(id)")).unwrap();
    assert!(check(line("hamid_cart(session_id)")).is_err());
    assert!(check(line("hamid_cart(none)")).is_err());
    assert!(check(cart.clone()).is_err());
}
