//! What plugin code may ask of the gateway, joined from the parts that can answer: a file a prefix.

mod access;
mod apps;
mod database;
mod entities;
mod events;
mod files;
mod guard;
mod hooks;
mod http;
mod jobs;
mod json;
mod ledger;
mod life_error;
mod meter;
mod notifications;
mod pages;
mod part_names;
mod plugin;
mod realtime;
mod routes;
mod settings;
mod storage;
mod stream;
mod widgets;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use apps::Apps;
pub use database::DatabasePart;
pub use entities::EntitiesPart;
pub use events::EventsPart;
pub use files::FilesPart;
pub use guard::Guard;
pub use hooks::HooksPart;
pub use http::HttpPart;
pub use jobs::JobsPart;
pub use json::{read_json, write_json};
pub use meter::StorageMeter;
pub use notifications::{DeclaredTypes, NotificationOutlet, NotificationsPart, SeenUsers};
pub use pages::Pages;
pub use part_names::PartNames;
pub use plugin::{ConfigChanges, PluginPart};
pub use realtime::{MessageHandlers, PluginMessages, RealtimePart};
pub use routes::RoutesPart;
pub use settings::{ManifestSchemas, SettingsPart};
pub use storage::StoragePart;
pub use stream::StreamPart;
pub use widgets::WidgetsPart;

pub use crate::refusals::host_error;

use ledger::{Entry, Ledger};
use life_error::life_error;
use mozaiks_lifecycle::manager::Registrations;
use mozaiks_plugins::{
    Caller, Generation, HostError, HostServices, PluginFunction,
    findings::FindingKind,
    host::{HandlerId, Registration, RegistrationId},
    registry::{GenerationObserver, Registry},
};

/// What a request of a plugin comes to.
pub type HostFuture = BoxFuture<'static, Result<Bytes, HostError>>;

/// A part of the gateway that answers plugin code. Each answers the operations that start with its
/// prefix, and the registrations that are its own.
pub trait HostPart: Send + Sync + 'static {
    /// `settings.`, `db.`…
    fn prefix(&self) -> &'static str;

    /// As [`HostServices::request`].
    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        let _ = (caller, payload);
        let error = unknown(operation);
        Box::pin(async move { Err(error) })
    }

    /// As [`HostServices::query`].
    ///
    /// # Errors
    /// As [`HostServices::query`].
    fn query(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<Bytes, HostError> {
        let _ = (caller, payload);
        Err(unknown(operation))
    }

    /// Takes a registration of a function under this id; `None` where it is not one of this part's.
    ///
    /// # Errors
    /// As [`HostServices::register`].
    fn register(
        &self,
        id: RegistrationId,
        registration: &Registration,
        function: &PluginFunction,
    ) -> Option<Result<(), HostError>> {
        let _ = (id, registration, function);
        None
    }

    /// Ends a registration, where it is one of this part's.
    fn unregister(&self, id: RegistrationId) {
        let _ = id;
    }

    /// As [`GenerationObserver::generation_activated`].
    fn hand_over(&self, from: Option<Generation>, to: Generation) {
        let _ = (from, to);
    }

    /// As [`HostServices::forget_generation`].
    fn forget_generation(&self, generation: Generation) {
        let _ = generation;
    }
}

/// Answers plugin code. An operation that no part offers is `NOT_FOUND`.
pub struct Host {
    parts: Vec<Box<dyn HostPart>>,
    events: EventsPart,
    registry: RegistrySlot,
    next_registration: AtomicU64,
    ledger: Ledger,
    guard: Arc<Guard>,
    names: Arc<PartNames>,
}

/// The registry, which comes after the runtime, which comes after the host.
pub type RegistrySlot = Arc<OnceLock<Arc<Registry>>>;

impl Host {
    /// A host of these parts; events are needed by the trait itself. Nothing can be registered until
    /// the slot is filled.
    pub fn new(
        events: EventsPart,
        parts: Vec<Box<dyn HostPart>>,
        registry: RegistrySlot,
        guard: Arc<Guard>,
        names: Arc<PartNames>,
    ) -> Self {
        Self {
            parts,
            events,
            registry,
            next_registration: AtomicU64::new(1),
            ledger: Ledger::default(),
            guard,
            names,
        }
    }

    fn part(&self, operation: &str) -> Result<&dyn HostPart, HostError> {
        self.all_parts()
            .find(|part| operation.starts_with(part.prefix()))
            .ok_or_else(|| unknown(operation))
    }

    fn all_parts(&self) -> impl Iterator<Item = &dyn HostPart> {
        std::iter::once::<&dyn HostPart>(&self.events).chain(self.parts.iter().map(|part| &**part))
    }
}

impl HostServices for Host {
    fn request(&self, caller: Caller, operation: &str, payload: Bytes) -> HostFuture {
        let part = self
            .guard
            .check(&caller, operation, &payload)
            .and_then(|()| self.part(operation));
        match part {
            Ok(part) => part.request(caller, operation, payload),
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }

    fn query(&self, caller: &Caller, operation: &str, payload: &[u8]) -> Result<Bytes, HostError> {
        self.guard.check(caller, operation, payload)?;
        self.part(operation)?.query(caller, operation, payload)
    }

    fn publish(&self, caller: &Caller, event: &str, data: Bytes) -> Result<(), HostError> {
        self.guard.check_publish(caller, event)?;
        self.events.publish(caller, event, data)
    }

    fn register(
        &self,
        caller: &Caller,
        registration: Registration,
        handler: HandlerId,
    ) -> Result<RegistrationId, HostError> {
        self.guard.check_registration(caller, &registration)?;
        let registry = self.registry.get();
        let function = PluginFunction {
            generation: registry
                .and_then(|registry| registry.generation_of(caller))
                .ok_or_else(load_has_ended)?,
            handler,
        };
        let id = RegistrationId(self.next_registration.fetch_add(1, Ordering::Relaxed));
        let generation = function.generation.id();
        let entry = Entry {
            id,
            registration,
            function,
        };
        self.names.note(handler, generation, &entry.registration);
        if self.ledger.note(entry.clone())?
            && let Err(error) = self.offer(&entry)
        {
            drop(self.ledger.strike(id, generation));
            return Err(error);
        }
        Ok(id)
    }

    fn unregister(&self, id: RegistrationId) {
        drop(self.ledger.strike_anywhere(id));
        self.withdraw(id);
    }

    fn found(&self, plugin: &Arc<str>, generation: Generation, kind: FindingKind, sentence: &str) {
        if let Some(registry) = self.registry.get() {
            registry.findings().note(plugin, generation, kind, sentence);
        }
    }

    fn forget_generation(&self, generation: Generation) {
        for part in self.all_parts() {
            part.forget_generation(generation);
        }
        self.names.forget_generation(generation);
        // The last holder of a load ends it, which comes back here to find nothing.
        drop(self.ledger.forget(generation));
    }
}

impl Host {
    fn offer(&self, entry: &Entry) -> Result<(), HostError> {
        let Entry {
            id,
            registration,
            function,
        } = entry;
        self.all_parts()
            .find_map(|part| part.register(*id, registration, function))
            .unwrap_or_else(|| {
                Err(host_error(
                    "NOT_FOUND",
                    format!("the gateway offers no registration `{}`", registration.kind),
                ))
            })
    }

    fn withdraw(&self, id: RegistrationId) {
        for part in self.all_parts() {
            part.unregister(id);
        }
    }
}

impl Registrations for Host {
    fn begin_enabling(&self, generation: Generation) {
        self.ledger.begin_enabling(generation);
    }

    fn resume(&self, generation: Generation) -> Result<(), HostError> {
        let entries = self.ledger.resume(generation);
        for (at, entry) in entries.iter().enumerate() {
            if let Err(error) = self.offer(entry) {
                for done in &entries[..at] {
                    self.withdraw(done.id);
                }
                drop(self.ledger.suspend(generation));
                return Err(error);
            }
        }
        Ok(())
    }

    fn suspend(&self, generation: Generation) {
        for entry in self.ledger.suspend(generation) {
            self.withdraw(entry.id);
        }
    }

    fn forget(&self, generation: Generation) {
        self.forget_generation(generation);
    }
}

impl GenerationObserver for Host {
    fn generation_activated(&self, generation: Generation, replaced: Option<Generation>) {
        for part in self.all_parts() {
            part.hand_over(replaced, generation);
        }
    }
}

/// The error for a registration by code whose generation has been replaced.
pub fn load_has_ended() -> HostError {
    host_error("NOT_FOUND", "this load of the plugin has ended")
}

/// The error for an operation that nobody offers.
pub fn unknown(operation: &str) -> HostError {
    host_error(
        "NOT_FOUND",
        format!("the gateway offers no operation `{operation}`"),
    )
}
