//! Interfaces that the operator has described: where they are, what may be asked, and what is secret.

use std::{collections::BTreeMap, fmt, path::Path};

use reqwest::{
    Method, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;

/// One interface.
pub(super) struct Api {
    /// What every address begins with.
    base: Url,
    methods: Vec<Method>,
    /// Added to every request; secret.
    pub(super) headers: HeaderMap,
}

impl fmt::Debug for Api {
    /// Without the headers, which are secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (formatter.debug_struct("Api"))
            .field("base", &self.base.as_str())
            .finish_non_exhaustive()
    }
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(super) struct Apis(BTreeMap<String, Api>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    base_url: String,
    #[serde(default = "get")]
    methods: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn get() -> Vec<String> {
    vec!["GET".into()]
}

impl Apis {
    /// Reads the operator's file.
    ///
    /// # Errors
    /// A sentence that names the interface and the key; never a value, which may be secret.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let wrong = |what: String| format!("http_apis: {}: {what}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let written: BTreeMap<String, Written> =
            toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        let mut apis = BTreeMap::new();
        for (name, written) in written {
            let api = Api::new(written).map_err(|what| wrong(format!("{name}.{what}")))?;
            apis.insert(name, api);
        }
        Ok(Self(apis))
    }

    pub(super) fn find(&self, name: &str) -> Option<&Api> {
        self.0.get(name)
    }

    /// The hosts of all of them.
    pub(super) fn hosts(&self) -> impl Iterator<Item = String> {
        (self.0.values()).filter_map(|api| api.base.host_str().map(str::to_owned))
    }
}

impl Api {
    fn new(written: Written) -> Result<Self, String> {
        let base = Url::parse(&written.base_url).map_err(|error| format!("base_url: {error}"))?;
        if !matches!(base.scheme(), "http" | "https")
            || !base.username().is_empty()
            || base.password().is_some()
            || base.query().is_some()
            || base.fragment().is_some()
        {
            return Err("base_url: must be http:// or https://, a host, and a path".into());
        }
        let methods: Result<Vec<Method>, String> = (written.methods.iter())
            .map(|method| {
                let upper = method.to_ascii_uppercase();
                Method::from_bytes(upper.as_bytes()).map_err(|_| "methods: one is none".to_owned())
            })
            .collect();
        let mut headers = HeaderMap::new();
        for (name, value) in &written.headers {
            let key = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("headers: {name:?} is no header"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("headers.{name}: cannot be sent"))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok(Self {
            base,
            methods: methods?,
            headers,
        })
    }

    pub(super) fn allows(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    /// The address of something below the interface's.
    ///
    /// # Errors
    /// A sentence, where it would be elsewhere.
    pub(super) fn address(&self, below: &str) -> Result<Url, String> {
        let (path, query) = match below.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (below, None),
        };
        let lower = path.to_ascii_lowercase();
        if ["\\", "%2f", "%5c", "#"]
            .iter()
            .any(|odd| lower.contains(odd))
            || query.is_some_and(|query| query.contains('#'))
        {
            return Err("the path must not hold `\\`, `#`, or an encoded slash".into());
        }
        let mut address = self.base.clone();
        let base = self.base.path().trim_end_matches('/');
        // As one path, so that it can name no other host.
        address.set_path(&format!("{base}/{}", path.trim_start_matches('/')));
        address.set_query(query);
        if self.covers(&address) {
            Ok(address)
        } else {
            Err("the path leads out of the interface".into())
        }
    }

    /// Whether an address is below the interface's.
    pub(super) fn covers(&self, address: &Url) -> bool {
        let base = self.base.path().trim_end_matches('/');
        let below = (address.path().strip_prefix(base))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        below
            && address.scheme() == self.base.scheme()
            && address.host_str() == self.base.host_str()
            && address.port_or_known_default() == self.base.port_or_known_default()
            && address.username().is_empty()
            && address.password().is_none()
    }
}
