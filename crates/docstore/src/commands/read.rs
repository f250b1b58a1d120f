//! A query that gives its documents bit by bit: planned once, continued by `getMore` in later
//! snapshots.

use std::sync::Arc;

use bson::{Document, RawDocument};
use rusqlite::Connection;

use super::{call::Call, sort};
use crate::{
    bail,
    error::{Code, CommandError, Result},
    planner::{self, Hint},
    projection::Projection,
    query::Filter,
    spill::{Memory, Sorted, Sorter},
    storage::{
        catalog::{Catalog, Collection, IndexField, decode},
        entries, keys,
        scan::{self, Access, Counters, Flow, Position},
    },
    wire::writer::encode,
};

/// How often (in documents) a long read looks at its time.
const CHECK_EVERY: u64 = 128;

/// What to read.
#[derive(Debug, Default)]
pub struct ReadSpec {
    /// `database.collection`.
    pub ns: String,
    /// The filter.
    pub filter: Document,
    /// The sort pattern; empty for none.
    pub sort: Document,
    /// The projection; empty for none.
    pub projection: Document,
    /// Matching documents to leave out.
    pub skip: u64,
    /// Most documents; `None`: all.
    pub limit: Option<u64>,
    /// The index to use.
    pub hint: Option<Hint>,
    /// Begin within the hinted index, one value for each of its fields; empty for none.
    pub min: Document,
    /// End (not included) within the hinted index.
    pub max: Document,
    /// `let` variables, evaluated.
    pub variables: Document,
    /// The only top-level fields that whoever reads looks at; `None`: what the projection leaves.
    pub needed: Option<Vec<String>>,
    /// What sorting may take.
    pub memory: Memory,
}

/// What the sorts and stages of a call may take.
pub fn memory(call: &Call<'_>) -> Result<Memory> {
    let to_disk = call.args.optional_flag("allowDiskUse")?.unwrap_or(true);
    Ok(Memory {
        limit_bytes: call.service.config.max_stage_memory_bytes,
        disk: to_disk.then(|| Arc::clone(&call.service.spill)),
    })
}

/// A query under way.
#[derive(Debug)]
pub struct ReadQuery {
    ns: String,
    /// `None`: the collection did not exist.
    collection: Option<i64>,
    filter: Filter,
    /// The plan's way.
    pub access: Access,
    /// The filter need not be applied.
    pub exact: bool,
    /// What must be sorted in memory; empty where the way gives the order.
    pub blocking_sort: Vec<IndexField>,
    projection: Option<Projection>,
    skip: u64,
    limit: Option<u64>,
    memory: Memory,
    position: Position,
    sorted: Option<Sorted>,
    /// What was read so far.
    pub counters: Counters,
    done: bool,
}

impl ReadQuery {
    /// Parses and plans.
    pub fn new(connection: &Connection, catalog: &Catalog, spec: &ReadSpec) -> Result<Self> {
        let filter = Filter::parse(&spec.filter, &spec.variables)?;
        Self::with_filter(connection, catalog, spec, filter)
    }

    /// As [`Self::new`], with a filter that was parsed before.
    pub fn with_filter(
        connection: &Connection,
        catalog: &Catalog,
        spec: &ReadSpec,
        filter: Filter,
    ) -> Result<Self> {
        let projection = match spec.projection.is_empty() {
            true => None,
            false => Some(Projection::parse(&spec.projection, &spec.variables)?),
        };
        let natural = sort::natural(&spec.sort);
        let sort = if natural.is_some() {
            Vec::new()
        } else {
            sort::parse(&spec.sort)?
        };
        let hint = natural.map(Hint::Natural).or_else(|| spec.hint.clone());
        let mut query = Self {
            ns: spec.ns.clone(),
            collection: None,
            filter,
            access: Access::Nothing,
            exact: false,
            blocking_sort: Vec::new(),
            projection,
            skip: spec.skip,
            limit: spec.limit,
            memory: spec.memory.clone(),
            position: Position::default(),
            sorted: None,
            counters: Counters::default(),
            done: false,
        };
        match catalog.get(&spec.ns) {
            Some(collection) => {
                let plan = planner::plan(
                    connection,
                    collection,
                    &query.filter,
                    &spec.filter,
                    &sort,
                    hint.as_ref(),
                )?;
                query.collection = Some(collection.id);
                query.access = plan.access;
                query.exact = plan.exact;
                if !spec.min.is_empty() || !spec.max.is_empty() {
                    query.access =
                        planner::between(query.access, hint.as_ref(), &spec.min, &spec.max)?;
                    query.exact = query.filter.is_empty();
                }
                query.blocking_sort = if plan.sorted { Vec::new() } else { sort };
                query.cover(spec);
            }
            None => query.done = true,
        }
        Ok(query)
    }

    /// Reads from index entries alone where they have all fields that anyone looks at.
    fn cover(&mut self, spec: &ReadSpec) {
        let wanted = match (&self.projection, &spec.needed) {
            (Some(projection), _) => projection.included(),
            (None, needed) => needed.clone(),
        };
        let filtered = match self.exact {
            true => Some(Vec::new()),
            false => self.filter.fields(),
        };
        if let Access::Index { index, covered, .. } = &mut self.access
            && self.blocking_sort.is_empty()
            && let (Some(mut wanted), Some(filtered)) = (wanted, filtered)
        {
            wanted.extend(filtered);
            wanted.sort_unstable();
            wanted.dedup();
            if entries::can_tell(&index.fields, index.seen(), &wanted) {
                *covered = Some(wanted);
            }
        }
    }

    /// Whether documents are not read, as far as index entries tell what is asked for.
    pub fn is_covered(&self) -> bool {
        matches!(
            &self.access,
            Access::Index {
                covered: Some(_),
                ..
            }
        )
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Gives documents to `emit` until it stops or none is left. `check` is called now and then.
    pub fn fill(
        &mut self,
        connection: &Connection,
        catalog: &Catalog,
        check: &dyn Fn() -> Result<()>,
        emit: &mut dyn FnMut(&[u8]) -> Result<Flow>,
    ) -> Result<()> {
        if self.limit == Some(0) {
            self.done = true;
        }
        if self.done {
            return Ok(());
        }
        let collection = self.collection(catalog)?;
        if self.blocking_sort.is_empty() {
            return self.fill_from_scan(connection, &collection, check, emit);
        }
        if self.sorted.is_none() {
            self.sorted = Some(self.sort(connection, &collection, check)?);
        }
        self.fill_from_sorted(check, emit)
    }

    /// The collection that was planned for; gone or remade collections end the query.
    fn collection(&self, catalog: &Catalog) -> Result<Arc<Collection>> {
        let found = catalog
            .iter()
            .find(|collection| Some(collection.id) == self.collection);
        let Some(collection) = catalog
            .get(&self.ns)
            .filter(|collection| Some(collection.id) == self.collection)
            .or(found)
        else {
            bail!(QueryPlanKilled, "collection dropped: {}", self.ns)
        };
        if let Access::Index { index, .. } = &self.access
            && !collection.indexes.iter().any(|other| other.id == index.id)
        {
            bail!(QueryPlanKilled, "index '{}' dropped", index.name);
        }
        Ok(Arc::clone(collection))
    }

    fn fill_from_scan(
        &mut self,
        connection: &Connection,
        collection: &Collection,
        check: &dyn Fn() -> Result<()>,
        emit: &mut dyn FnMut(&[u8]) -> Result<Flow>,
    ) -> Result<()> {
        let Self {
            filter,
            access,
            exact,
            projection,
            skip,
            limit,
            position,
            counters,
            ..
        } = self;
        let mut seen = 0_u64;
        scan::scan(
            connection,
            collection,
            access,
            position,
            counters,
            &mut |_, bytes| {
                seen += 1;
                if seen.is_multiple_of(CHECK_EVERY) {
                    check()?;
                }
                if !*exact && !filter.matches_raw(raw(bytes)?)? {
                    return Ok(Flow::Continue);
                }
                if *skip > 0 {
                    *skip -= 1;
                    return Ok(Flow::Continue);
                }
                let flow = project(projection.as_ref(), filter, bytes, emit)?;
                if flow != Flow::StopBefore
                    && let Some(limit) = limit
                {
                    *limit -= 1;
                    if *limit == 0 {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(flow)
            },
        )?;
        self.done = self.position.done || self.limit == Some(0);
        Ok(())
    }

    fn sort(
        &mut self,
        connection: &Connection,
        collection: &Collection,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<Sorted> {
        let wanted = self
            .limit
            .map(|limit| usize::try_from(limit.saturating_add(self.skip)).unwrap_or(usize::MAX));
        let mut sorter = Sorter::new("Sort", wanted, &self.memory);
        let mut key = Vec::new();
        let Self {
            filter,
            access,
            exact,
            position,
            counters,
            blocking_sort,
            ..
        } = self;
        let mut seen = 0_u64;
        scan::scan(
            connection,
            collection,
            access,
            position,
            counters,
            &mut |_, bytes| {
                seen += 1;
                if seen.is_multiple_of(CHECK_EVERY) {
                    check()?;
                }
                let raw = raw(bytes)?;
                if !*exact && !filter.matches_raw(raw)? {
                    return Ok(Flow::Continue);
                }
                key.clear();
                keys::sort_key(raw, blocking_sort, &mut key).map_err(sort::parallel_arrays)?;
                sorter.push(&key, bytes)?;
                Ok(Flow::Continue)
            },
        )?;
        let mut sorted = sorter.finish()?;
        while self.skip > 0 && !sorted.is_empty() {
            self.skip -= 1;
            sorted.pop()?;
        }
        self.skip = 0;
        Ok(sorted)
    }

    fn fill_from_sorted(
        &mut self,
        check: &dyn Fn() -> Result<()>,
        emit: &mut dyn FnMut(&[u8]) -> Result<Flow>,
    ) -> Result<()> {
        let Some(sorted) = &mut self.sorted else {
            return Ok(());
        };
        let mut given = 0_u64;
        while let Some((_, bytes)) = sorted.front() {
            given += 1;
            if given.is_multiple_of(CHECK_EVERY) {
                check()?;
            }
            let flow = project(self.projection.as_ref(), &self.filter, bytes, emit)?;
            if flow == Flow::StopBefore {
                return Ok(());
            }
            sorted.pop()?;
            if let Some(limit) = &mut self.limit {
                *limit -= 1;
            }
            if self.limit == Some(0) || sorted.is_empty() {
                break;
            }
            if flow == Flow::Stop {
                return Ok(());
            }
        }
        self.done = true;
        // Gives its memory and file back though the cursor may live on.
        self.sorted = None;
        Ok(())
    }
}

fn project(
    projection: Option<&Projection>,
    filter: &Filter,
    bytes: &[u8],
    emit: &mut dyn FnMut(&[u8]) -> Result<Flow>,
) -> Result<Flow> {
    match projection {
        None => emit(bytes),
        Some(projection) => {
            let document = decode(bytes)?;
            emit(&encode(&projection.apply(&document, Some(filter))?)?)
        }
    }
}

/// A raw document out of stored bytes.
pub fn raw(bytes: &[u8]) -> Result<&RawDocument> {
    RawDocument::from_bytes(bytes)
        .map_err(|error| CommandError::new(Code::InvalidBSON, error.to_string()))
}
