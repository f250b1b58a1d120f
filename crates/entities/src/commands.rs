//! What makes an entity's collection, and what makes it of one that an earlier version of it has made: lists
//! of commands of MongoDB's.

use bson::{Bson, Document, doc};

use crate::definition::{Entity, Index, Part};

/// What is done, and how it is undone.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// There.
    pub up: Vec<Document>,
    /// And back.
    pub down: Vec<Document>,
}

impl Change {
    /// What makes the collection of an entity, from what it is now.
    pub fn between(before: Option<&Entity>, after: &Entity) -> Self {
        match before {
            None => Self {
                up: after.create_commands(),
                down: after.drop_commands(),
            },
            Some(before) => Self {
                up: difference(before, after),
                down: difference(after, before),
            },
        }
    }
}

impl Entity {
    /// The rules that its documents keep.
    pub fn validator(&self) -> Document {
        let mut properties = Document::new();
        let mut required = Vec::new();
        for column in &self.columns {
            let field = self.field(&column.name);
            properties.insert(field, column.rule());
            if !column.nullable {
                required.push(Bson::from(field));
            }
        }
        let mut schema = doc! { "bsonType": "object" };
        if !required.is_empty() {
            schema.insert("required", required);
        }
        schema.insert("properties", properties);
        doc! { "$jsonSchema": schema }
    }

    /// Its indexes, with one for each unique column.
    pub fn all_indexes(&self) -> Vec<Index> {
        let unique = self.columns.iter().filter(|column| column.unique);
        let mut all: Vec<Index> = unique
            .map(|column| Index {
                name: format!("uq_{}", column.name),
                columns: vec![Part {
                    column: column.name.clone(),
                    descending: false,
                }],
                unique: true,
            })
            .filter(|own| self.indexes.iter().all(|index| index.name != own.name))
            .collect();
        all.extend(self.indexes.iter().cloned());
        all
    }

    /// What makes its collection.
    pub fn create_commands(&self) -> Vec<Document> {
        let mut commands = vec![doc! { "create": &self.table_name, "validator": self.validator() }];
        let specs: Vec<Document> = (self.all_indexes().iter())
            .map(|index| self.spec(index))
            .collect();
        if !specs.is_empty() {
            commands.push(doc! { "createIndexes": &self.table_name, "indexes": specs });
        }
        commands
    }

    /// What takes it away, with all that is in it.
    pub fn drop_commands(&self) -> Vec<Document> {
        vec![doc! { "drop": &self.table_name }]
    }

    fn spec(&self, index: &Index) -> Document {
        let mut key = Document::new();
        for part in &index.columns {
            key.insert(
                self.field(&part.column),
                if part.descending { -1 } else { 1 },
            );
        }
        let mut spec = doc! { "key": key, "name": &index.name };
        if index.unique {
            spec.insert("unique", true);
            // As in SQL, any number of documents may hold nothing.
            let mut present = Document::new();
            for part in &index.columns {
                if let Some(column) = self.column(&part.column)
                    && column.nullable
                {
                    let types: Vec<Bson> = column
                        .kind
                        .bson_types()
                        .into_iter()
                        .map(Bson::from)
                        .collect();
                    present.insert(part.column.clone(), doc! { "$type": types });
                }
            }
            if !present.is_empty() {
                spec.insert("partialFilterExpression", present);
            }
        }
        spec
    }
}

/// From one version of an entity to another, in the same collection.
fn difference(before: &Entity, after: &Entity) -> Vec<Document> {
    let table = &after.table_name;
    let mut commands = Vec::new();
    let (old, new) = (specs(before), specs(after));
    let gone: Vec<Bson> = old
        .iter()
        .filter(|spec| !new.contains(spec))
        .filter_map(|spec| spec.get("name").cloned())
        .collect();
    if !gone.is_empty() {
        commands.push(doc! { "dropIndexes": table, "index": gone });
    }
    if before.validator() != after.validator() {
        commands.push(doc! {
            "collMod": table,
            "validator": after.validator(),
            "validationLevel": "strict",
            "validationAction": "error",
        });
    }
    let made: Vec<Document> = new.into_iter().filter(|spec| !old.contains(spec)).collect();
    if !made.is_empty() {
        commands.push(doc! { "createIndexes": table, "indexes": made });
    }
    commands
}

fn specs(entity: &Entity) -> Vec<Document> {
    (entity.all_indexes().iter())
        .map(|index| entity.spec(index))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entity(columns: Value, indexes: Value) -> Entity {
        Entity::read(&json!({
            "entity_name": "Cart", "table_name": "cart",
            "schema_definition": { "columns": columns, "indexes": indexes },
        }))
        .unwrap()
    }

    #[test]
    fn an_entity_is_a_collection_with_rules_and_indexes() {
        let cart = entity(
            json!([
                { "name": "id", "type": "UUID", "primaryKey": true },
                { "name": "code", "type": "VARCHAR(8)", "unique": true },
                { "name": "n", "type": "INTEGER", "nullable": false },
            ]),
            json!([{ "name": "by_n", "columns": ["n", "id"], "order": ["DESC", "ASC"], "unique": true }]),
        );
        let commands = cart.create_commands();
        assert_eq!(
            commands[0],
            doc! { "create": "cart", "validator": { "$jsonSchema": {
                "bsonType": "object",
                "required": ["_id", "n"],
                "properties": {
                    "_id": { "bsonType": "string", "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$" },
                    "code": { "bsonType": ["string", "null"], "maxLength": 8_i64 },
                    "n": { "bsonType": "int" },
                },
            } } }
        );
        assert_eq!(
            commands[1],
            doc! { "createIndexes": "cart", "indexes": [
                { "key": { "code": 1 }, "name": "uq_code", "unique": true,
                  "partialFilterExpression": { "code": { "$type": ["string"] } } },
                { "key": { "n": -1, "_id": 1 }, "name": "by_n", "unique": true },
            ] }
        );
        assert_eq!(cart.drop_commands(), [doc! { "drop": "cart" }]);
    }

    #[test]
    fn two_versions_differ_by_what_changes() {
        let first = entity(
            json!([{ "name": "a", "type": "TEXT" }, { "name": "b", "type": "TEXT" }]),
            json!([{ "name": "by_a", "columns": ["a"] }, { "name": "both", "columns": ["a", "b"] }]),
        );
        let second = entity(
            json!([{ "name": "a", "type": "TEXT" }, { "name": "b", "type": "INTEGER" }]),
            json!([{ "name": "by_a", "columns": ["a"], "order": "DESC" }, { "name": "both", "columns": ["a", "b"] }, { "name": "by_b", "columns": ["b"] }]),
        );
        let change = Change::between(Some(&first), &second);
        let names = |commands: &[Document]| -> Vec<String> {
            let firsts = commands.iter().filter_map(|command| command.keys().next());
            firsts.cloned().collect()
        };
        assert_eq!(
            names(&change.up),
            ["dropIndexes", "collMod", "createIndexes"]
        );
        assert_eq!(
            change.up[0],
            doc! { "dropIndexes": "cart", "index": ["by_a"] }
        );
        assert_eq!(change.up[2].get_array("indexes").unwrap().len(), 2);
        assert_eq!(
            change.down[0],
            doc! { "dropIndexes": "cart", "index": ["by_a", "by_b"] }
        );
        assert_eq!(
            names(&change.down),
            ["dropIndexes", "collMod", "createIndexes"]
        );
        assert_eq!(
            Change::between(Some(&first), &first).up,
            Vec::<Document>::new()
        );
    }
}
