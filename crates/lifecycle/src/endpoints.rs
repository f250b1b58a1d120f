//! The routes of plugins in the database, for whoever wants to read them there: what code has
//! registered is written down with each load.

use std::{collections::HashMap, sync::Arc};

use mongodb::{
    Collection,
    bson::{Document, doc, serialize_to_bson},
    error::ErrorKind,
};
use mozaiks_plugins::{
    manifest::DeclaredEndpoint,
    routes::{Route, RouteSpec},
};
use mozaiks_store::{CollectionSpec, IndexSpec, Store, StoreError};
use parking_lot::Mutex;

use crate::error::LifeError;

/// The collection and its indexes, for [`Store::open`].
pub const COLLECTION: CollectionSpec = CollectionSpec {
    name: "plugin_endpoints",
    indexes: &[IndexSpec {
        name: "plugin_method_path",
        keys: &[("plugin", 1), ("method", 1), ("path", 1)],
        unique: true,
        expire_after: None,
        only_where_present: None,
    }],
};

/// Where a route comes from that code has registered.
const FROM_CODE: &str = "code";

/// Writes the routes of plugins.
pub struct Endpoints {
    store: Arc<Store>,
    /// What was written last of each plugin: most loads change no route.
    written: Mutex<HashMap<Arc<str>, Vec<Document>>>,
}

impl Endpoints {
    /// Over the gateway's database.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            written: Mutex::default(),
        }
    }

    /// Writes down the routes of a plugin in the place of those before.
    ///
    /// # Errors
    /// What the database says.
    pub async fn write(&self, plugin: &Arc<str>, routes: &[Arc<Route>]) -> Result<(), LifeError> {
        let documents: Vec<Document> = routes
            .iter()
            .map(|route| document(plugin, &route.spec))
            .collect();
        if self.written.lock().get(plugin) == Some(&documents) {
            return Ok(());
        }
        let collection = self.collection()?;
        collection
            .delete_many(doc! { "plugin": &**plugin, "origin": FROM_CODE })
            .await
            .map_err(|error| self.store.failed(error))?;
        if !documents.is_empty()
            && let Err(error) = collection.insert_many(&documents).ordered(false).await
            // Another gateway with the same plugin was quicker.
            && !matches!(&*error.kind, ErrorKind::InsertMany(_))
        {
            return Err(self.store.failed(error).into());
        }
        self.written.lock().insert(Arc::clone(plugin), documents);
        Ok(())
    }

    /// Takes away the routes of a plugin that is gone.
    ///
    /// # Errors
    /// What the database says.
    pub async fn clear(&self, plugin: &str) -> Result<(), LifeError> {
        self.written.lock().remove(plugin);
        self.collection()?
            .delete_many(doc! { "plugin": plugin, "origin": FROM_CODE })
            .await
            .map_err(|error| self.store.failed(error))?;
        Ok(())
    }

    fn collection(&self) -> Result<Collection<Document>, StoreError> {
        Ok(self.store.own_database()?.collection(COLLECTION.name))
    }
}

fn document(plugin: &str, spec: &RouteSpec) -> Document {
    let mut document = doc! {
        "plugin": plugin,
        "method": &spec.method,
        "path": &spec.path,
        "origin": FROM_CODE,
        "requires_auth": spec.requires_auth,
        "roles": &spec.roles,
        "rate_limit": spec.rate_limit.map(|limit| i64::from(limit.get())),
    };
    for (field, schema) in [
        ("request_schema", &spec.request_schema),
        ("response_schema", &spec.response_schema),
    ] {
        // As text: keys such as `$schema` and `a.b` are nothing to query by.
        let text = schema.as_ref().map(|schema| schema.to_string());
        document.insert(field, serialize_to_bson(&text).unwrap_or_default());
    }
    document
}

/// What a manifest declares and code does not register, and the other way round, as sentences. A
/// manifest that declares nothing says nothing.
pub fn differences(declared: &[DeclaredEndpoint], routes: &[Arc<Route>]) -> Vec<String> {
    if declared.is_empty() {
        return Vec::new();
    }
    let names = |path: &str| {
        let segments = path.trim_matches('/').split('/').map(|segment| {
            let is_parameter = segment.starts_with(':') || segment.starts_with('{');
            if is_parameter { "{}" } else { segment }
        });
        segments.collect::<Vec<_>>().join("/")
    };
    let same = |one: &DeclaredEndpoint, route: &Route| {
        one.method.eq_ignore_ascii_case(&route.spec.method)
            && names(&one.path) == names(&route.spec.path)
    };
    let missing = declared
        .iter()
        .filter(|one| !routes.iter().any(|route| same(one, route)))
        .map(|one| {
            format!(
                "endpoints: {} {} is declared and not registered",
                one.method.to_ascii_uppercase(),
                one.path
            )
        });
    let undeclared = routes
        .iter()
        .filter(|route| !declared.iter().any(|one| same(one, route)))
        .map(|route| {
            let spec = &route.spec;
            format!(
                "endpoints: {} {} is registered and not declared",
                spec.method, spec.path
            )
        });
    missing.chain(undeclared).collect()
}
