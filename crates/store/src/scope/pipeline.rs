//! Pipelines bound to a user: where they begin, and wherever they look into another collection.

use mongodb::bson::{Bson, Document, doc};

use super::Bound;
use crate::{StoreError, access::of_others, query::invalid};

/// Stages that must be the first and give what no `$match` before them can hold back.
const UNBOUND: [&str; 5] = [
    "$changeStream",
    "$search",
    "$searchMeta",
    "$vectorSearch",
    "$listSearchIndexes",
];

impl Bound<'_> {
    /// The stages, of the user's documents of `collection` where that is one of a user's.
    pub(super) fn pipeline(
        &self,
        stages: Vec<Bson>,
        collection: Option<&str>,
    ) -> Result<Vec<Bson>, StoreError> {
        let mut bound = Vec::with_capacity(stages.len() + 1);
        if let Some(collection) = collection {
            match first_of(&stages) {
                Some("$geoNear") => {}
                Some(first) if UNBOUND.contains(&first) => {
                    return Err(of_others(collection, &format!("`{first}` is not allowed")));
                }
                _ => bound.push(Bson::Document(
                    doc! { "$match": self.filter(Document::new()) },
                )),
            }
        }
        for stage in stages {
            let Bson::Document(stage) = stage else {
                return Err(invalid("a stage is a document"));
            };
            let parts: Result<Document, StoreError> = (stage.into_iter())
                .map(|(name, options)| {
                    let options = self.stage(&name, options, collection)?;
                    Ok((name, options))
                })
                .collect();
            bound.push(Bson::Document(parts?));
        }
        Ok(bound)
    }

    fn stage(
        &self,
        name: &str,
        options: Bson,
        collection: Option<&str>,
    ) -> Result<Bson, StoreError> {
        match (name, options) {
            ("$geoNear", Bson::Document(mut options)) if collection.is_some() => {
                self.filter_of(&mut options, "query")?;
                Ok(options.into())
            }
            ("$lookup", Bson::Document(options)) => self.other(options, "from"),
            ("$unionWith", Bson::String(name)) => self.other(doc! { "coll": name }, "coll"),
            ("$unionWith", Bson::Document(options)) => self.other(options, "coll"),
            ("$graphLookup", Bson::Document(mut options)) => {
                if self.names_of_user(&options, "from") {
                    self.filter_of(&mut options, "restrictSearchWithMatch")?;
                }
                Ok(options.into())
            }
            ("$facet", Bson::Document(facets)) => {
                let facets: Result<Document, StoreError> = (facets.into_iter())
                    .map(|(name, stages)| match stages {
                        Bson::Array(stages) => Ok((name, self.pipeline(stages, None)?.into())),
                        _ => Err(invalid("a facet is an array of stages")),
                    })
                    .collect();
                Ok(facets?.into())
            }
            ("$out" | "$merge", options) => {
                if let Some(target) = target(&options).filter(|name| self.is_of_user(name)) {
                    return Err(of_others(target, &format!("`{name}` is not allowed")));
                }
                Ok(options)
            }
            (_, options) => Ok(options),
        }
    }

    /// A stage that runs a pipeline over another collection.
    fn other(&self, mut options: Document, field: &str) -> Result<Bson, StoreError> {
        let of_user = self.names_of_user(&options, field);
        let stages = match options.remove("pipeline") {
            Some(Bson::Array(stages)) => stages,
            None | Some(Bson::Null) if !of_user => return Ok(options.into()),
            None | Some(Bson::Null) => Vec::new(),
            Some(_) => return Err(invalid("`pipeline` must be an array of stages")),
        };
        let collection = options.get(field).and_then(target).map(str::to_owned);
        let collection = collection.filter(|_| of_user);
        let stages = self.pipeline(stages, collection.as_deref())?;
        options.insert("pipeline", stages);
        Ok(options.into())
    }

    fn names_of_user(&self, options: &Document, field: &str) -> bool {
        (options.get(field).and_then(target)).is_some_and(|name| self.is_of_user(name))
    }
}

fn first_of(stages: &[Bson]) -> Option<&str> {
    let first = stages.first()?.as_document()?;
    first.keys().next().map(String::as_str)
}

/// The collection that a stage names: by its name, or under `coll` or `into`.
fn target(named: &Bson) -> Option<&str> {
    match named {
        Bson::String(name) => Some(name),
        Bson::Document(options) => options
            .get("into")
            .or_else(|| options.get("coll"))
            .and_then(target),
        _ => None,
    }
}
