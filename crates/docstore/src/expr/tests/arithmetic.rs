use super::*;

#[test]
fn whole_numbers_widen_only_when_they_must() {
    gives(doc! {}, doc! { "$add": [1, 2] }, 3);
    gives(doc! {}, doc! { "$add": [] }, 0);
    gives(
        doc! {},
        doc! { "$add": [i32::MAX, 1] },
        i64::from(i32::MAX) + 1,
    );
    gives(doc! {}, doc! { "$add": [1, 2_i64] }, 3_i64);
    gives(
        doc! {},
        doc! { "$add": [i64::MAX, 1_i64] },
        9_223_372_036_854_775_808.0,
    );
    gives(
        doc! {},
        doc! { "$add": [i64::MAX, 1_i64, -1_i64] },
        i64::MAX,
    );
    gives(
        doc! {},
        doc! { "$subtract": [i32::MIN, 1] },
        i64::from(i32::MIN) - 1,
    );
    gives(
        doc! {},
        doc! { "$subtract": [i64::MIN, 1] },
        -9_223_372_036_854_775_808.0,
    );
    gives(
        doc! {},
        doc! { "$multiply": [i32::MAX, 2] },
        i64::from(i32::MAX) * 2,
    );
    gives(
        doc! {},
        doc! { "$multiply": [i64::MAX, 2] },
        i64::MAX as f64 * 2.0,
    );
    gives(doc! {}, doc! { "$multiply": [2, 1.5] }, 3.0);
    gives(doc! {}, doc! { "$divide": [6, 3] }, 2.0);
    gives(doc! {}, doc! { "$mod": [-7, 3] }, -1);
    gives(doc! {}, doc! { "$mod": [7_i64, 3] }, 1_i64);
    gives(doc! {}, doc! { "$mod": [7.5, 2] }, 1.5);
    gives(doc! {}, doc! { "$mod": [i64::MIN, -1_i64] }, 0_i64);
}

#[test]
fn sums_of_doubles_keep_what_rounding_loses() {
    gives(
        doc! {},
        doc! { "$sum": [0.1, 0.2, 0.3, -0.6] },
        2.7755575615628914e-17,
    );
    gives(doc! {}, doc! { "$add": [1e100, 1.0, -1e100] }, 1.0);
    gives(
        doc! {},
        doc! { "$add": [f64::INFINITY, 1.0] },
        f64::INFINITY,
    );
}

#[test]
fn null_wins_and_other_types_are_refused() {
    for operator in [
        "$add",
        "$subtract",
        "$multiply",
        "$divide",
        "$mod",
        "$pow",
        "$log",
    ] {
        gives(doc! {}, doc! { operator: [1, Bson::Null] }, Bson::Null);
        gives(doc! {}, doc! { operator: ["$missing", 1] }, Bson::Null);
    }
    fails(doc! {}, doc! { "$add": [1, "x"] }, 14);
    fails(doc! {}, doc! { "$subtract": [1, "x"] }, 14);
    fails(doc! {}, doc! { "$multiply": [1, "x"] }, 14);
    fails(doc! {}, doc! { "$divide": ["x", 1] }, 14);
    fails(doc! {}, doc! { "$divide": [1, 0] }, 2);
    fails(doc! {}, doc! { "$divide": [1, decimal("0")] }, 2);
    fails(doc! {}, doc! { "$mod": [1, 0] }, 16610);
    fails(doc! {}, doc! { "$mod": [1, "x"] }, 16611);
    fails(doc! {}, doc! { "$abs": "x" }, 28765);
    fails(doc! {}, doc! { "$abs": i64::MIN }, 28680);
    fails(doc! {}, doc! { "$sqrt": -1 }, 28714);
    fails(doc! {}, doc! { "$ln": 0 }, 28766);
    fails(doc! {}, doc! { "$log10": -1 }, 28761);
    fails(doc! {}, doc! { "$log": [10, 1] }, 28759);
    fails(doc! {}, doc! { "$pow": [0, -1] }, 28764);
    fails(doc! {}, doc! { "$asin": 2 }, 50989);
    fails(doc! {}, doc! { "$bitAnd": [1, 1.0] }, 14);
}

#[test]
fn decimals_have_34_digits() {
    gives(
        doc! {},
        doc! { "$add": [decimal("0.1"), decimal("0.2")] },
        decimal("0.3"),
    );
    gives(
        doc! {},
        doc! { "$add": [decimal("1.10"), 1] },
        decimal("2.10"),
    );
    gives(
        doc! {},
        doc! { "$add": [decimal("1"), 0.1] },
        decimal("1.100000000000000"),
    );
    gives(
        doc! {},
        doc! { "$divide": [decimal("1"), 3] },
        decimal("0.3333333333333333333333333333333333"),
    );
    gives(
        doc! {},
        doc! { "$multiply": [decimal("1.5"), 2] },
        decimal("3.0"),
    );
    gives(
        doc! {},
        doc! { "$mod": [decimal("7.5"), 2] },
        decimal("1.5"),
    );
    gives(
        doc! {},
        doc! { "$subtract": [i64::MAX, decimal("0.5")] },
        decimal("9223372036854775806.5"),
    );
    gives(doc! {}, doc! { "$abs": decimal("-1.50") }, decimal("1.50"));
    gives(
        doc! {},
        doc! { "$sqrt": decimal("2") },
        decimal("1.414213562373095048801688724209698"),
    );
    gives(
        doc! {},
        doc! { "$round": [decimal("2.675"), 2] },
        decimal("2.68"),
    );
    gives(doc! {}, doc! { "$floor": decimal("-1.5") }, decimal("-2"));
    gives(
        doc! {},
        doc! { "$pow": [decimal("2"), 10] },
        decimal("1024"),
    );
    gives(
        doc! {},
        doc! { "$sum": [decimal("1E+6000"), 1] },
        decimal("1.000000000000000000000000000000000E+6000"),
    );
    fails(doc! {}, doc! { "$sin": decimal("1") }, 115);
}

#[test]
fn rounding_is_half_to_even_and_knows_places() {
    for (value, expected) in [(2.5, 2.0), (3.5, 4.0), (-2.5, -2.0), (2.6, 3.0)] {
        gives(doc! {}, doc! { "$round": value }, expected);
    }
    gives(doc! {}, doc! { "$round": [19.25, 1] }, 19.2);
    gives(doc! {}, doc! { "$round": [1234.5, -2] }, 1200.0);
    gives(doc! {}, doc! { "$round": [1250, -2] }, 1200);
    gives(doc! {}, doc! { "$round": [1350_i64, -2] }, 1400_i64);
    gives(doc! {}, doc! { "$trunc": [-1.99, 1] }, -1.9);
    gives(doc! {}, doc! { "$trunc": [199, -2] }, 100);
    gives(doc! {}, doc! { "$ceil": 1.2 }, 2.0);
    gives(doc! {}, doc! { "$floor": -1 }, -1);
    gives(doc! {}, doc! { "$round": Bson::Null }, Bson::Null);
    fails(doc! {}, doc! { "$round": [1, 200] }, 51083);
    fails(doc! {}, doc! { "$round": [1, 1.5] }, 51082);
    fails(doc! {}, doc! { "$round": "x" }, 51081);
}

#[test]
fn powers_logarithms_angles_and_bits() {
    gives(doc! {}, doc! { "$pow": [2, 10] }, 1024);
    gives(doc! {}, doc! { "$pow": [2, 40] }, 1_i64 << 40);
    gives(
        doc! {},
        doc! { "$pow": [2, 64] },
        18_446_744_073_709_551_616.0,
    );
    gives(doc! {}, doc! { "$pow": [2, -1] }, 0.5);
    gives(doc! {}, doc! { "$exp": 0 }, 1.0);
    gives(doc! {}, doc! { "$log10": 100 }, 2.0);
    gives(doc! {}, doc! { "$log": [8, 2] }, 3.0);
    gives(doc! {}, doc! { "$ln": 1 }, 0.0);
    gives(doc! {}, doc! { "$cos": 0 }, 1.0);
    gives(
        doc! {},
        doc! { "$degreesToRadians": 180 },
        std::f64::consts::PI,
    );
    gives(doc! {}, doc! { "$atan2": [0, 1] }, 0.0);
    gives(doc! {}, doc! { "$bitAnd": [6, 3] }, 2);
    gives(doc! {}, doc! { "$bitOr": [6, 3_i64] }, 7_i64);
    gives(doc! {}, doc! { "$bitXor": [6, 3] }, 5);
    gives(doc! {}, doc! { "$bitNot": 0 }, -1);
}

#[test]
fn dates_add_and_subtract_in_milliseconds() {
    let root = doc! { "d": DateTime::from_millis(1000) };
    gives(
        root.clone(),
        doc! { "$add": ["$d", 500] },
        DateTime::from_millis(1500),
    );
    gives(
        root.clone(),
        doc! { "$add": [0.6, "$d"] },
        DateTime::from_millis(1001),
    );
    gives(
        root.clone(),
        doc! { "$subtract": ["$d", 1] },
        DateTime::from_millis(999),
    );
    gives(
        root.clone(),
        doc! { "$subtract": ["$d", DateTime::from_millis(1)] },
        999_i64,
    );
    fails(root.clone(), doc! { "$add": ["$d", "$d"] }, 16612);
    fails(root.clone(), doc! { "$subtract": [1, "$d"] }, 14);
    fails(root, doc! { "$add": ["$d", i64::MAX] }, 15);
}

#[test]
fn accumulators_take_a_list_or_an_array() {
    let root = doc! { "n": [1, 2, "x", 3.0], "e": [] };
    gives(root.clone(), doc! { "$sum": "$n" }, 6.0);
    gives(root.clone(), doc! { "$sum": ["$n", 5] }, 5);
    gives(root.clone(), doc! { "$avg": "$n" }, 2.0);
    gives(root.clone(), doc! { "$avg": "$e" }, Bson::Null);
    gives(root.clone(), doc! { "$min": ["$missing", 3, 2] }, 2);
    gives(root.clone(), doc! { "$max": "$n" }, "x");
    gives(root.clone(), doc! { "$max": "$e" }, Bson::Null);
    gives(root.clone(), doc! { "$stdDevPop": [[1, 3]] }, 1.0);
    gives(root.clone(), doc! { "$stdDevPop": [1, 3] }, 1.0);
    gives(root.clone(), doc! { "$stdDevSamp": [1] }, Bson::Null);
    gives(
        root.clone(),
        doc! { "$median": { "input": [3, 1, 2], "method": "approximate" } },
        2.0,
    );
    gives(
        root,
        doc! { "$percentile": { "input": [1, 2, 3, 4], "p": [0.0, 0.5, 1.0], "method": "approximate" } },
        bson!([1.0, 2.0, 4.0]),
    );
}
