//! `$project`, `$addFields`/`$set` and `$unset`: one tree of paths, applied to a document.

use bson::{Bson, Document};

use crate::{
    bail,
    error::{CommandError, Result},
    expr::{Expr, Vars, number::Number, parse::split_path, types},
};

/// What happens to one field.
#[derive(Debug, Clone)]
enum Field {
    /// It stays.
    Include,
    /// It goes.
    Exclude,
    /// It becomes the value of the expression with this index.
    Computed(usize),
    /// Its fields are treated in turn.
    Nested(Tree),
}

/// Fields by name, in the order of the specification.
#[derive(Debug, Clone, Default)]
struct Tree {
    fields: Vec<(String, Field)>,
}

/// What happens to fields that are not named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Include,
    Exclude,
    Add,
}

/// A parsed `$project`, `$addFields` or `$unset`.
#[derive(Debug, Clone)]
pub struct Projector {
    mode: Mode,
    tree: Tree,
    expressions: Vec<Expr>,
    keep_id: bool,
}

/// Levels that dotted and nested paths may go down.
const MAX_DEPTH: usize = 100;

impl Tree {
    fn get(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, field)| field)
    }

    fn has_computed(&self) -> bool {
        self.fields.iter().any(|(_, field)| match field {
            Field::Computed(_) => true,
            Field::Nested(tree) => tree.has_computed(),
            Field::Include | Field::Exclude => false,
        })
    }

    fn insert(&mut self, path: &[String], whole: &str, field: Field) -> Result<()> {
        let collision = || CommandError::location(31249, format!("Path collision at {whole}"));
        let Some((first, rest)) = path.split_first() else {
            return Err(collision());
        };
        let existing = self.fields.iter_mut().find(|(name, _)| name == first);
        if rest.is_empty() {
            if existing.is_some() {
                return Err(CommandError::location(
                    31250,
                    format!("Path collision at {whole}"),
                ));
            }
            self.fields.push((first.clone(), field));
            return Ok(());
        }
        match existing {
            Some((_, Field::Nested(tree))) => tree.insert(rest, whole, field),
            Some(_) => Err(collision()),
            None => {
                let mut tree = Self::default();
                tree.insert(rest, whole, field)?;
                self.fields.push((first.clone(), Field::Nested(tree)));
                Ok(())
            }
        }
    }
}

/// Collects the parts of a specification.
struct Builder {
    adding: bool,
    tree: Tree,
    expressions: Vec<Expr>,
    included: Option<String>,
    excluded: Option<String>,
    computed: bool,
    id: Option<bool>,
}

impl Builder {
    fn new(adding: bool) -> Self {
        Self {
            adding,
            tree: Tree::default(),
            expressions: Vec::new(),
            included: None,
            excluded: None,
            computed: false,
            id: None,
        }
    }

    fn field(&mut self, path: &[String], value: &Bson) -> Result<()> {
        let whole = path.join(".");
        if path.len() > MAX_DEPTH {
            bail!(Overflow, "projection nests deeper than {MAX_DEPTH} levels");
        }
        if let Bson::Document(nested) = value {
            let operator = nested.keys().next().is_some_and(|key| key.starts_with('$'));
            if !operator {
                return self.nested(path, &whole, nested);
            }
        }
        let number = match value {
            Bson::Boolean(on) => Some(*on),
            other => Number::from_bson(other).map(|n| n.to_f64() != 0.0),
        };
        let field = match number.filter(|_| !self.adding) {
            Some(on) => {
                if whole == "_id" {
                    self.id = Some(on);
                    return Ok(());
                }
                let seen = if on {
                    &mut self.included
                } else {
                    &mut self.excluded
                };
                seen.get_or_insert_with(|| whole.clone());
                if on { Field::Include } else { Field::Exclude }
            }
            None => {
                self.expressions.push(Expr::parse(value)?);
                self.computed = true;
                Field::Computed(self.expressions.len() - 1)
            }
        };
        self.tree.insert(path, &whole, field)
    }

    fn nested(&mut self, path: &[String], whole: &str, nested: &Document) -> Result<()> {
        if nested.is_empty() {
            let code = if self.adding { 40180 } else { 51270 };
            return Err(CommandError::location(
                code,
                format!(
                    "An empty sub-projection is not a valid value. Found empty object at path '{whole}'"
                ),
            ));
        }
        for (name, value) in nested {
            let mut path = path.to_vec();
            path.extend(split_path(name)?);
            self.field(&path, value)?;
        }
        Ok(())
    }
}

impl Projector {
    /// Parses a `$project` specification.
    pub fn project(specification: &Document) -> Result<Self> {
        if specification.is_empty() {
            return Err(CommandError::location(
                51272,
                "Invalid $project :: caused by :: projection specification must have at least one \
                 field",
            ));
        }
        let mut builder = Builder::new(false);
        for (name, value) in specification {
            builder.field(&split_path(name)?, value)?;
        }
        if let (Some(included), Some(excluded)) = (&builder.included, &builder.excluded) {
            // The first of the two names the kind of projection.
            let names: Vec<&str> = specification.keys().map(String::as_str).collect();
            let position = |path: &str| {
                names
                    .iter()
                    .position(|name| path == *name || path.starts_with(&format!("{name}.")))
            };
            return Err(if position(included) < position(excluded) {
                CommandError::location(
                    31254,
                    format!(
                        "Invalid $project :: caused by :: Cannot do exclusion on field {excluded} \
                         in inclusion projection"
                    ),
                )
            } else {
                CommandError::location(
                    31253,
                    format!(
                        "Invalid $project :: caused by :: Cannot do inclusion on field {included} \
                         in exclusion projection"
                    ),
                )
            });
        }
        if builder.excluded.is_some() && builder.computed {
            return Err(CommandError::location(
                31252,
                "Invalid $project :: caused by :: Cannot use an expression in an exclusion \
                 projection",
            ));
        }
        let including = builder.included.is_some()
            || builder.computed
            || (builder.excluded.is_none() && builder.id == Some(true));
        if builder.excluded.is_some() && builder.id == Some(true) && builder.included.is_none() {
            // `{_id: 1, a: 0}` leaves `_id` where it is.
            builder.id = None;
        }
        Ok(Self {
            mode: if including {
                Mode::Include
            } else {
                Mode::Exclude
            },
            keep_id: builder.id.unwrap_or(true),
            tree: builder.tree,
            expressions: builder.expressions,
        })
    }

    /// Parses an `$addFields` or `$set` specification.
    pub fn add_fields(specification: &Document) -> Result<Self> {
        let mut builder = Builder::new(true);
        for (name, value) in specification {
            builder.field(&split_path(name)?, value)?;
        }
        Ok(Self {
            mode: Mode::Add,
            keep_id: true,
            tree: builder.tree,
            expressions: builder.expressions,
        })
    }

    /// Parses an `$unset` specification: a path or an array of paths.
    pub fn unset(specification: &Bson) -> Result<Self> {
        let single;
        let paths: &[Bson] = match specification {
            Bson::Array(paths) if paths.is_empty() => {
                return Err(CommandError::location(
                    31119,
                    "$unset specification must be a string or an array with at least one field",
                ));
            }
            Bson::Array(paths) => paths,
            Bson::String(_) => {
                single = [specification.clone()];
                &single
            }
            other => {
                return Err(CommandError::location(
                    31002,
                    format!(
                        "$unset specification must be a string or an array, found {}",
                        types::name(Some(other))
                    ),
                ));
            }
        };
        let mut tree = Tree::default();
        let mut keep_id = true;
        for path in paths {
            let Bson::String(path) = path else {
                return Err(CommandError::location(
                    31120,
                    "$unset specification must be a string or an array containing only string values",
                ));
            };
            if path == "_id" {
                keep_id = false;
            } else {
                tree.insert(&split_path(path)?, path, Field::Exclude)?;
            }
        }
        Ok(Self {
            mode: Mode::Exclude,
            tree,
            expressions: Vec::new(),
            keep_id,
        })
    }

    /// The document after the stage.
    pub fn apply(&self, mut document: Document, vars: &Vars) -> Result<Document> {
        let mut values = Vec::with_capacity(self.expressions.len());
        for expression in &self.expressions {
            values.push(expression.eval(&document, vars)?);
        }
        match self.mode {
            Mode::Add => {
                add(&self.tree, &mut document, &mut values, false);
                Ok(document)
            }
            Mode::Exclude => {
                if !self.keep_id {
                    document.remove("_id");
                }
                exclude(&self.tree, &mut document);
                Ok(document)
            }
            Mode::Include => {
                let names_id = self.tree.get("_id").is_some();
                let id = if self.keep_id && !names_id {
                    document.remove("_id")
                } else {
                    None
                };
                let mut kept = Document::new();
                if let Some(id) = id {
                    kept.insert("_id", id);
                }
                include(&self.tree, document, &mut kept, &mut values, false);
                Ok(kept)
            }
        }
    }
}

/// Takes the value of an expression; clones it where other array elements need it too.
fn value_of(values: &mut [Option<Bson>], index: usize, shared: bool) -> Option<Bson> {
    let value = values.get_mut(index)?;
    if shared { value.clone() } else { value.take() }
}

fn add(tree: &Tree, document: &mut Document, values: &mut [Option<Bson>], shared: bool) {
    for (name, field) in &tree.fields {
        match field {
            Field::Computed(index) => match value_of(values, *index, shared) {
                Some(value) => {
                    document.insert(name.as_str(), value);
                }
                None => {
                    document.remove(name);
                }
            },
            Field::Nested(tree) => match document.get_mut(name) {
                Some(value) => add_in(tree, value, values, shared),
                None => {
                    let mut nested = Document::new();
                    add(tree, &mut nested, values, shared);
                    document.insert(name.as_str(), nested);
                }
            },
            Field::Include | Field::Exclude => {}
        }
    }
}

fn add_in(tree: &Tree, value: &mut Bson, values: &mut [Option<Bson>], shared: bool) {
    match value {
        Bson::Document(document) => add(tree, document, values, shared),
        Bson::Array(items) => {
            for item in items {
                add_in(tree, item, values, true);
            }
        }
        scalar => {
            let mut nested = Document::new();
            add(tree, &mut nested, values, shared);
            *scalar = Bson::Document(nested);
        }
    }
}

fn exclude(tree: &Tree, document: &mut Document) {
    for (name, field) in &tree.fields {
        match field {
            Field::Exclude => {
                document.remove(name);
            }
            Field::Nested(tree) => {
                if let Some(value) = document.get_mut(name) {
                    exclude_in(tree, value);
                }
            }
            Field::Include | Field::Computed(_) => {}
        }
    }
}

fn exclude_in(tree: &Tree, value: &mut Bson) {
    match value {
        Bson::Document(document) => exclude(tree, document),
        Bson::Array(items) => items.iter_mut().for_each(|item| exclude_in(tree, item)),
        _ => {}
    }
}

/// Moves what is included over in the document's order, then appends what is computed.
fn include(
    tree: &Tree,
    document: Document,
    kept: &mut Document,
    values: &mut [Option<Bson>],
    shared: bool,
) {
    for (name, value) in document {
        match tree.get(&name) {
            Some(Field::Include) => {
                kept.insert(name, value);
            }
            Some(Field::Nested(nested)) => {
                if let Some(value) = include_in(nested, value, values, shared) {
                    kept.insert(name, value);
                }
            }
            Some(Field::Computed(_) | Field::Exclude) | None => {}
        }
    }
    for (name, field) in &tree.fields {
        match field {
            Field::Computed(index) => {
                if let Some(value) = value_of(values, *index, shared) {
                    kept.insert(name.as_str(), value);
                }
            }
            Field::Nested(nested) if nested.has_computed() && !kept.contains_key(name) => {
                let mut inner = Document::new();
                include(nested, Document::new(), &mut inner, values, shared);
                kept.insert(name.as_str(), inner);
            }
            Field::Nested(_) | Field::Include | Field::Exclude => {}
        }
    }
}

fn include_in(tree: &Tree, value: Bson, values: &mut [Option<Bson>], shared: bool) -> Option<Bson> {
    match value {
        Bson::Document(document) => {
            let mut kept = Document::new();
            include(tree, document, &mut kept, values, shared);
            Some(Bson::Document(kept))
        }
        Bson::Array(items) => {
            let kept = items
                .into_iter()
                .filter_map(|item| include_in(tree, item, values, true));
            Some(Bson::Array(kept.collect()))
        }
        _ if tree.has_computed() => {
            let mut kept = Document::new();
            include(tree, Document::new(), &mut kept, values, shared);
            Some(Bson::Document(kept))
        }
        _ => None,
    }
}
