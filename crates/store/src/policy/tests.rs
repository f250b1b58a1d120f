use mongodb::bson::{Bson, Document, RawDocumentBuf, bson, doc};

use super::*;
use crate::access::Full;

const OWN: &str = "mozaiks_shop";

fn checked(command: &Document) -> Result<Kind, StoreError> {
    let raw = RawDocumentBuf::try_from(command).expect("BSON");
    check(&raw, OWN, &Full).map(|checked| checked.kind)
}

/// Stages that reach another database, the gateway's, or run code.
fn forbidden_stages() -> Vec<Document> {
    let mut stages = vec![
        doc! { "$match": { "$where": "true" } },
        doc! { "$match": { "$and": [{ "a": 1 }, { "$where": "true" }] } },
        doc! { "$match": { "$expr": { "$function": { "body": "f", "args": [], "lang": "js" } } } },
        doc! { "$project": { "x": { "$add": [1, { "$function": { "body": "f" } }] } } },
        doc! { "$group": { "_id": 1, "x": { "$accumulator": { "init": "f" } } } },
        doc! { "$setWindowFields": { "output": { "x": { "$function": {} } } } },
        doc! { "$currentOp": {} },
        doc! { "$listSessions": {} },
        doc! { "$listLocalSessions": {} },
        doc! { "$planCacheStats": {} },
        doc! { "$collStats": {} },
        doc! { "$indexStats": {} },
        doc! { "$queryStats": {} },
        doc! { "$shardedDataDistribution": {} },
        doc! { "$_internalInhibitOptimization": {} },
        doc! { "$match": { "$_internalExprEq": 1 } },
        doc! { "$rankFusion": { "input": { "pipelines": {} } } },
        doc! { "$changeStream": { "allChangesForCluster": true } },
        doc! { "$changeStream": { "allChangesForCluster": 1 } },
        doc! { "$unknown": {} },
        doc! { "$lookup": { "from": "system.users", "as": "x" } },
        doc! { "$out": "$cmd" },
        doc! { "$out": "system.js" },
        doc! { "$unionWith": "system.views" },
        // An allowed key before it does not hide the second.
        doc! { "$match": {}, "$currentOp": {} },
    ];
    for db in [
        "mozaiks_bank",
        "mozaiks_control",
        "mozaiks",
        "admin",
        "MOZAIKS_SHOP",
        "",
    ] {
        stages.extend([
            doc! { "$out": { "db": db, "coll": "c" } },
            doc! { "$merge": { "into": { "db": db, "coll": "c" } } },
            doc! { "$merge": { "into": { "coll": "c", "db": db }, "whenMatched": "merge" } },
            doc! { "$lookup": { "from": { "db": db, "coll": "c" }, "as": "x" } },
            doc! { "$lookup": { "from": "c", "db": db, "as": "x" } },
            doc! { "$graphLookup": { "from": { "db": db, "coll": "c" }, "as": "x" } },
            doc! { "$unionWith": { "db": db, "coll": "c" } },
            doc! { "$unionWith": { "coll": { "db": db, "coll": "c" } } },
        ]);
    }
    // A name of another type is no name.
    for odd in [bson!(1), bson!(["c"]), Bson::Null] {
        stages.push(doc! { "$out": { "db": odd.clone(), "coll": "c" } });
        stages.push(doc! { "$merge": { "into": { "db": odd.clone(), "coll": "c" } } });
        stages.push(doc! { "$lookup": { "from": odd, "as": "x" } });
    }
    stages
}

/// The places where a stage can stand.
fn nested(stage: &Document) -> Vec<Vec<Document>> {
    let twice = doc! { "$unionWith": { "coll": "c", "pipeline": [stage.clone()] } };
    vec![
        vec![stage.clone()],
        vec![doc! { "$match": {} }, stage.clone()],
        vec![doc! { "$facet": { "a": [], "b": [{ "$limit": 1 }, stage.clone()] } }],
        vec![doc! { "$lookup": { "from": "c", "pipeline": [stage.clone()], "as": "x" } }],
        vec![doc! { "$unionWith": { "coll": "c", "pipeline": [stage.clone()] } }],
        vec![doc! { "$unionWith": { "pipeline": [stage.clone()] } }],
        vec![doc! { "$merge": { "into": "c", "whenMatched": [stage.clone()] } }],
        vec![doc! { "$facet": { "a": [twice.clone()] } }],
        vec![doc! { "$lookup": { "pipeline": [{ "$facet": { "a": [twice] } }], "from": "c" } }],
    ]
}

/// The commands that take a pipeline.
fn commands(pipeline: &[Document]) -> Vec<Document> {
    let pipeline = pipeline.to_vec();
    let aggregate = doc! { "aggregate": "c", "pipeline": pipeline.clone(), "cursor": {} };
    vec![
        aggregate.clone(),
        doc! { "aggregate": 1, "pipeline": pipeline.clone(), "cursor": {} },
        doc! { "aggregate": "c", "pipeline": pipeline.clone(), "explain": true },
        doc! { "explain": aggregate, "verbosity": "queryPlanner" },
        doc! { "update": "c", "updates": [{ "q": {}, "u": pipeline.clone() }] },
        doc! { "findAndModify": "c", "query": {}, "update": pipeline.clone() },
        doc! { "findandmodify": "c", "query": {}, "update": pipeline.clone() },
        doc! { "explain": { "update": "c", "updates": [{ "q": {}, "u": pipeline.clone() }] } },
        doc! { "create": "v", "viewOn": "c", "pipeline": pipeline.clone() },
        doc! { "collMod": "v", "viewOn": "c", "pipeline": pipeline },
    ]
}

#[test]
fn no_stage_leaves_the_database_wherever_it_stands() {
    let mut count = 0;
    for stage in forbidden_stages() {
        for pipeline in nested(&stage) {
            for command in commands(&pipeline) {
                let error = checked(&command).expect_err(&command.to_string());
                assert_eq!(error.kind, StoreErrorKind::Invalid, "{command}");
                count += 1;
            }
        }
    }
    assert!(count > 5000, "{count}");
}

#[test]
fn code_is_refused_in_every_field() {
    let code = [
        doc! { "$where": "true" },
        doc! { "a": { "$elemMatch": { "$where": "true" } } },
        doc! { "$nor": [{ "$expr": { "$eq": [1, { "$function": {} }] } }] },
        doc! { "x": { "$reduce": { "in": { "$accumulator": {} } } } },
    ];
    for code in code {
        for command in [
            doc! { "find": "c", "filter": code.clone() },
            doc! { "find": "c", "projection": code.clone() },
            doc! { "find": "c", "sort": code.clone() },
            doc! { "find": "c", "let": code.clone() },
            doc! { "count": "c", "query": code.clone() },
            doc! { "distinct": "c", "key": "k", "query": code.clone() },
            doc! { "delete": "c", "deletes": [{ "q": code.clone(), "limit": 0 }] },
            doc! { "update": "c", "updates": [{ "q": code.clone(), "u": { "$set": { "a": 1 } } }] },
            doc! { "update": "c", "updates": [{ "q": {}, "u": {}, "arrayFilters": [code.clone()] }] },
            doc! { "update": "c", "updates": [{ "q": {}, "u": { "$pull": { "a": code.clone() } } }] },
            doc! { "findAndModify": "c", "query": code.clone(), "remove": true },
            doc! { "explain": { "find": "c", "filter": code.clone() } },
            doc! { "create": "c", "validator": code.clone() },
            doc! { "collMod": "c", "validator": code.clone() },
            doc! { "createIndexes": "c", "indexes": [{ "partialFilterExpression": code.clone() }] },
        ] {
            let error = checked(&command).expect_err(&command.to_string());
            assert_eq!(error.code, Some(UNAUTHORIZED), "{command}");
        }
    }
}

#[test]
fn only_known_commands_pass() {
    let refused = [
        "applyOps",
        "authenticate",
        "cloneCollection",
        "cloneCollectionAsCapped",
        "clone",
        "collMod2",
        "compact",
        "connectionStatus",
        "convertToCapped",
        "copydb",
        "createRole",
        "createUser",
        "currentOp",
        "dbHash",
        "dropAllUsersFromDatabase",
        "dropDatabase",
        "dropRole",
        "dropUser",
        "enableSharding",
        "eval",
        "$eval",
        "filemd5",
        "find2",
        "fsync",
        "geoSearch",
        "getCmdLineOpts",
        "getLog",
        "getParameter",
        "grantRolesToUser",
        "hostInfo",
        "isMaster",
        "killAllSessions",
        "killOp",
        "killSessions",
        "listCommands",
        "listDatabases",
        "logout",
        "mapReduce",
        "mapreduce",
        "movePrimary",
        "profile",
        "reIndex",
        "refreshSessions",
        "replSetGetStatus",
        "rolesInfo",
        "saslStart",
        "serverStatus",
        "setParameter",
        "shutdown",
        "top",
        "updateUser",
        "usersInfo",
        "whatsmyuri",
        "FIND",
        "Aggregate",
        "",
    ];
    for name in refused {
        let error = checked(&doc! { name: "c" }).expect_err(name);
        assert_eq!(error.code, Some(UNAUTHORIZED), "{name}");
        checked(&doc! { "explain": { name: "c" } }).expect_err(name);
        // The first field is the command, whatever else is there.
        checked(&doc! { name: "c", "find": "c" }).expect_err(name);
    }
}

#[test]
fn fields_of_the_host_are_refused() {
    for field in HOST_FIELDS
        .iter()
        .copied()
        .chain(["$db", "$clusterTime", "$audit", "$configTime"])
    {
        checked(&doc! { "find": "c", field: "other" }).expect_err(field);
        checked(&doc! { "explain": { "find": "c", field: "other" } }).expect_err(field);
    }
    // What is the host's at the top is nobody's within.
    checked(&doc! { "explain": { "find": "c", "$gateway": {} } }).expect_err("nested");
}

#[test]
fn collections_are_names_of_documents() {
    for name in [
        "find",
        "aggregate",
        "insert",
        "create",
        "drop",
        "listIndexes",
        "renameCollection",
    ] {
        for odd in [
            bson!("system.users"),
            bson!("$cmd.sys.inprog"),
            bson!("a\0b"),
            bson!(""),
            bson!(2),
            bson!({ "db": "other", "coll": "c" }),
            bson!(["c"]),
        ] {
            checked(&doc! { name: odd.clone() }).expect_err(&format!("{name} {odd}"));
        }
    }
    for odd in ["system.views", "$cmd"] {
        checked(&doc! { "renameCollection": "c", "to": odd }).expect_err(odd);
        checked(&doc! { "create": "v", "viewOn": odd, "pipeline": [] }).expect_err(odd);
    }
}

#[test]
fn what_plugins_do_every_day_passes() {
    let stages = [
        doc! { "$lookup": { "from": "c", "let": { "x": "$a" }, "pipeline": [{ "$match": {} }], "as": "y" } },
        doc! { "$lookup": { "from": { "db": OWN, "coll": "c" }, "as": "y" } },
        doc! { "$graphLookup": { "from": "c", "startWith": "$a", "connectFromField": "a", "connectToField": "b", "as": "x" } },
        doc! { "$unionWith": "c" },
        doc! { "$unionWith": { "coll": "c", "pipeline": [{ "$limit": 1 }] } },
        doc! { "$facet": { "a": [{ "$count": "n" }], "b": [{ "$sortByCount": "$x" }] } },
        doc! { "$project": { "pipeline": 1, "from": "$db", "x": { "$cond": [true, "$a", "$b"] } } },
        doc! { "$match": { "pipeline": [{ "step": 1 }], "into": { "db": "elsewhere" } } },
        doc! { "$merge": { "into": { "db": OWN, "coll": "c" }, "whenMatched": [{ "$set": { "a": 1 } }] } },
        doc! { "$merge": "c" },
        doc! { "$out": "c" },
        doc! { "$out": { "db": OWN, "coll": "c" } },
        doc! { "$changeStream": { "fullDocument": "updateLookup", "allChangesForCluster": false } },
    ];
    for stage in stages {
        let command = doc! { "aggregate": "c", "pipeline": [stage], "cursor": {} };
        assert_eq!(checked(&command).expect("allowed"), Kind::Read, "{command}");
    }
    let stored = doc! { "$where": 1, "$merge": { "into": { "db": "x", "coll": "y" } } };
    for (command, kind) in [
        (
            doc! { "insert": "c", "documents": [stored.clone()] },
            Kind::Write,
        ),
        (
            doc! { "update": "c", "updates": [{ "q": {}, "u": { "$set": { "a": stored.clone() } } }] },
            Kind::Write,
        ),
        (
            doc! { "findAndModify": "c", "update": { "$push": { "a": stored } } },
            Kind::Write,
        ),
        (
            doc! { "find": "some.thing", "filter": { "a": { "$gt": 1 } }, "$readPreference": {} },
            Kind::Read,
        ),
        (doc! { "listIndexes": "c" }, Kind::List),
        (doc! { "listCollections": 1, "nameOnly": true }, Kind::List),
        (doc! { "ping": 1 }, Kind::Ask),
        (
            doc! { "commitTransaction": 1, "$gateway": { "session": 1_i64 } },
            Kind::Commit,
        ),
    ] {
        assert_eq!(checked(&command).expect("allowed"), kind, "{command}");
    }
}

#[test]
fn depth_is_bounded() {
    let mut filter = doc! { "a": 1 };
    for _ in 0..MAX_DEPTH + 5 {
        filter = doc! { "$and": [filter] };
    }
    let error = checked(&doc! { "find": "c", "filter": filter }).expect_err("too deep");
    assert!(error.message.contains("levels"), "{error}");
}
