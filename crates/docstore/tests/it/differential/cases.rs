//! What is asked: random documents, indexes, queries and writes.

use bson::{Bson, Document, doc};
use proptest::{collection::vec, prelude::*};

/// Random cases; `DOCSTORE_DIFFERENTIAL_CASES` asks for more.
pub(super) fn cases() -> u32 {
    std::env::var("DOCSTORE_DIFFERENTIAL_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(500)
}

#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) filter: Document,
    pub(super) sort: Document,
    pub(super) skip: u64,
    pub(super) limit: i64,
    pub(super) batch_size: u32,
    /// Which of the indexes to insist on, if any.
    pub(super) hint: Option<prop::sample::Index>,
}

#[derive(Debug, Clone)]
pub(super) enum Write {
    Update { filter: Document, update: Document },
    Delete { filter: Document },
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) documents: Vec<Document>,
    pub(super) indexes: Vec<(Document, Option<bool>)>,
    pub(super) indexes_first: bool,
    pub(super) steps: Vec<(Query, Write)>,
}

fn scalar() -> impl Strategy<Value = Bson> {
    prop_oneof![
        3 => (0..4_i32).prop_map(Bson::Int32),
        1 => (0..4_i64).prop_map(Bson::Int64),
        1 => (0..8_i32).prop_map(|n| Bson::Double(f64::from(n) / 2.0)),
        2 => "[ab]{0,2}".prop_map(Bson::String),
        1 => Just(Bson::Null),
        1 => any::<bool>().prop_map(Bson::Boolean),
    ]
}

fn value() -> impl Strategy<Value = Bson> {
    scalar().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Bson::Array),
            vec(("[xy]", inner), 0..3)
                .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
        ]
    })
}

fn document() -> impl Strategy<Value = Document> {
    vec(("[abc]", prop_oneof![scalar(), value()]), 0..4).prop_map(Document::from_iter)
}

fn comparison() -> impl Strategy<Value = (String, Bson)> {
    ("\\$(eq|ne|gt|gte|lt|lte)", value())
}

fn operator() -> impl Strategy<Value = (String, Bson)> {
    prop_oneof![
        4 => ("\\$(eq|gt|gte|lt|lte|ne)", scalar()),
        2 => comparison(),
        2 => ("\\$(in|nin)", vec(value(), 0..4).prop_map(Bson::Array)),
        1 => any::<bool>().prop_map(|wanted| ("$exists".to_owned(), Bson::Boolean(wanted))),
        1 => (0..3_i32).prop_map(|size| ("$size".to_owned(), Bson::Int32(size))),
        1 => vec(comparison(), 1..3).prop_map(|all| ("$elemMatch".to_owned(), documents_of(all))),
        1 => vec(comparison(), 1..3).prop_map(|all| ("$not".to_owned(), documents_of(all))),
    ]
}

fn documents_of(fields: Vec<(String, Bson)>) -> Bson {
    Bson::Document(fields.into_iter().collect())
}

fn filter() -> impl Strategy<Value = Document> {
    let path = prop_oneof![3 => "[abc]", 1 => "[abc]\\.[xy0]", 1 => Just("_id".to_owned())];
    let condition = prop_oneof![
        1 => value(),
        3 => vec(operator(), 1..3).prop_map(documents_of),
    ];
    let plain = vec((path, condition), 0..3).prop_map(Document::from_iter);
    plain.prop_recursive(1, 4, 3, |inner| {
        ("\\$(and|or|nor)", vec(inner, 1..3)).prop_map(|(name, branches)| doc! { name: branches })
    })
}

/// Fields with directions; no two paths share their first name.
fn pattern(paths: &'static str) -> impl Strategy<Value = Document> {
    vec((paths, any::<bool>()), 1..3).prop_map(|fields| {
        let mut pattern = Document::new();
        for (path, up) in fields {
            if !pattern.keys().any(|other| other[..1] == path[..1]) {
                pattern.insert(path, if up { 1 } else { -1 });
            }
        }
        pattern
    })
}

fn query() -> impl Strategy<Value = Query> {
    let sort = prop_oneof![Just(Document::new()), pattern("[abc](\\.[xy])?|_id")];
    let hint = prop::option::weighted(0.3, any::<prop::sample::Index>());
    (filter(), sort, 0..3_u64, 0..5_i64, 1..6_u32, hint).prop_map(
        |(filter, sort, skip, limit, batch_size, hint)| Query {
            filter,
            sort,
            skip,
            limit,
            batch_size,
            hint,
        },
    )
}

fn write() -> impl Strategy<Value = Write> {
    let operator = prop_oneof![
        ("\\$(set|min|max|push|addToSet|pull)", scalar()),
        ("\\$set", value()),
        ("\\$inc", (0..3_i32).prop_map(Bson::Int32)),
        ("\\$unset", Just(Bson::Boolean(true))),
    ];
    let update = vec(("[abc]", operator), 1..3).prop_map(|changes| {
        let mut update = Document::new();
        let mut taken: Vec<String> = Vec::new();
        for (field, (operator, operand)) in changes {
            if !taken.contains(&field) {
                let fields = update.entry(operator).or_insert(Bson::Document(doc! {}));
                fields.as_document_mut().unwrap().insert(&field, operand);
                taken.push(field);
            }
        }
        update
    });
    prop_oneof![
        4 => (filter(), update).prop_map(|(filter, update)| Write::Update { filter, update }),
        1 => filter().prop_map(|filter| Write::Delete { filter }),
    ]
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let index = (
        pattern("[abc](\\.[xy])?"),
        prop::option::weighted(0.3, any::<bool>()),
    );
    (
        vec(document(), 0..14),
        vec(index, 0..4),
        any::<bool>(),
        vec((query(), write()), 1..4),
    )
        .prop_map(|(documents, indexes, indexes_first, steps)| Case {
            documents: documents
                .into_iter()
                .enumerate()
                .map(|(at, document)| {
                    let mut with_id = doc! { "_id": at as i32 };
                    with_id.extend(document);
                    with_id
                })
                .collect(),
            indexes,
            indexes_first,
            steps,
        })
}
