//! A whole plugin as one JSON document, to be carried elsewhere: format 1.1.0, and 1.0.0 of older studios.

use std::collections::BTreeMap;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    assembly::Pieces,
    error::CatalogError,
    kinds::Kind,
    manifest_file::{self, snake_case},
    parts::{content, file_name, take_enabled},
    source::{shown, unshown},
    tree::{MANIFEST, MAX_FILES, Tree},
};

/// The format that is written.
pub const VERSION: &str = "1.1.0";
/// The older format that is read.
const OLD_VERSION: &str = "1.0.0";
/// Bytes of a package that are read: its files, as JSON may write them.
pub const MAX_PACKAGE_BYTES: usize = 24 * 1024 * 1024;

/// A plugin to be carried elsewhere.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    /// `1.1.0`.
    pub package_version: String,
    /// What it says of itself: `name`, `slug`, `version`, `description`, `category`, …
    pub plugin: Map<String, Value>,
    /// Files that are no row of a kind below, and `plugin.json` as it is: `{name, content, encoding}`.
    pub files: Vec<PackageFile>,
    /// Routes.
    pub controllers: Vec<Map<String, Value>>,
    /// Filters and actions.
    pub hooks: Vec<Map<String, Value>>,
    /// Listeners.
    pub events: Vec<Map<String, Value>>,
    /// What stands before and behind routes.
    pub middleware: Vec<Map<String, Value>>,
    /// What is done at certain times.
    pub jobs: Vec<Map<String, Value>>,
    /// What pages show.
    pub widgets: Vec<Map<String, Value>>,
    /// Collections.
    pub entities: Vec<Map<String, Value>>,
    /// Changes of collections.
    pub migrations: Vec<Map<String, Value>>,
    /// What is read by people.
    pub docs: Vec<Map<String, Value>>,
    /// Packages of Python that it wants.
    pub dependencies: Vec<String>,
    /// The digest of all files.
    pub checksum: String,
}

/// A file of a package.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PackageFile {
    /// Its path.
    pub name: String,
    /// As text; in base64 where `encoding` says so.
    pub content: String,
    /// `base64` of what is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

impl Package {
    pub(crate) fn of(
        pieces: &Pieces,
        name: &str,
        category: Option<&str>,
    ) -> Result<Self, CatalogError> {
        let tree = pieces.tree()?;
        let manifest = pieces.manifest()?;
        let says = manifest_file::parse(&manifest)?;
        let mut plugin = Map::new();
        let display = says.get("display_name").cloned();
        plugin.insert("name".into(), display.unwrap_or_else(|| name.into()));
        plugin.insert("slug".into(), name.into());
        for key in [
            "version",
            "description",
            "author",
            "license",
            "icon",
            "tags",
        ] {
            if let Some(value) = says.get(key) {
                plugin.insert(key.into(), value.clone());
            }
        }
        if let Some(category) = category {
            plugin.insert("category".into(), category.into());
        }
        let mut package = Self {
            package_version: VERSION.into(),
            plugin,
            checksum: tree.digest(),
            dependencies: crate::activation::requirements(&Value::Object(says)),
            ..Self::default()
        };
        package.files.push(PackageFile {
            name: MANIFEST.into(),
            content: manifest,
            encoding: None,
        });
        for file in &pieces.files {
            let (content, encoding) = shown(&file.content);
            // What is said of a script stands in `plugin.json`.
            let Some(list) = package.list(file.kind) else {
                package.files.push(PackageFile {
                    name: file.path.clone(),
                    content,
                    encoding: encoding.map(str::to_owned),
                });
                continue;
            };
            let mut row = file.meta.clone();
            row.insert("file_name".into(), file.file_name().into());
            row.insert("is_enabled".into(), file.enabled.into());
            if let Some(encoding) = encoding {
                row.insert("encoding".into(), encoding.into());
            }
            row.insert(file.kind.code().into(), content.into());
            list.push(row);
        }
        Ok(package)
    }

    fn list(&mut self, kind: Kind) -> Option<&mut Vec<Map<String, Value>>> {
        Some(match kind {
            Kind::Controllers => &mut self.controllers,
            Kind::Hooks => &mut self.hooks,
            Kind::Events => &mut self.events,
            Kind::Middleware => &mut self.middleware,
            Kind::Jobs => &mut self.jobs,
            Kind::Widgets => &mut self.widgets,
            Kind::Entities => &mut self.entities,
            Kind::Migrations => &mut self.migrations,
            Kind::Docs => &mut self.docs,
            Kind::Scripts => return None,
        })
    }
}

/// A package that was read: everything of it has been checked, and nothing is written yet.
#[derive(Debug)]
pub(crate) struct Unpacked {
    pub(crate) slug: String,
    pub(crate) category: Option<String>,
    pub(crate) pieces: Pieces,
    /// What seems odd about it.
    pub(crate) warnings: Vec<String>,
}

/// Reads a package.
///
/// # Errors
/// Whatever is wrong with any part of it.
pub(crate) fn read(mut object: Map<String, Value>) -> Result<Unpacked, CatalogError> {
    let version = take_text(&mut object, "packageVersion")?;
    if ![VERSION, OLD_VERSION].contains(&version.as_str()) {
        let message = format!("packageVersion: {VERSION} and {OLD_VERSION} are read");
        return Err(CatalogError::invalid("/packageVersion", message));
    }
    let Some(Value::Object(mut plugin)) = object.remove("plugin") else {
        return Err(CatalogError::invalid("/plugin", "plugin must be an object"));
    };
    let slug = match plugin.remove("slug") {
        Some(Value::String(slug)) => slug,
        None => slug_of(&take_text(&mut plugin.clone(), "name")?),
        Some(_) => return Err(CatalogError::invalid("/plugin/slug", "slug must be a text")),
    };
    let category = match plugin.remove("category") {
        Some(Value::String(category)) if category.len() <= 100 => Some(category),
        _ => None,
    };
    let mut files = BTreeMap::new();
    let mut add = |path: String, content: Bytes| {
        crate::tree::check_path(&path)?;
        if files.len() > MAX_FILES {
            return Err(CatalogError::too_large(format!(
                "a plugin has at most {MAX_FILES} files"
            )));
        }
        match files.insert(path.clone(), content) {
            None => Ok(()),
            Some(_) => Err(CatalogError::invalid(
                &*path,
                format!("{path} is there twice"),
            )),
        }
    };
    for file in take_list(&mut object, "files")? {
        let file: PackageFile = serde_json::from_value(Value::Object(file))
            .map_err(|error| CatalogError::invalid("/files", format!("files: {error}")))?;
        let content = unshown(&file.content, file.encoding.as_deref())
            .map_err(|message| CatalogError::invalid(&*file.name, message))?;
        add(file.name, content)?;
    }
    let mut warnings = Vec::new();
    let mut sections = manifest_file::Sections::new();
    for kind in Kind::ALL {
        for row in take_list(&mut object, kind.name())? {
            let (path, bytes, said) = read_row(kind, row, &mut warnings)?;
            let is_open = kind == Kind::Controllers && !said.contains_key("requires_auth");
            if is_open && version == OLD_VERSION {
                warnings.push(format!("{path}: requires_auth is not given, and is true"));
            }
            if kind.has_section() && !said.is_empty() {
                let name = kind.file_name(&path).to_owned();
                sections.entry(kind).or_default().insert(name, said);
            }
            add(path, bytes)?;
        }
    }
    let manifest = match files.get(MANIFEST) {
        Some(bytes) => String::from_utf8(bytes.to_vec())
            .map_err(|_| CatalogError::invalid(MANIFEST, "it is not UTF-8"))?,
        None => manifest_of(&plugin, &slug),
    };
    let manifest = joined(&manifest, sections)?;
    files.insert(MANIFEST.to_owned(), manifest.into());
    let tree = Tree::new(files)?;
    if let Some(Value::String(checksum)) = object.get("checksum")
        && *checksum != tree.digest()
    {
        return Err(CatalogError::invalid(
            "/checksum",
            "checksum: the package is not what was exported",
        ));
    }
    Ok(Unpacked {
        slug,
        category,
        pieces: Pieces::of(&tree)?,
        warnings,
    })
}

/// A row's path, its bytes, and what is said of it.
fn read_row(
    kind: Kind,
    row: Map<String, Value>,
    warnings: &mut Vec<String>,
) -> Result<(String, Bytes, Map<String, Value>), CatalogError> {
    let mut fields: Map<String, Value> = row
        .into_iter()
        .map(|(key, value)| (snake_case(&key), value))
        .collect();
    for key in [
        "id",
        "plugin_id",
        "created_at",
        "updated_at",
        "revision",
        "checksum",
    ] {
        fields.remove(key);
    }
    let path = kind.path_of(&file_name(kind, &mut fields)?);
    let bytes = content(kind, &mut fields, None)?.unwrap_or_default();
    let enabled = take_enabled(&mut fields)?;
    let mut said = Map::new();
    for (key, value) in fields {
        match manifest_file::field(kind, &key) {
            Some(name) if !value.is_null() => drop(said.insert(name, value)),
            Some(_) => {}
            None => warnings.push(format!("{path}: {key} means nothing here")),
        }
    }
    if enabled == Some(false) {
        said.insert("is_enabled".into(), false.into());
    }
    Ok((path, bytes, said))
}

/// A manifest with what lists of a package say of parts, which counts.
fn joined(text: &str, listed: manifest_file::Sections) -> Result<String, CatalogError> {
    let mut sections = manifest_file::sections(&manifest_file::parse(text)?)?;
    for (kind, entries) in listed {
        sections.entry(kind).or_default().extend(entries);
    }
    manifest_file::with_sections(text, &sections)
}

/// What the object of an older package says of the plugin.
fn manifest_of(plugin: &Map<String, Value>, slug: &str) -> String {
    let mut manifest = Map::new();
    manifest.insert("name".into(), slug.into());
    if let Some(Value::String(name)) = plugin.get("name") {
        manifest.insert("display_name".into(), json!(name));
    }
    for key in [
        "version",
        "description",
        "author",
        "license",
        "icon",
        "tags",
    ] {
        if let Some(value) = plugin.get(key).filter(|value| !value.is_null()) {
            manifest.insert(key.into(), value.clone());
        }
    }
    manifest_file::canonical(&manifest)
}

/// `Cart Hamid` becomes `cart-hamid`.
fn slug_of(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<_> = words
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

fn take_text(object: &mut Map<String, Value>, key: &str) -> Result<String, CatalogError> {
    match object.remove(key) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(CatalogError::invalid(
            format!("/{key}"),
            format!("{key} must be a text"),
        )),
    }
}

fn take_list(
    object: &mut Map<String, Value>,
    key: &str,
) -> Result<Vec<Map<String, Value>>, CatalogError> {
    let wrong = || CatalogError::invalid(format!("/{key}"), format!("{key} is a list of objects"));
    let list = match object.remove(key) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong()),
    };
    if list.len() > MAX_FILES {
        let message = format!("a plugin has at most {MAX_FILES} files");
        return Err(CatalogError::too_large(message));
    }
    list.into_iter()
        .map(|item| match item {
            Value::Object(item) => Ok(item),
            _ => Err(wrong()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    fn pieces() -> Pieces {
        let files = [
            (
                MANIFEST,
                "{\"name\":  \"cart\", \"hooks\": {\"p.py\": {\"hook_name\": \"product.price\"}},\n\"scripts\": {\"a/x.js\": {\"scope\": \"admin\"}}}",
            ),
            ("hooks/p.py", "def handler(v): return v\n"),
            ("entities/A.json", "{ \"entity_name\": \"A\" }"),
            ("migrations/1.py", "def up(db): ...\n"),
            ("README.md", "<script>alert(1)</script>"),
            ("a/x.js", "1"),
        ];
        let tree = Tree::new(
            files
                .into_iter()
                .map(|(path, text)| (path.to_owned(), Bytes::from(text)))
                .chain([("static/b".to_owned(), Bytes::from_static(b"\xff"))]),
        );
        Pieces::of(&tree.unwrap()).unwrap()
    }

    #[test]
    fn a_package_comes_back_byte_by_byte() {
        let package = Package::of(&pieces(), "cart", Some("shop")).unwrap();
        let written = object(serde_json::to_value(&package).unwrap());
        let read = read(written.clone()).unwrap();
        assert_eq!(read.pieces.tree().unwrap(), pieces().tree().unwrap());
        assert_eq!(
            (&*read.slug, read.category.as_deref()),
            ("cart", Some("shop"))
        );
        let mut changed = written;
        changed["files"][1]["content"] = "2".into();
        let refused = super::read(changed).unwrap_err().to_string();
        assert!(refused.contains("checksum"), "{refused}");
    }

    #[test]
    fn packages_of_older_studios_are_read() {
        let old = json!({
            "packageVersion": "1.0.0",
            "plugin": {"name": "Cart Hamid", "version": "1.0.0"},
            "files": [{"name": "components/W.js", "content": "1"}],
            "events": [{"eventName": "cart.viewed", "listenerCode": "def handler(data): ..."}],
            "hooks": [{"hook_name": "product.price", "handler_function": "def handler(v): return v"}],
            "controllers": [{"controllerName": "getVisits", "method": "GET", "path": "/visits", "handlerCode": "x"}],
            "widgets": [{"widgetId": "w", "widgetName": "W", "componentCode": "2"}],
        });
        let read = read(object(old)).unwrap();
        assert_eq!(read.slug, "cart-hamid");
        let by_path: BTreeMap<_, _> = read
            .pieces
            .files
            .iter()
            .map(|file| (file.path.as_str(), file))
            .collect();
        assert_eq!(
            by_path["events/cart_viewed.py"].meta["event_name"],
            "cart.viewed"
        );
        assert_eq!(
            by_path["hooks/product_price.py"].meta["hook_name"],
            "product.price"
        );
        assert_eq!(by_path["controllers/getVisits.py"].meta["path"], "/visits");
        assert_eq!(by_path["widgets/w.js"].meta["widget_name"], "W");
        assert!(
            read.warnings[0].contains("requires_auth"),
            "{:?}",
            read.warnings
        );
    }

    #[test]
    fn hostile_packages_are_refused_whole() {
        let file = |name: &str| json!({"name": name, "content": "x"});
        let with = |files: Value| json!({"packageVersion": "1.1.0", "plugin": {"name": "a", "slug": "a"}, "files": files});
        let many: Vec<Value> = (0..10_000).map(|n| file(&format!("f{n}"))).collect();
        let big = "x".repeat(512 * 1024 + 1);
        for package in [
            with(json!(many)),
            with(json!([file("../x")])),
            with(json!([file("/etc/passwd")])),
            with(json!([file("a/../../x")])),
            with(json!([file("a"), file("a")])),
            with(json!([file("a"), file("A")])),
            with(json!([file("a"), file("a/b")])),
            with(json!([file("x.so")])),
            with(json!([file("__pycache__/x.py")])),
            with(json!([{"name": "a", "content": big}])),
            with(json!([{"name": "a", "content": 1}])),
            with(json!([{"name": "a", "content": "!", "encoding": "base64"}])),
            with(json!([{"name": "a", "content": "!", "encoding": "zip"}])),
            with(json!("x")),
            with(json!([file("hooks/a.js")])),
            with(json!([file("plugin.json")])),
            json!({"packageVersion": "2.0.0", "plugin": {"name": "a"}}),
            json!({"packageVersion": "1.1.0"}),
            json!({"packageVersion": "1.1.0", "plugin": {"slug": 1}}),
        ] {
            assert!(read(object(package.clone())).is_err(), "{package:.200}");
        }
    }
}
