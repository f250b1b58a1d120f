//! Random statements, in a transaction and as single ones: the answers and the data are the same.

use super::*;

/// The same random statements in a transaction and outside, on two collections: what a transaction
/// sees of itself, and what it leaves behind, is what statements do by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn sees_and_leaves_what_single_statements_would() {
    let server = TestServer::start().await;
    let mut raw = RawClient::connect(&server);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for name in ["a", "b"] {
        ok(&raw.run(&plain(doc! { "createIndexes": name, "indexes": [
            { "key": { "n": 1 }, "name": "n" },
            { "key": { "tags": 1, "n": -1 }, "name": "tags" },
            { "key": { "u": 1 }, "name": "u", "unique": true, "sparse": true },
        ] })));
    }
    for round in 0..25 {
        let mut first = true;
        for _ in 0..12 {
            let statement = random.statement();
            let on = |name: &str| {
                let mut command = Document::new();
                for (at, (key, value)) in statement.iter().enumerate() {
                    let value = if at == 0 { name.into() } else { value.clone() };
                    command.insert(key.clone(), value);
                }
                command
            };
            let outside = raw.run(&plain(on("b")));
            if outside.contains_key("writeErrors") {
                // A failure would end the transaction; statements that fail are left out of it.
                continue;
            }
            let inside = raw.run(&within(1, round, first, on("a")));
            first = false;
            assert_eq!(inside.get("n"), outside.get("n"), "{statement} {inside}");
            for read in reads() {
                let of = |name: &str| {
                    let mut command = doc! { "find": name };
                    command.extend(read.clone());
                    command
                };
                assert_eq!(
                    found(&raw.run(&within(1, round, false, of("a")))),
                    found(&raw.run(&plain(of("b")))),
                    "after {statement}: {read}"
                );
            }
        }
        if !first {
            ok(&raw.run(&end(1, round, "commitTransaction")));
        }
        let all = doc! { "sort": { "_id": 1 } };
        let of = |name: &str| {
            let mut command = doc! { "find": name, "batchSize": 10_000 };
            command.extend(all.clone());
            plain(command)
        };
        assert_eq!(found(&raw.run(&of("a"))), found(&raw.run(&of("b"))));
        let valid = raw.run(&plain(doc! { "validate": "a" }));
        assert!(valid.get_bool("valid").unwrap(), "{valid}");
    }
}

fn reads() -> [Document; 5] {
    [
        doc! { "filter": {}, "sort": { "_id": 1 }, "batchSize": 1000 },
        doc! { "filter": { "n": { "$gte": 2, "$lt": 6 } }, "sort": { "n": 1, "_id": 1 }, "batchSize": 1000 },
        doc! { "filter": { "tags": 3 }, "hint": "tags", "sort": { "_id": -1 }, "batchSize": 1000 },
        doc! { "filter": { "u": { "$lt": 10 } }, "sort": { "u": -1 }, "batchSize": 1000 },
        doc! { "filter": { "_id": { "$in": [1, 5, 9, 13] } }, "sort": { "_id": 1 }, "batchSize": 1000 },
    ]
}

/// A small generator of statements; the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: i32) -> i32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as i32
    }

    fn document(&mut self, id: i32) -> Document {
        let mut document = doc! { "_id": id, "n": self.below(8) };
        if self.below(2) == 0 {
            document.insert("tags", vec![self.below(5), self.below(5)]);
        }
        if self.below(2) == 0 {
            document.insert("u", self.below(20));
        }
        document
    }

    fn statement(&mut self) -> Document {
        let id = self.below(20);
        match self.below(5) {
            0 | 1 => doc! { "insert": "", "documents": [self.document(id)] },
            2 => {
                let update = doc! { "q": { "n": self.below(8) }, "u": {
                    "$inc": { "n": 1 }, "$push": { "tags": self.below(5) },
                }, "multi": true };
                doc! { "update": "", "updates": [update] }
            }
            3 => {
                let mut new = self.document(id);
                new.remove("_id");
                doc! { "update": "", "updates": [{ "q": { "_id": id }, "u": new, "upsert": true }] }
            }
            _ => {
                doc! { "delete": "", "deletes": [{ "q": { "_id": { "$gte": id, "$lt": id + 3 } }, "limit": 0 }] }
            }
        }
    }
}
