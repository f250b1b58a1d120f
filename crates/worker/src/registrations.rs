//! What plugins in a pool have registered. Every worker of a pool imports the same code, which registers
//! the same functions: to the gateway these are one, whichever worker will run it.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use mozaiks_plugins::{
    Caller, Generation, HostError, HostServices,
    host::{HandlerId, Registration, RegistrationId},
};
use parking_lot::Mutex;

/// Functions of one load that are registered for the very same thing: each is looked at for the next.
const MAX_ALIKE: usize = 1024;

/// A function by what it was registered as: the first of its kind, the second, …
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    generation: Generation,
    kind: Box<str>,
    spec: Bytes,
    occurrence: usize,
}

impl Key {
    fn first(generation: Generation, registration: &Registration) -> Self {
        Self {
            generation,
            kind: registration.kind.clone(),
            spec: registration.spec.clone(),
            occurrence: 0,
        }
    }
}

struct Function {
    key: Key,
    handler: HandlerId,
    /// Its number in each worker that has it.
    locals: Vec<(u64, u64)>,
}

#[derive(Default)]
struct Table {
    functions: HashMap<u64, Function>,
    by_key: HashMap<Key, u64>,
    by_handler: HashMap<HandlerId, u64>,
}

/// The functions of a pool.
pub(crate) struct Registrations {
    host: Arc<dyn HostServices>,
    /// Held for the length of a registration, so that two workers do not both make the first.
    registering: Mutex<()>,
    /// Held for moments.
    table: Mutex<Table>,
}

impl Registrations {
    pub(crate) fn new(host: Arc<dyn HostServices>) -> Self {
        Self {
            host,
            registering: Mutex::default(),
            table: Mutex::default(),
        }
    }

    /// A function that no worker has yet, as an earlier load has registered it.
    ///
    /// # Errors
    /// What the host says.
    pub(crate) fn expect(
        &self,
        caller: &Caller,
        registration: Registration,
    ) -> Result<RegistrationId, HostError> {
        let _one_at_a_time = self.registering.lock();
        let mut key = Key::first(caller.generation, &registration);
        while self.table.lock().by_key.contains_key(&key) {
            key.occurrence += 1;
        }
        self.make(caller, registration, key, Vec::new())
    }

    /// What a load has registered, in that order.
    pub(crate) fn of(&self, generation: Generation) -> Vec<(Box<str>, Bytes)> {
        let table = self.table.lock();
        let of_it = table.functions.iter();
        let mut of_it: Vec<_> = of_it
            .filter(|(_, function)| function.key.generation == generation)
            .collect();
        of_it.sort_unstable_by_key(|(id, _)| **id);
        let keys = of_it.into_iter().map(|(_, function)| &function.key);
        keys.map(|key| (key.kind.clone(), key.spec.clone()))
            .collect()
    }

    /// A worker registers its function `local`.
    ///
    /// # Errors
    /// What the host says.
    pub(crate) fn register(
        &self,
        worker: u64,
        caller: &Caller,
        registration: Registration,
        local: u64,
    ) -> Result<RegistrationId, HostError> {
        let _one_at_a_time = self.registering.lock();
        let mut key = Key::first(caller.generation, &registration);
        {
            let mut table = self.table.lock();
            while let Some(id) = table.by_key.get(&key).copied() {
                if let Some(function) = table.functions.get_mut(&id)
                    && !function.locals.iter().any(|(has, _)| *has == worker)
                {
                    function.locals.push((worker, local));
                    return Ok(RegistrationId(id));
                }
                key.occurrence += 1;
                if key.occurrence >= MAX_ALIKE {
                    return Err(HostError {
                        code: "LIMIT_EXCEEDED",
                        message: format!(
                            "a plugin registers at most {MAX_ALIKE} functions for the same thing"
                        ),
                        details: None,
                    });
                }
            }
        }
        self.make(caller, registration, key, vec![(worker, local)])
    }

    fn make(
        &self,
        caller: &Caller,
        registration: Registration,
        key: Key,
        locals: Vec<(u64, u64)>,
    ) -> Result<RegistrationId, HostError> {
        let handler = HandlerId::next();
        let id = self.host.register(caller, registration, handler)?;
        let mut table = self.table.lock();
        table.by_key.insert(key.clone(), id.0);
        table.by_handler.insert(handler, id.0);
        let function = Function {
            key,
            handler,
            locals,
        };
        table.functions.insert(id.0, function);
        Ok(id)
    }

    /// A worker has taken one of its registrations back.
    pub(crate) fn unregister(&self, worker: u64, id: u64) {
        let ended = {
            let mut table = self.table.lock();
            let Some(function) = table.functions.get_mut(&id) else {
                return;
            };
            let before = function.locals.len();
            function.locals.retain(|(has, _)| *has != worker);
            let was_its = function.locals.len() < before;
            was_its && function.locals.is_empty() && table.remove(id)
        };
        if ended {
            self.host.unregister(RegistrationId(id));
        }
    }

    /// A worker is gone. What it had stays registered: the next one brings it again.
    pub(crate) fn lose_worker(&self, worker: u64) {
        for function in self.table.lock().functions.values_mut() {
            function.locals.retain(|(has, _)| *has != worker);
        }
    }

    /// Ends what no worker has brought again.
    pub(crate) fn prune(&self) {
        let ended: Vec<u64> = {
            let mut table = self.table.lock();
            let empty = table.functions.iter();
            let empty = empty.filter(|(_, function)| function.locals.is_empty());
            let ids: Vec<u64> = empty.map(|(id, _)| *id).collect();
            ids.into_iter().filter(|id| table.remove(*id)).collect()
        };
        for id in ended {
            self.host.unregister(RegistrationId(id));
        }
    }

    /// A load has ended; the host has been told.
    pub(crate) fn forget_generation(&self, generation: Generation) {
        let mut table = self.table.lock();
        let of_it = table.functions.iter();
        let of_it = of_it.filter(|(_, function)| function.key.generation == generation);
        let ids: Vec<u64> = of_it.map(|(id, _)| *id).collect();
        for id in ids {
            table.remove(id);
        }
    }

    /// The number that a function has in a worker.
    pub(crate) fn local(&self, worker: u64, handler: HandlerId) -> Option<u64> {
        let table = self.table.lock();
        let function = table.functions.get(table.by_handler.get(&handler)?)?;
        let mut locals = function.locals.iter();
        locals
            .find(|(has, _)| *has == worker)
            .map(|(_, local)| *local)
    }

    /// The load that a function is of.
    pub(crate) fn generation(&self, handler: HandlerId) -> Option<Generation> {
        let table = self.table.lock();
        let function = table.functions.get(table.by_handler.get(&handler)?)?;
        Some(function.key.generation)
    }
}

impl Table {
    fn remove(&mut self, id: u64) -> bool {
        let Some(function) = self.functions.remove(&id) else {
            return false;
        };
        self.by_key.remove(&function.key);
        self.by_handler.remove(&function.handler);
        true
    }
}
