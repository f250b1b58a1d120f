//! An update document with operators: parsing, conflicts, and application in path order.

use bson::{Bson, Document};

use crate::{
    bail,
    error::Result,
    update::{
        ApplyContext,
        filters::ArrayFilters,
        operator::{Change, Operator, Site},
        path::{Lookup, UpdatePath, apply_order, array_on_the_way, lookup, remove, write},
    },
    value::{identical, type_name},
};

/// All operators of an update.
#[derive(Debug, Clone)]
pub(super) struct Operators {
    entries: Vec<Entry>,
    filters: ArrayFilters,
}

#[derive(Debug, Clone)]
struct Entry {
    path: UpdatePath,
    operator: Operator,
}

/// One operator at one plain address.
struct Step<'a> {
    address: Vec<String>,
    /// Decides the order: the address, or the new one of a renamed field.
    target: Vec<String>,
    entry: &'a Entry,
}

impl Operators {
    pub(super) fn parse(update: &Document, filters: &[Document]) -> Result<Self> {
        let filters = ArrayFilters::parse(filters)?;
        let mut entries = Vec::new();
        for (name, argument) in update {
            if !name.starts_with('$') {
                bail!(
                    FailedToParse,
                    "Unknown modifier: {name}. Expected a valid update modifier or pipeline-style \
                     update specified as an array"
                );
            }
            let Bson::Document(fields) = argument else {
                check_known(name)?;
                bail!(
                    FailedToParse,
                    "Modifiers operate on fields but we found type {} instead. For example: {{$mod: \
                     {{<field>: ...}}}} not {{{name}: {argument}}}",
                    type_name(argument)
                )
            };
            check_known(name)?;
            for (path, argument) in fields {
                let operator = Operator::parse(name, path, argument)?;
                let path = UpdatePath::parse(path)?;
                if let Operator::Rename(to) = &operator {
                    check_rename(&path, to)?;
                }
                entries.push(Entry { path, operator });
            }
        }
        let operators = Self { entries, filters };
        operators.check_conflicts()?;
        let paths: Vec<&UpdatePath> = operators.entries.iter().map(|e| &e.path).collect();
        operators.filters.check_use(&paths, update)?;
        Ok(operators)
    }

    /// No two operators may write to one path or to a path and a part of it.
    fn check_conflicts(&self) -> Result<()> {
        let mut paths: Vec<&str> = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let target = match &entry.operator {
                Operator::Rename(to) => Some(to.as_str()),
                _ => None,
            };
            for path in std::iter::once(entry.path.text.as_str()).chain(target) {
                paths.push(path);
            }
        }
        // With dots ordered before all else, a path comes right before those below it.
        let mut sorted: Vec<(Vec<&str>, usize)> = paths
            .iter()
            .enumerate()
            .map(|(i, path)| (path.split('.').collect(), i))
            .collect();
        sorted.sort();
        for pair in sorted.windows(2) {
            let [(short, first), (long, second)] = pair else {
                continue;
            };
            if long.starts_with(short) {
                let later = paths[*first.max(second)];
                bail!(
                    ConflictingUpdateOperators,
                    "Updating the path '{later}' would create a conflict at '{}'",
                    short.join(".")
                );
            }
        }
        Ok(())
    }

    /// Applies to `doc`; true where something changed.
    pub(super) fn apply(&self, doc: &mut Document, ctx: ApplyContext) -> Result<bool> {
        let mut changed = false;
        for step in self.steps(doc, ctx)? {
            changed |= step.apply(doc)?;
        }
        Ok(changed)
    }

    /// The operators at plain addresses, in the order of their paths.
    fn steps(&self, doc: &Document, ctx: ApplyContext) -> Result<Vec<Step<'_>>> {
        let mut steps = Vec::with_capacity(self.entries.len());
        let mut dynamic = false;
        for entry in &self.entries {
            if matches!(entry.operator, Operator::SetOnInsert(_)) && !ctx.inserting {
                continue;
            }
            dynamic |= entry.path.is_dynamic();
            for address in entry.path.expand(doc, ctx, &self.filters)? {
                let target = match &entry.operator {
                    Operator::Rename(to) => to.split('.').map(str::to_owned).collect(),
                    _ => address.clone(),
                };
                steps.push(Step {
                    address,
                    target,
                    entry,
                });
            }
        }
        steps.sort_by(|a, b| apply_order(&a.target, &b.target));
        if dynamic {
            let mut addresses: Vec<&[String]> =
                steps.iter().map(|s| s.address.as_slice()).collect();
            addresses.sort();
            for pair in addresses.windows(2) {
                if pair[1].starts_with(pair[0]) {
                    bail!(
                        ConflictingUpdateOperators,
                        "Update created a conflict at '{}'",
                        pair[0].join(".")
                    );
                }
            }
        }
        Ok(steps)
    }
}

fn check_known(name: &str) -> Result<()> {
    match name {
        "$set" | "$setOnInsert" | "$unset" | "$inc" | "$mul" | "$min" | "$max" | "$rename"
        | "$currentDate" | "$push" | "$addToSet" | "$pull" | "$pullAll" | "$pop" | "$bit" => Ok(()),
        _ => bail!(
            FailedToParse,
            "Unknown modifier: {name}. Expected a valid update modifier or pipeline-style update \
             specified as an array"
        ),
    }
}

fn check_rename(from: &UpdatePath, to: &str) -> Result<()> {
    let target = UpdatePath::parse(to)?;
    if from.is_dynamic() {
        bail!(
            BadValue,
            "The source field for $rename may not be dynamic: {}",
            from.text
        );
    }
    if target.is_dynamic() {
        bail!(
            BadValue,
            "The destination field for $rename may not be dynamic: {to}"
        );
    }
    if to.contains('\0') {
        bail!(
            BadValue,
            "The 'to' field for $rename cannot contain an embedded null byte"
        );
    }
    if from.text == to {
        bail!(
            BadValue,
            "The source and target field for $rename must differ: {}: \"{to}\"",
            from.text
        );
    }
    let below = |long: &str, short: &str| {
        long.strip_prefix(short)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    if below(to, &from.text) || below(&from.text, to) {
        bail!(
            BadValue,
            "The source and target field for $rename must not be on the same path: {}: \"{to}\"",
            from.text
        );
    }
    Ok(())
}

impl Step<'_> {
    fn apply(&self, doc: &mut Document) -> Result<bool> {
        let id = doc.get("_id").cloned().unwrap_or(Bson::Null);
        if let Operator::Rename(to) = &self.entry.operator {
            return self.rename(doc, to, &id);
        }
        let old = match lookup(doc, &self.address) {
            Lookup::Found(value) => Some(value),
            Lookup::Missing => None,
            Lookup::Blocked { .. } if self.entry.operator.only_existing() => return Ok(false),
            Lookup::Blocked {
                field,
                holder,
                value,
            } => {
                bail!(
                    PathNotViable,
                    "Cannot create field '{field}' in element {{{holder}: {value}}}"
                )
            }
        };
        let path = self.address.join(".");
        match self.entry.operator.change(old, &Site { path: &path, id })? {
            Change::Keep => Ok(false),
            Change::Write(value) => {
                if old.is_some_and(|old| identical(old, &value)) {
                    return Ok(false);
                }
                write(doc, &self.address, value)?;
                Ok(true)
            }
            Change::Remove => Ok(remove(doc, &self.address)),
        }
    }

    fn rename(&self, doc: &mut Document, to: &str, id: &Bson) -> Result<bool> {
        let target: Vec<String> = to.split('.').map(str::to_owned).collect();
        for (role, address) in [("source", &self.address), ("destination", &target)] {
            if let Some(array) = array_on_the_way(doc, address) {
                bail!(
                    BadValue,
                    "The {role} field cannot be an array element, '{}' in doc with _id: {id} has an \
                     array field called '{array}'",
                    address.join(".")
                );
            }
        }
        let value = match lookup(doc, &self.address) {
            Lookup::Found(value) => value.clone(),
            Lookup::Missing => return Ok(false),
            Lookup::Blocked {
                field,
                holder,
                value,
            } => {
                bail!(
                    PathNotViable,
                    "Cannot use the part ({field}) of ({}) to traverse the element ({{{holder}: {value}}})",
                    self.address.join(".")
                )
            }
        };
        if let Lookup::Blocked {
            field,
            holder,
            value,
        } = lookup(doc, &target)
        {
            bail!(
                PathNotViable,
                "Cannot create field '{field}' in element {{{holder}: {value}}}"
            );
        }
        remove(doc, &self.address);
        write(doc, &target, value)?;
        Ok(true)
    }
}
