//! Every filter operator that MongoDB 7.0 has: what it finds, or that it is refused by name.

use bson::{bson, doc};

use super::*;

/// The `_id`s that a filter finds.
fn found(condition: &Document) -> Result<Vec<i32>, crate::error::CommandError> {
    let documents = [
        doc! { "_id": 1, "n": 1, "s": "one", "list": [1, 2], "docs": [{ "x": 1 }] },
        doc! { "_id": 2, "n": 6, "s": "two", "list": [3] },
    ];
    let filter = Filter::parse(condition, &Document::new())?;
    let mut ids = Vec::new();
    for document in &documents {
        if filter.matches(document)? {
            ids.push(document.get_i32("_id").expect("an _id"));
        }
    }
    Ok(ids)
}

#[test]
fn every_operator_answers_or_is_refused_by_name() {
    let answered: Vec<(Document, &[i32])> = vec![
        (doc! { "n": { "$eq": 1 } }, &[1]),
        (doc! { "n": { "$ne": 1 } }, &[2]),
        (doc! { "n": { "$gt": 1 } }, &[2]),
        (doc! { "n": { "$gte": 6 } }, &[2]),
        (doc! { "n": { "$lt": 6 } }, &[1]),
        (doc! { "n": { "$lte": 1 } }, &[1]),
        (doc! { "n": { "$in": [6] } }, &[2]),
        (doc! { "n": { "$nin": [6] } }, &[1]),
        (doc! { "n": { "$not": { "$gt": 1 } } }, &[1]),
        (doc! { "$and": [{ "n": 1 }, { "s": "one" }] }, &[1]),
        (doc! { "$or": [{ "n": 1 }, { "n": 6 }] }, &[1, 2]),
        (doc! { "$nor": [{ "n": 1 }] }, &[2]),
        (doc! { "docs": { "$exists": true } }, &[1]),
        (doc! { "s": { "$type": "string" } }, &[1, 2]),
        (doc! { "$expr": { "$gt": ["$n", 1] } }, &[2]),
        (doc! { "$jsonSchema": { "required": ["docs"] } }, &[1]),
        (doc! { "n": { "$mod": [5, 1] } }, &[1, 2]),
        (doc! { "s": { "$regex": "^O", "$options": "i" } }, &[1]),
        (doc! { "list": { "$all": [1, 2] } }, &[1]),
        (doc! { "docs": { "$elemMatch": { "x": 1 } } }, &[1]),
        (doc! { "list": { "$size": 1 } }, &[2]),
        (doc! { "n": { "$bitsAllClear": 1 } }, &[2]),
        (doc! { "n": { "$bitsAllSet": 6 } }, &[2]),
        (doc! { "n": { "$bitsAnyClear": 2 } }, &[1]),
        (doc! { "n": { "$bitsAnySet": 1 } }, &[1]),
        (doc! { "$comment": "a remark", "n": 1 }, &[1]),
        (doc! { "$alwaysTrue": 1 }, &[1, 2]),
        (doc! { "$alwaysFalse": 1 }, &[]),
        (doc! { "$sampleRate": 1.0 }, &[1, 2]),
        (doc! { "$sampleRate": 0.0 }, &[]),
    ];
    for (condition, expected) in answered {
        match found(&condition) {
            Ok(found) => assert_eq!(found, expected, "{condition}"),
            Err(error) => panic!("{condition}: {error}"),
        }
    }
    let point = bson!({ "type": "Point", "coordinates": [0, 0] });
    let refused = [
        doc! { "$where": "true" },
        doc! { "$text": { "$search": "a" } },
        doc! { "n": { "$near": { "$geometry": &point } } },
        doc! { "n": { "$nearSphere": { "$geometry": &point } } },
        doc! { "n": { "$geoNear": [0, 0] } },
        doc! { "n": { "$geoWithin": { "$geometry": &point } } },
        doc! { "n": { "$within": { "$center": [[0, 0], 1] } } },
        doc! { "n": { "$geoIntersects": { "$geometry": &point } } },
        doc! { "n": { "$maxDistance": 1 } },
        doc! { "n": { "$minDistance": 1 } },
        doc! { "n": { "$geometry": &point } },
        doc! { "n": { "$box": [[0, 0], [1, 1]] } },
        doc! { "n": { "$center": [[0, 0], 1] } },
        doc! { "n": { "$centerSphere": [[0, 0], 1] } },
        doc! { "n": { "$polygon": [[0, 0], [1, 1]] } },
        doc! { "n": { "$uniqueDocs": true } },
        doc! { "n": { "$_internalExprEq": 1 } },
        doc! { "$_internalSchemaMinProperties": 1 },
        doc! { "$rand": {} },
    ];
    for condition in refused {
        let inner = condition.values().next().and_then(Bson::as_document);
        let outer = condition.keys().next().expect("a name");
        let name = match inner.and_then(|inner| inner.keys().next()) {
            Some(inner) if !outer.starts_with('$') => inner,
            _ => outer,
        };
        let error = found(&condition).expect_err(name);
        assert!(error.message.contains(name), "{condition}: {error}");
    }
}

#[test]
fn sample_rate_takes_about_its_share() {
    let half = filter(doc! { "$sampleRate": 0.5 });
    let taken = (0..4000)
        .filter(|n| half.matches(&doc! { "n": n }).expect("evaluation"))
        .count();
    // Twelve standard deviations.
    assert!((1620..2380).contains(&taken), "{taken} of 4000");
    assert_eq!(code(doc! { "$sampleRate": 1.5 }), 2);
    assert_eq!(code(doc! { "$sampleRate": "a" }), 2);
}
