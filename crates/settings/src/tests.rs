use super::*;

#[test]
fn names_of_plugins_are_checked() {
    for good in ["notes", "my_plugin", "my-plugin2"] {
        assert!(check_name(good).is_ok(), "{good}");
    }
    for bad in ["", "Notes", "a.b", "$set", "2fast", "a b", &"x".repeat(65)] {
        assert!(check_name(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_does_not_fit_is_named_by_its_path() {
    let schema = json!({
        "type": "object",
        "properties": {
            "theme": { "enum": ["auto", "dark"] },
            "list": { "type": "array", "items": { "type": "integer" } },
        },
        "additionalProperties": false,
    });
    assert!(check("p", &schema, &json!({ "theme": "dark", "list": [1] })).is_ok());
    let Err(SettingsError::Invalid(problems)) = check(
        "p",
        &schema,
        &json!({ "theme": "pink", "list": [1, "two"], "more": 1 }),
    ) else {
        panic!("it was accepted");
    };
    let mut paths: Vec<_> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["", "/list/1", "/theme"]);
}

#[test]
fn a_schema_that_is_none_checks_nothing() {
    for schema in [json!([{ "name": "theme" }]), json!({ "type": 7 })] {
        assert!(
            check("p", &schema, &json!({ "theme": 1 })).is_ok(),
            "{schema}"
        );
    }
}

mod on_a_database {
    use std::time::Duration;

    use docstore::server::{Config as DocstoreConfig, Listen, Server as Docstore};
    use tempfile::TempDir;

    use super::*;
    use mozaiks_config::EventsConfig;
    use mozaiks_store::{Health, StoreConfig};

    struct OneSchema;

    impl SettingsSchemas for OneSchema {
        fn settings_schema(&self, plugin: &str) -> Option<Value> {
            (plugin == "strict")
                .then(|| json!({ "type": "object", "properties": { "n": { "type": "integer" } } }))
        }
    }

    async fn manager() -> (Arc<SettingsManager>, Arc<EventBus>, Docstore, TempDir) {
        let dir = tempfile::tempdir().expect("a folder");
        let listen = Listen::Unix(dir.path().join("s.sock"));
        let server = Docstore::start(DocstoreConfig::new(dir.path().join("data"), listen))
            .await
            .expect("a docstore");
        let store = Store::open(StoreConfig::new(server.uri()), vec![COLLECTION])
            .await
            .expect("a store");
        let mut health = store.watch_health();
        tokio::time::timeout(Duration::from_secs(20), health.wait_for(Health::is_up))
            .await
            .expect("it answers in time")
            .expect("the store lives");
        let events = EventBus::new(EventsConfig::default());
        let manager = SettingsManager::new(store, Arc::new(OneSchema), Arc::clone(&events));
        (manager, events, server, dir)
    }

    fn object(value: Value) -> PluginSettings {
        match value {
            Value::Object(object) => object,
            other => panic!("no object: {other}"),
        }
    }

    const ANN: Whose<'_> = Whose {
        app_id: "shop",
        user_id: "ann",
    };

    #[tokio::test]
    async fn settings_come_back_as_they_were_saved() {
        let (manager, events, _server, _dir) = manager().await;
        assert!(manager.get(ANN, "notes").await.expect("read").is_empty());
        let settings = object(json!({
            "theme": "dark", "$odd.key": 1, "big": u64::MAX, "none": null, "list": [1.5, {}],
        }));
        manager
            .save(ANN, "notes", &settings, None, None)
            .await
            .expect("saved");
        manager
            .save(ANN, "to-do", &object(json!({ "a": 1 })), None, None)
            .await
            .expect("saved");
        assert_eq!(manager.get(ANN, "notes").await.expect("read"), settings);
        let all = manager.get_all(ANN).await.expect("read");
        assert_eq!(all.keys().collect::<Vec<_>>(), ["notes", "to-do"]);

        let told = events.history(Some("shop"), Some("settings_updated"), 10);
        assert_eq!(told.len(), 2);
        let data: Value = serde_json::from_slice(&told[1].data.to_json()).expect("JSON");
        assert_eq!(
            data,
            json!({ "user_id": "ann", "plugin": "to-do", "settings": { "a": 1 } })
        );
    }

    #[tokio::test]
    async fn apps_and_users_are_apart() {
        let (manager, _events, _server, _dir) = manager().await;
        manager
            .save(ANN, "notes", &object(json!({ "a": 1 })), None, None)
            .await
            .expect("saved");
        for (app_id, user_id) in [("shop", "bob"), ("other", "ann")] {
            let whose = Whose { app_id, user_id };
            assert!(manager.get(whose, "notes").await.expect("read").is_empty());
        }
    }

    #[tokio::test]
    async fn plugins_saving_at_once_keep_each_others_settings() {
        let (manager, _events, _server, _dir) = manager().await;
        let saves = (0..20).map(|n| {
            let manager = &manager;
            async move {
                let settings = object(json!({ "n": n }));
                manager
                    .save(ANN, &format!("plugin{n}"), &settings, None, None)
                    .await
            }
        });
        for saved in futures_util::future::join_all(saves).await {
            saved.expect("saved");
        }
        assert_eq!(manager.get_all(ANN).await.expect("read").len(), 20);
    }

    #[tokio::test]
    async fn damaged_settings_of_one_plugin_hide_no_others() {
        let (manager, _events, server, _dir) = manager().await;
        let client = mongodb::Client::with_uri_str(server.uri())
            .await
            .expect("a client");
        let damaged = mongodb::bson::doc! {
            "app_id": "shop", "user_id": "ann", "plugins": { "a": "{\"n\":1}", "b": "{" },
        };
        client
            .database("mozaiks_control")
            .collection("settings")
            .insert_one(damaged)
            .await
            .expect("inserted");
        let all = manager.get_all(ANN).await.expect("settings");
        assert_eq!(Value::Object(all), json!({ "a": { "n": 1 } }));
    }

    #[tokio::test]
    async fn what_is_refused_changes_nothing() {
        let (manager, events, _server, _dir) = manager().await;
        let bad = manager
            .save(ANN, "strict", &object(json!({ "n": "x" })), None, None)
            .await;
        assert!(matches!(bad, Err(SettingsError::Invalid(_))), "{bad:?}");
        let large = object(json!({ "text": "x".repeat(65 * 1024) }));
        let bad = manager.save(ANN, "notes", &large, None, None).await;
        assert!(
            matches!(bad, Err(SettingsError::TooLarge { .. })),
            "{bad:?}"
        );
        let bad = manager
            .save(ANN, "a.b", &PluginSettings::new(), None, None)
            .await;
        assert!(
            matches!(bad, Err(SettingsError::BadPluginName(_))),
            "{bad:?}"
        );
        assert!(manager.get_all(ANN).await.expect("read").is_empty());
        assert!(events.history(None, None, 10).is_empty());
    }
}
