//! Loading: packages, failures, hanging imports, unloading, the log.

use super::*;
use mozaiks_plugins::{CallId, Generation, Input, Invocation, PluginSource, Target};

fn failure(gateway: &Gateway, plugin: &str) -> String {
    match gateway.plugin(plugin).state() {
        PluginState::Failed(reason) => reason.to_string(),
        other => panic!("{plugin} is {other:?}"),
    }
}

#[test]
fn broken_plugins_say_why_and_leave_others_alone() {
    on_shared(|gateway| async move {
        let reason = failure(gateway, "bad_import");
        assert!(
            reason.contains("No module named 'a_module_that_does_not_exist'"),
            "{reason}"
        );
        assert!(reason.contains("Traceback"), "{reason}");
        let reason = failure(gateway, "no_entry");
        assert_eq!(
            reason,
            "logic.py defines neither execute(data) nor run(data), and no @action"
        );
        let reason = failure(gateway, "bad_manifest");
        assert_eq!(
            reason,
            "plugin.json: version: must be a string, not a number"
        );
        let refused = gateway.call("bad_import", json!({})).await;
        assert!(matches!(refused, Err(DispatchError::Unavailable(_))));
        gateway.assert_alive().await;
    });
}

#[test]
fn plugins_are_packages_of_their_own() {
    on_shared(|gateway| async move {
        let reply = gateway.call("packaged", json!({})).await.unwrap();
        assert_eq!(reply["helper"], "packaged");
        assert_eq!(reply["depth"], "packaged.inner");
        assert!(
            reply["package"]
                .as_str()
                .unwrap()
                .starts_with("mozaiks_plugin_packaged_g")
        );
        let reply = gateway.call("other_helper", json!({})).await.unwrap();
        assert_eq!(reply, json!({"helper": "other"}));
        let reply = gateway.call("run_entry", json!({})).await.unwrap();
        assert_eq!(reply, json!({"entry": "run"}));
        let manifest = gateway.plugin("timeout_setting").manifest();
        assert_eq!(
            (&*manifest.version, &*manifest.display_name),
            ("1.2.0", "Own limits")
        );
        let manifest = gateway.plugin("echo").manifest();
        assert_eq!(
            manifest.description.as_deref(),
            Some("Gives back what it was sent.")
        );
    });
}

#[test]
fn hanging_imports_time_out_and_the_rest_runs() {
    let started = Instant::now();
    let gateway = Gateway::start("plugins_hanging", |config| {
        config.import_timeout = Duration::from_secs(1);
    });
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(
        failure(&gateway, "hanging_import"),
        "importing it took longer than 1 s"
    );
    assert_eq!(
        failure(&gateway, "blocking_import"),
        "importing it took longer than 1 s"
    );
    tokio_runtime().block_on(async {
        let reply = gateway.call("fine", json!({})).await.unwrap();
        assert_eq!(reply, json!({"fine": true}));
    });
}

#[test]
fn a_new_generation_takes_over_and_the_old_one_ends() {
    let dir = tempfile::tempdir().unwrap();
    let plugin = dir.path().join("changing");
    std::fs::create_dir(&plugin).unwrap();
    let source = PluginSource {
        generation: Generation::next(),
        name: "changing".into(),
        dir: plugin.clone(),
        entry: Some(plugin.join("logic.py")),
        has_parts: false,
        parts: Vec::new(),
        cache: None,
        site: None,
    };
    on_shared(|gateway| async move {
        let load = |text: &str| {
            std::fs::write(plugin.join("logic.py"), text).unwrap();
            let source = PluginSource {
                generation: Generation::next(),
                ..source.clone()
            };
            let loading = gateway.python.load(source.clone());
            async move {
                loading.await.unwrap().unwrap();
                source.generation
            }
        };
        let call = |generation: Generation| {
            let call = Invocation {
                id: CallId::next(),
                target: Target::Execute(generation),
                input: Input::Body(Bytes::new()),
                principal: Some(user()),
                app_id: Some("app".into()),
                request_id: "r".into(),
                timeout: Duration::from_secs(20),
                record: None,
                permit: None,
                wants: mozaiks_plugins::Wants::Dict,
                started: mozaiks_plugins::Started::default(),
            };
            gateway.python.submit(call).unwrap()
        };
        let first = load("async def execute(data):\n    return {'version': 1}\n");
        let first = first.await;
        let second = load("async def execute(data):\n    return {'version': 2}\n");
        let second = second.await;
        assert_eq!(
            &call(first).await.unwrap().unwrap().body[..],
            b"{\"version\":1}"
        );
        assert_eq!(
            &call(second).await.unwrap().unwrap().body[..],
            b"{\"version\":2}"
        );
        gateway.python.unload(first);
        eventually("the host has heard", || {
            gateway.host.forgotten.lock().contains(&first)
        })
        .await;
        assert!(matches!(
            call(first).await.unwrap(),
            Err(CallError::NotLoaded)
        ));
        assert_eq!(
            &call(second).await.unwrap().unwrap().body[..],
            b"{\"version\":2}"
        );
    });
}

#[test]
fn a_replaced_package_is_forgotten_while_the_modules_change() {
    // What another thread's import does at a bad moment.
    let text = "import sys\n\
        class Changing(str):\n\
        \x20   __hash__ = str.__hash__\n\
        \x20   def __eq__(self, other):\n\
        \x20       sys.modules.setdefault(f'changed_{len(sys.modules)}', sys)\n\
        \x20       return str.__eq__(self, other)\n\
        def left():\n\
        \x20   names = {n.split('.')[0] for n in list(sys.modules)}\n\
        \x20   return sorted(n for n in names if n.startswith('mozaiks_plugin_disturbing_g'))\n\
        async def execute(data):\n\
        \x20   if data['disturb']:\n\
        \x20       sys.modules[Changing('changed_name')] = sys\n\
        \x20   elif len(left()) == 1:\n\
        \x20       for key in [k for k in list(sys.modules) if k.startswith('changed_')]:\n\
        \x20           del sys.modules[key]\n\
        \x20   return {'left': left()}\n";
    let (_dir, gateway) = Gateway::of(&[("disturbing", text)], |_| {});
    tokio_runtime().block_on(async {
        gateway
            .call("disturbing", json!({"disturb": true}))
            .await
            .unwrap();
        gateway.registry.reload("disturbing").await.unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let left = gateway
                .call("disturbing", json!({"disturb": false}))
                .await
                .unwrap();
            if left["left"].as_array().unwrap().len() == 1 {
                break;
            }
            assert!(Instant::now() < end, "{left} are left");
        }
    });
}

#[test]
fn reloads_under_load_fail_no_call() {
    const RELOADS: u64 = 20;
    let dir = tempfile::tempdir().unwrap();
    let plugin = dir.path().join("counting");
    std::fs::create_dir(&plugin).unwrap();
    let write = |text: &str| std::fs::write(plugin.join("logic.py"), text).unwrap();
    let version = |number: u64| {
        write(&format!(
            "import asyncio, sys\n\
             async def execute(data):\n\
             \x20   await asyncio.sleep(0.001)\n\
             \x20   names = {{n.split('.')[0] for n in list(sys.modules)}}\n\
             \x20   names = [n for n in names if n.startswith('mozaiks_plugin_counting_g')]\n\
             \x20   return {{'version': {number}, 'packages': sorted(names)}}\n"
        ));
    };
    version(0);
    let gateway = Gateway::start("plugins", |config| config.dir = dir.path().to_owned());
    tokio_runtime().block_on(async {
        let over = std::sync::atomic::AtomicBool::new(false);
        let client = || async {
            let mut newest = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let reply = gateway.call("counting", json!({})).await.unwrap();
                let version = reply["version"].as_u64().unwrap();
                assert!(version >= newest, "{version} after {newest}");
                newest = version;
            }
        };
        let reloads = async {
            for number in 1..=RELOADS {
                version(number);
                gateway.registry.reload("counting").await.unwrap();
                let reply = gateway.call("counting", json!({})).await.unwrap();
                assert_eq!(reply["version"], number);
            }
            write("raise ValueError('broken')\n");
            let failed = gateway.registry.reload("counting").await.unwrap_err();
            assert!(failed.to_string().contains("broken"), "{failed}");
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        let clients = futures_util::future::join_all((0..16).map(|_| client()));
        tokio::join!(clients, reloads);
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let reply = gateway.call("counting", json!({})).await.unwrap();
            assert_eq!(reply["version"], RELOADS);
            let left = reply["packages"].as_array().unwrap().len();
            if left == 1 {
                break;
            }
            assert!(Instant::now() < end, "{left} packages are left");
        }
        // Each that was replaced, and the one that could not be imported.
        let forgotten: std::collections::BTreeSet<_> =
            gateway.host.forgotten.lock().iter().copied().collect();
        assert_eq!(forgotten.len() as u64, RELOADS + 1);
        assert_eq!(gateway.plugin("counting").in_flight(), 0);
    });
}
