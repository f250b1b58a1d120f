use super::*;

#[test]
fn joins_and_parts() {
    gives(doc! {}, doc! { "$concat": ["a", "b"] }, "ab");
    gives(doc! {}, doc! { "$concat": ["a", "$x"] }, Bson::Null);
    fails(doc! {}, doc! { "$concat": ["a", 1] }, 16702);
    gives(doc! {}, doc! { "$substrBytes": ["hello", 1, 3] }, "ell");
    gives(doc! {}, doc! { "$substr": ["hello", 2, -1] }, "llo");
    gives(doc! {}, doc! { "$substr": [12345, 1, 2] }, "23");
    gives(doc! {}, doc! { "$substr": ["a", 5, 1] }, "");
    fails(doc! {}, doc! { "$substrBytes": ["é", 1, 1] }, 28656);
    fails(doc! {}, doc! { "$substrBytes": ["é", 0, 1] }, 28657);
    fails(doc! {}, doc! { "$substrBytes": ["a", -1, 1] }, 50752);
    gives(doc! {}, doc! { "$substrCP": ["héllo", 1, 2] }, "él");
    fails(doc! {}, doc! { "$substrCP": ["a", -1, 1] }, 34455);
    gives(
        doc! {},
        doc! { "$split": ["a-b-", "-"] },
        bson!(["a", "b", ""]),
    );
    gives(doc! {}, doc! { "$split": ["$x", "-"] }, Bson::Null);
    fails(doc! {}, doc! { "$split": ["a", ""] }, 40087);
    fails(doc! {}, doc! { "$split": [1, "-"] }, 40085);
}

#[test]
fn cases_lengths_and_trims() {
    gives(doc! {}, doc! { "$toLower": "AbÉ" }, "abÉ");
    gives(doc! {}, doc! { "$toUpper": "$x" }, "");
    fails(doc! {}, doc! { "$toUpper": [[1]] }, 16007);
    gives(doc! {}, doc! { "$strcasecmp": ["ABC", "abd"] }, -1);
    gives(doc! {}, doc! { "$strLenBytes": "é" }, 2);
    gives(doc! {}, doc! { "$strLenCP": "é" }, 1);
    fails(doc! {}, doc! { "$strLenBytes": "$x" }, 34473);
    fails(doc! {}, doc! { "$strLenCP": 1 }, 34471);
    gives(doc! {}, doc! { "$trim": { "input": " \n a b\t" } }, "a b");
    gives(
        doc! {},
        doc! { "$ltrim": { "input": "xxaxx", "chars": "x" } },
        "axx",
    );
    gives(
        doc! {},
        doc! { "$rtrim": { "input": "xxaxx", "chars": "x" } },
        "xxa",
    );
    gives(
        doc! {},
        doc! { "$trim": { "input": "a", "chars": Bson::Null } },
        Bson::Null,
    );
    gives(doc! {}, doc! { "$trim": { "input": "$x" } }, Bson::Null);
    fails(doc! {}, doc! { "$trim": { "input": 1 } }, 50699);
    fails(doc! {}, doc! { "$trim": { "chars": "x" } }, 50695);
    fails(doc! {}, doc! { "$trim": "x" }, 50696);
}

#[test]
fn searches_and_replacements() {
    gives(doc! {}, doc! { "$indexOfBytes": ["héllo", "l"] }, 3);
    gives(doc! {}, doc! { "$indexOfCP": ["héllo", "l"] }, 2);
    gives(doc! {}, doc! { "$indexOfCP": ["hello", "l", 3] }, 3);
    gives(doc! {}, doc! { "$indexOfCP": ["hello", "o", 0, 4] }, -1);
    gives(doc! {}, doc! { "$indexOfBytes": ["abc", "c", 9] }, -1);
    gives(doc! {}, doc! { "$indexOfBytes": ["$x", "c"] }, Bson::Null);
    fails(doc! {}, doc! { "$indexOfBytes": [1, "c"] }, 40091);
    fails(doc! {}, doc! { "$indexOfCP": ["a", 1] }, 40094);
    let arguments = doc! { "input": "a-a", "find": "a", "replacement": "bb" };
    gives(doc! {}, doc! { "$replaceOne": arguments.clone() }, "bb-a");
    gives(doc! {}, doc! { "$replaceAll": arguments }, "bb-bb");
    gives(
        doc! {},
        doc! { "$replaceAll": { "input": "a", "find": Bson::Null, "replacement": "b" } },
        Bson::Null,
    );
    fails(
        doc! {},
        doc! { "$replaceOne": { "input": 1, "find": "a", "replacement": "b" } },
        51746,
    );
}

#[test]
fn regular_expressions() {
    let root = doc! { "s": "héllo hello", "p": "h(.)l" };
    gives(
        root.clone(),
        doc! { "$regexMatch": { "input": "$s", "regex": "HEL", "options": "i" } },
        true,
    );
    gives(
        root.clone(),
        doc! { "$regexMatch": { "input": "$none", "regex": "a" } },
        false,
    );
    gives(
        root.clone(),
        doc! { "$regexFind": { "input": "$s", "regex": "$p" } },
        doc! { "match": "hél", "idx": 0, "captures": ["é"] },
    );
    gives(
        root.clone(),
        doc! { "$regexFind": { "input": "$s", "regex": "zzz" } },
        Bson::Null,
    );
    gives(
        root.clone(),
        doc! { "$regexFindAll": { "input": "$s", "regex": "l(x)?o" } },
        bson!([
            { "match": "lo", "idx": 3, "captures": [Bson::Null] },
            { "match": "lo", "idx": 9, "captures": [Bson::Null] },
        ]),
    );
    gives(
        root.clone(),
        doc! { "$regexFindAll": { "input": Bson::Null, "regex": "a" } },
        bson!([]),
    );
    fails(
        root.clone(),
        doc! { "$regexMatch": { "input": 1, "regex": "a" } },
        51104,
    );
    fails(
        root.clone(),
        doc! { "$regexMatch": { "input": "a", "regex": 1 } },
        51105,
    );
    fails(
        root.clone(),
        doc! { "$regexMatch": { "input": "a", "regex": "(" } },
        51111,
    );
    fails(
        root.clone(),
        doc! { "$regexMatch": { "input": "a", "regex": "a", "options": "q" } },
        51108,
    );
    fails(root, doc! { "$regexMatch": { "input": "a" } }, 31023);
}

#[test]
fn empty_matches_go_on_character_by_character() {
    let places = |input: &str, regex: &str| {
        let call = bson!({ "$regexFindAll": { "input": input, "regex": regex } });
        let Ok(Some(Bson::Array(found))) = eval(&doc! {}, &call) else {
            panic!("an array")
        };
        found
            .iter()
            .map(|found| {
                let found = found.as_document().expect("a match");
                (
                    found.get_i32("idx").expect("idx"),
                    found.get_str("match").expect("match").to_owned(),
                )
            })
            .collect::<Vec<_>>()
    };
    let at = |places: &[(i32, &str)]| -> Vec<(i32, String)> {
        places
            .iter()
            .map(|(at, text)| (*at, (*text).to_owned()))
            .collect()
    };
    assert_eq!(places("abc", ""), at(&[(0, ""), (1, ""), (2, "")]));
    assert_eq!(places("äß€", ""), at(&[(0, ""), (1, ""), (2, "")]));
    assert_eq!(places("", ""), at(&[(0, "")]));
    assert_eq!(places("", "x"), at(&[]));
    assert_eq!(places("baac", "a*"), at(&[(0, ""), (1, "aa"), (3, "")]));
    assert_eq!(places("aXbX", "X"), at(&[(1, "X"), (3, "X")]));
    assert_eq!(places("ab", "^"), at(&[(0, "")]));
}
