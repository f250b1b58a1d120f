mod arrays;
mod differential;
mod names;
mod operators;
mod planner;

use bson::{Bson, Document, RawDocumentBuf};

use super::Filter;

fn filter(filter: Document) -> Filter {
    Filter::parse(&filter, &Document::new()).expect("a valid filter")
}

fn code(filter: Document) -> i32 {
    Filter::parse(&filter, &Document::new())
        .expect_err("an invalid filter")
        .code
}

fn matches(condition: &Document, doc: &Document) -> bool {
    let parsed = filter(condition.clone());
    let answer = parsed.matches(doc).expect("evaluation");
    let raw = RawDocumentBuf::try_from(doc).expect("encodable");
    assert_eq!(
        parsed.matches_raw(&raw).expect("raw evaluation"),
        answer,
        "{condition} {doc}"
    );
    answer
}

/// Each document that should match, then each that should not.
fn check(condition: Document, yes: &[Document], no: &[Document]) {
    for doc in yes {
        assert!(matches(&condition, doc), "{condition} should match {doc}");
    }
    for doc in no {
        assert!(
            !matches(&condition, doc),
            "{condition} should not match {doc}"
        );
    }
}

fn regex(pattern: &str, options: &str) -> Bson {
    Bson::RegularExpression(bson::Regex {
        pattern: pattern.try_into().expect("no NUL"),
        options: options.try_into().expect("no NUL"),
    })
}
