use super::*;

#[track_caller]
fn column(output: Bson, expected: Bson) {
    let input = bson!([
        { "_id": 1, "k": "a", "n": 1 }, { "_id": 2, "k": "b", "n": 5 }, { "_id": 3, "k": "a", "n": 2 },
        { "_id": 4, "k": "a", "n": 2 }, { "_id": 5, "k": "a", "n": 7 },
    ]);
    let Bson::Array(rows) = run(
        input,
        bson!([
            { "$setWindowFields": { "partitionBy": "$k", "sortBy": { "n": 1 }, "output": { "v": output.clone() } } },
            { "$sort": { "_id": 1 } },
        ]),
    ) else {
        panic!("rows")
    };
    let values: Vec<Bson> = rows
        .iter()
        .filter_map(|row| row.as_document()?.get("v").cloned())
        .collect();
    assert_eq!(Bson::Array(values), expected, "{output}");
}

#[test]
fn window_functions() {
    column(bson!({ "$sum": "$n" }), bson!([12, 5, 12, 12, 12]));
    column(
        bson!({ "$sum": "$n", "window": { "documents": ["unbounded", "current"] } }),
        bson!([1, 5, 3, 5, 12]),
    );
    column(
        bson!({ "$sum": "$n", "window": { "documents": [-1, 1] } }),
        bson!([3, 5, 5, 11, 9]),
    );
    column(
        bson!({ "$push": "$n", "window": { "documents": [1, 1] } }),
        bson!([[2], [], [2], [7], []]),
    );
    column(
        bson!({ "$sum": "$n", "window": { "range": [-1, 0] } }),
        bson!([1, 5, 5, 5, 7]),
    );
    column(
        bson!({ "$count": {}, "window": { "range": ["current", "unbounded"] } }),
        bson!([4, 1, 3, 3, 1]),
    );
    column(
        bson!({ "$rank": {} }),
        bson!([1_i64, 1_i64, 2_i64, 2_i64, 4_i64]),
    );
    column(
        bson!({ "$denseRank": {} }),
        bson!([1_i64, 1_i64, 2_i64, 2_i64, 3_i64]),
    );
    column(
        bson!({ "$documentNumber": {} }),
        bson!([1_i64, 1_i64, 2_i64, 3_i64, 4_i64]),
    );
    column(
        bson!({ "$shift": { "output": "$n", "by": -1, "default": 0 } }),
        bson!([0, 0, 1, 2, 2]),
    );
}

#[test]
fn bad_windows_are_refused() {
    let window = |output: Bson| bson!({ "$setWindowFields": { "sortBy": { "n": 1 }, "output": { "v": output } } });
    refuses(window(bson!({ "$derivative": { "input": "$n" } })), 9);
    refuses(
        window(bson!({ "$sum": 1, "window": { "documents": [1, -1] } })),
        5_339_900,
    );
    refuses(
        window(bson!({ "$sum": 1, "window": { "documents": [0.5, 1] } })),
        9,
    );
    refuses(
        window(bson!({ "$sum": 1, "window": { "range": [0, 1], "unit": "month" } })),
        115,
    );
    refuses(window(bson!({ "$rank": {}, "window": {} })), 9);
    refuses(
        bson!({ "$setWindowFields": { "output": { "v": { "$rank": {} } } } }),
        5_371_602,
    );
    refuses(bson!({ "$setWindowFields": {} }), 40414);
}
