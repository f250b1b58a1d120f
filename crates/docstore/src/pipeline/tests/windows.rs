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

/// The values of `v` that a function gives for rows `x` (what is sorted by) and `y`.
fn series(rows: Vec<Document>, output: Bson) -> Result<Vec<Bson>> {
    let stage =
        bson!([{ "$setWindowFields": { "sortBy": { "x": 1 }, "output": { "v": output } } }]);
    let rows = try_run(rows, stage, &Memory::default())?;
    Ok(rows
        .iter()
        .filter_map(|row| row.get("v").cloned())
        .collect())
}

fn points(points: &[(i32, Bson)]) -> Vec<Document> {
    points
        .iter()
        .map(|(x, y)| doc! { "x": x, "y": y.clone() })
        .collect()
}

#[test]
fn gaps_are_filled() {
    let rows = points(&[
        (0, Bson::Null),
        (1, Bson::Int32(10)),
        (2, Bson::Null),
        (5, Bson::Null),
        (9, Bson::Int32(50)),
        (10, Bson::Null),
    ]);
    let found = series(rows.clone(), bson!({ "$locf": "$y" })).expect("carried");
    let expected = bson!([null, 10, 10, 10, 50, 50]);
    assert_eq!(Bson::Array(found), expected);
    let found = series(rows, bson!({ "$linearFill": "$y" })).expect("filled");
    assert_eq!(Bson::Array(found), bson!([null, 10, 15.0, 30.0, 50, null]));
    let dates = [
        (0_i64, Bson::Int32(0)),
        (4_000, Bson::Null),
        (8_000, Bson::Int32(2)),
    ]
    .map(|(x, y)| doc! { "x": DateTime::from_millis(x), "y": y });
    let found = series(dates.to_vec(), bson!({ "$linearFill": "$y" })).expect("filled");
    assert_eq!(Bson::Array(found), bson!([0, 1.0, 2]));
    let twice = points(&[(1, Bson::Int32(1)), (1, Bson::Null)]);
    let refused = series(twice, bson!({ "$linearFill": "$y" })).expect_err("twice");
    assert_eq!(refused.code, 6_050_106);
    let text = points(&[(1, bson!("a"))]);
    assert!(series(text, bson!({ "$linearFill": "$y" })).is_err());
}

#[test]
fn slopes_areas_and_averages() {
    let rows = points(&[(0, bson!(0)), (2, bson!(6)), (3, bson!(5)), (7, bson!(9.0))]);
    let derivative = |window: Bson| bson!({ "$derivative": { "input": "$y" }, "window": window });
    assert_eq!(
        series(rows.clone(), derivative(bson!({ "documents": [-1, 0] }))).expect("slopes"),
        [Bson::Null, bson!(3.0), bson!(-1.0), bson!(1.0)]
    );
    assert_eq!(
        series(rows.clone(), derivative(bson!({ "range": [-2, 0] }))).expect("slopes"),
        [Bson::Null, bson!(3.0), bson!(-1.0), Bson::Null]
    );
    assert_eq!(
        series(
            rows.clone(),
            bson!({ "$integral": { "input": "$y" }, "window": { "documents": ["unbounded", "current"] } })
        )
        .expect("areas"),
        [bson!(0), bson!(6.0), bson!(11.5), bson!(39.5)]
    );
    assert_eq!(
        series(
            rows.clone(),
            bson!({ "$expMovingAvg": { "input": "$y", "alpha": 0.5 } })
        )
        .expect("averages"),
        [bson!(0), bson!(3.0), bson!(4.0), bson!(6.5)]
    );
    assert_eq!(
        series(
            rows.clone(),
            bson!({ "$expMovingAvg": { "input": "$y", "N": 3 } })
        )
        .expect("averages"),
        [bson!(0), bson!(3.0), bson!(4.0), bson!(6.5)]
    );
    let population = bson!({ "$covariancePop": ["$x", "$y"] });
    assert_eq!(
        series(rows.clone(), population).expect("covariance")[0],
        bson!(7.5)
    );
    let sample = bson!({ "$covarianceSamp": ["$x", "$y"], "window": { "documents": [-1, 0] } });
    assert_eq!(
        series(rows.clone(), sample).expect("covariance"),
        [Bson::Null, bson!(6.0), bson!(-0.5), bson!(8.0)]
    );
    // By time, in a unit.
    let dates = [(0_i64, 0), (60_000, 30), (180_000, 30)]
        .map(|(x, y)| doc! { "x": DateTime::from_millis(x), "y": y });
    let per_second = bson!({ "$derivative": { "input": "$y", "unit": "second" }, "window": { "documents": [-1, 0] } });
    assert_eq!(
        series(dates.to_vec(), per_second).expect("slopes"),
        [Bson::Null, bson!(0.5), bson!(0.0)]
    );
    let minutes = bson!({ "$integral": { "input": "$y", "unit": "minute" } });
    assert_eq!(
        series(dates.to_vec(), minutes).expect("areas")[0],
        bson!(75.0)
    );
    let unit_less = bson!({ "$derivative": { "input": "$y" }, "window": { "documents": [-1, 0] } });
    assert!(
        series(dates.to_vec(), unit_less).is_err(),
        "dates need a unit"
    );
    let text = points(&[(1, bson!("a")), (2, bson!("b"))]);
    assert!(series(text, derivative(bson!({ "documents": [-1, 0] }))).is_err());
}

#[test]
fn bad_windows_are_refused() {
    let window = |output: Bson| bson!({ "$setWindowFields": { "sortBy": { "n": 1 }, "output": { "v": output } } });
    refuses(window(bson!({ "$derivative": { "input": "$n" } })), 9);
    refuses(
        window(
            bson!({ "$derivative": { "input": "$n", "unit": "month" }, "window": { "documents": [-1, 0] } }),
        ),
        5_490_710,
    );
    refuses(window(bson!({ "$expMovingAvg": { "input": "$n" } })), 9);
    refuses(
        window(bson!({ "$expMovingAvg": { "input": "$n", "N": 2, "alpha": 0.5 } })),
        9,
    );
    refuses(
        window(bson!({ "$expMovingAvg": { "input": "$n", "alpha": 1 } })),
        9,
    );
    refuses(
        window(bson!({ "$locf": "$n", "window": { "documents": [-1, 0] } })),
        9,
    );
    refuses(
        bson!({ "$setWindowFields": { "sortBy": { "a": 1, "b": 1 }, "output": { "v": { "$linearFill": "$n" } } } }),
        605_001,
    );
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
