//! What an update changed, as change streams tell it: paths that were set, removed or cut short.

use bson::{Bson, Document, doc};

/// `updatedFields`, `removedFields`, `truncatedArrays` and `disambiguatedPaths` that turn one
/// document into the other.
pub(super) fn describe_update(before: &Document, after: &Document) -> Document {
    let mut difference = Difference::default();
    difference.documents(before, after);
    doc! {
        "updatedFields": difference.updated,
        "removedFields": difference.removed,
        "truncatedArrays": difference.truncated,
        "disambiguatedPaths": difference.ambiguous,
    }
}

#[derive(Default)]
struct Difference {
    updated: Document,
    removed: Vec<Bson>,
    truncated: Vec<Bson>,
    /// Paths that could be read in two ways, with their parts.
    ambiguous: Document,
    /// Where the comparison stands: names as strings, positions as numbers.
    parts: Vec<Bson>,
}

impl Difference {
    /// The present path with dots; noted where a number may be a name or a position.
    fn path(&mut self) -> String {
        let mut ambiguous = false;
        let mut names = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            match part {
                Bson::String(name) => {
                    ambiguous |= name.contains('.') || name.bytes().all(|b| b.is_ascii_digit());
                    names.push(name.clone());
                }
                position => {
                    ambiguous = true;
                    names.push(position.to_string());
                }
            }
        }
        let path = names.join(".");
        if ambiguous {
            self.ambiguous.insert(path.clone(), self.parts.clone());
        }
        path
    }

    fn set(&mut self, value: &Bson) {
        let path = self.path();
        self.updated.insert(path, value.clone());
    }

    fn within(&mut self, part: impl Into<Bson>, go_on: impl FnOnce(&mut Self)) {
        self.parts.push(part.into());
        go_on(self);
        self.parts.pop();
    }

    fn documents(&mut self, before: &Document, after: &Document) {
        for (name, new) in after {
            self.within(name.as_str(), |this| match before.get(name) {
                Some(old) => this.values(old, new),
                None => this.set(new),
            });
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            self.within(name.as_str(), |this| {
                let path = this.path();
                this.removed.push(path.into());
            });
        }
    }

    fn values(&mut self, old: &Bson, new: &Bson) {
        match (old, new) {
            _ if crate::value::identical(old, new) => {}
            (Bson::Document(old), Bson::Document(new)) => self.documents(old, new),
            (Bson::Array(old), Bson::Array(new)) if !old.is_empty() && !new.is_empty() => {
                self.arrays(old, new);
            }
            _ => self.set(new),
        }
    }

    fn arrays(&mut self, old: &[Bson], new: &[Bson]) {
        if new.len() < old.len() {
            let path = self.path();
            let new_size = i32::try_from(new.len()).unwrap_or(i32::MAX);
            self.truncated
                .push(doc! { "field": path, "newSize": new_size }.into());
        }
        for (position, new) in new.iter().enumerate() {
            let part = i32::try_from(position).unwrap_or(i32::MAX);
            self.within(part, |this| match old.get(position) {
                Some(old) => this.values(old, new),
                None => this.set(new),
            });
        }
    }
}
