use tokio::sync::oneshot;

use super::*;
use crate::{
    CallId, CallResult, Invocation, LoadError, LoadedPlugin, PluginSource, SubmitError,
    generation::Permit, runtime::RuntimeStatus,
};

/// Loads whatever the test says, and keeps the permits of the calls that it was given.
#[derive(Default)]
struct Scripted {
    failing: Mutex<bool>,
    loaded: Mutex<Vec<Generation>>,
    unloaded: Mutex<Vec<Generation>>,
    permits: Mutex<Vec<Option<Permit>>>,
}

impl PluginRuntime for Scripted {
    fn load(&self, source: PluginSource) -> oneshot::Receiver<Result<LoadedPlugin, LoadError>> {
        let (answer, receiver) = oneshot::channel();
        self.loaded.lock().push(source.generation);
        let loaded = if *self.failing.lock() {
            Err(LoadError::NoEntryPoint("it has no execute".into()))
        } else {
            Ok(LoadedPlugin {
                cached_modules: 0,
                compiled_modules: 0,
                has_execute: true,
                hooks: Vec::new(),
                actions: Vec::new(),
                doc: None,
            })
        };
        assert!(answer.send(loaded).is_ok());
        receiver
    }

    fn unload(&self, generation: Generation) {
        self.unloaded.lock().push(generation);
    }

    fn submit(&self, call: Invocation) -> Result<oneshot::Receiver<CallResult>, SubmitError> {
        self.permits.lock().push(call.permit);
        Ok(oneshot::channel().1)
    }

    fn cancel(&self, _: CallId) {}

    fn max_body_depth(&self) -> usize {
        64
    }

    fn status(&self) -> RuntimeStatus {
        RuntimeStatus::default()
    }
}

#[derive(Default)]
struct Activations(Mutex<Vec<(Generation, Option<Generation>)>>);

impl GenerationObserver for Activations {
    fn generation_activated(&self, generation: Generation, replaced: Option<Generation>) {
        self.0.lock().push((generation, replaced));
    }
}

struct Setup {
    dir: tempfile::TempDir,
    runtime: Arc<Scripted>,
    registry: Arc<Registry>,
    activations: Arc<Activations>,
}

impl Setup {
    /// A registry with the plugin `notes`.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("notes")).unwrap();
        std::fs::write(dir.path().join("notes/logic.py"), "").unwrap();
        let config = PluginsConfig {
            dir: dir.path().to_owned(),
            ..PluginsConfig::default()
        };
        let runtime = Arc::new(Scripted::default());
        let registry = Registry::new(&config, runtime.clone());
        let activations = Arc::new(Activations::default());
        registry.observe_generations(activations.clone());
        registry.load_all().await;
        Self {
            dir,
            runtime,
            registry,
            activations,
        }
    }

    fn plugin(&self) -> Arc<Plugin> {
        self.registry.find("notes").unwrap()
    }

    fn active(&self) -> Arc<LiveGeneration> {
        match self.plugin().state() {
            PluginState::Active(generation) => generation,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_new_generation_takes_over_and_the_old_one_goes_with_its_last_call() {
    let setup = Setup::new().await;
    let old = setup.active().id();
    let running = setup.active().acquire().unwrap();
    let new = setup.registry.reload("notes").await.unwrap();
    assert_eq!(setup.active().id(), new);
    assert_eq!(*setup.activations.0.lock(), [(old, None), (new, Some(old))]);
    assert!(
        setup.runtime.unloaded.lock().is_empty(),
        "a call runs on it"
    );
    let held = setup.plugin().generation(old).unwrap();
    assert_eq!(held.phase(), GenerationPhase::Retired);
    drop((held, running));
    assert_eq!(*setup.runtime.unloaded.lock(), [old]);
    assert_eq!(setup.plugin().in_flight(), 0);
}

#[tokio::test]
async fn the_old_generation_serves_on_where_the_new_one_cannot_be_loaded() {
    let setup = Setup::new().await;
    let old = setup.active().id();
    *setup.runtime.failing.lock() = true;
    let failed = setup.registry.reload("notes").await.unwrap_err();
    assert_eq!(failed.to_string(), "it has no execute");
    std::fs::write(setup.dir.path().join("notes/plugin.json"), "[]").unwrap();
    setup.registry.reload("notes").await.unwrap_err();
    std::fs::remove_file(setup.dir.path().join("notes/plugin.json")).unwrap();
    std::fs::remove_file(setup.dir.path().join("notes/logic.py")).unwrap();
    let failed = setup.registry.reload("notes").await.unwrap_err();
    assert!(failed.to_string().contains("logic.py"), "{failed}");
    assert_eq!(setup.active().id(), old);
    assert_eq!(setup.active().phase(), GenerationPhase::Active);
    assert!(!setup.runtime.unloaded.lock().contains(&old));
    let tried = setup.runtime.loaded.lock()[1];
    assert_eq!(*setup.runtime.unloaded.lock(), [tried]);
    assert_eq!(setup.activations.0.lock().len(), 1);
    let unknown = setup.registry.reload("nobody").await;
    assert!(matches!(unknown, Err(ReloadError::NotFound)));
}

#[tokio::test]
async fn a_plugin_that_failed_at_start_is_there_after_a_reload() {
    let setup = Setup::new().await;
    std::fs::write(setup.dir.path().join("notes/plugin.json"), "[]").unwrap();
    let registry = Registry::new(&setup.registry.config, setup.runtime.clone());
    registry.load_all().await;
    let plugin = registry.find("notes").unwrap();
    assert!(matches!(plugin.state(), PluginState::Failed(_)));
    std::fs::write(setup.dir.path().join("notes/plugin.json"), "{}").unwrap();
    let id = registry.reload("notes").await.unwrap();
    assert!(matches!(plugin.state(), PluginState::Active(active) if active.id() == id));
}

#[tokio::test]
async fn a_plugin_moves_to_another_runtime_and_stays_there() {
    let setup = Setup::new().await;
    let (first, other) = (setup.active().id(), Arc::new(Scripted::default()));
    let plugin = setup.plugin();
    let moved = setup
        .registry
        .reload_in(&plugin, other.clone())
        .await
        .unwrap();
    let again = setup.registry.reload("notes").await.unwrap();
    assert_eq!(*setup.runtime.loaded.lock(), [first]);
    assert_eq!(*setup.runtime.unloaded.lock(), [first]);
    assert_eq!(*other.loaded.lock(), [moved, again]);
    assert_eq!(*other.unloaded.lock(), [moved]);
    let dispatcher = crate::dispatch::Dispatcher::new(Vec::new());
    let call = crate::dispatch::Call {
        kind: crate::CallKind::Event,
        target: crate::Target::Execute(again),
        input: crate::Input::Body("{}".into()),
        principal: None,
        app_id: None,
        request_id: "r".into(),
        timeout: None,
    };
    let pending = dispatcher.invoke(setup.active(), call).unwrap();
    assert_eq!(other.permits.lock().len(), 1, "it was sent where it is");
    assert!(setup.runtime.permits.lock().is_empty());
    drop(pending);
}

#[tokio::test]
async fn what_a_generation_registers_is_found_by_its_id_while_it_is_held() {
    let setup = Setup::new().await;
    let caller = |generation| Caller {
        plugin: "notes".into(),
        generation,
        principal: None,
        app_id: None,
        request_id: None,
        call: None,
    };
    let old = setup.active().id();
    assert!(setup.registry.generation_of(&caller(old)).is_some());
    let new = setup.registry.reload("notes").await.unwrap();
    assert!(setup.registry.generation_of(&caller(old)).is_none());
    assert!(setup.registry.generation_of(&caller(new)).is_some());
}
