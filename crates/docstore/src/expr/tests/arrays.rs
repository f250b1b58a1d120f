use super::*;

fn root() -> Document {
    doc! { "a": [1, 2, 3], "e": [], "s": "text" }
}

#[test]
fn elements_and_slices() {
    gives(root(), doc! { "$arrayElemAt": ["$a", 0] }, 1);
    gives(root(), doc! { "$arrayElemAt": ["$a", -1] }, 3);
    gives(root(), doc! { "$arrayElemAt": ["$a", 1.0] }, 2);
    missing(root(), doc! { "$arrayElemAt": ["$a", 3] });
    missing(root(), doc! { "$arrayElemAt": ["$a", -4] });
    gives(root(), doc! { "$arrayElemAt": ["$x", 0] }, Bson::Null);
    fails(root(), doc! { "$arrayElemAt": ["$s", 0] }, 28689);
    fails(root(), doc! { "$arrayElemAt": ["$a", "x"] }, 28690);
    fails(root(), doc! { "$arrayElemAt": ["$a", 1.5] }, 28691);
    gives(root(), doc! { "$first": "$a" }, 1);
    gives(root(), doc! { "$last": "$a" }, 3);
    missing(root(), doc! { "$first": "$e" });
    gives(root(), doc! { "$first": "$x" }, Bson::Null);
    fails(root(), doc! { "$last": "$s" }, 28689);
    gives(root(), doc! { "$slice": ["$a", 2] }, bson!([1, 2]));
    gives(root(), doc! { "$slice": ["$a", -2] }, bson!([2, 3]));
    gives(root(), doc! { "$slice": ["$a", 1, 1] }, bson!([2]));
    gives(root(), doc! { "$slice": ["$a", -5, 1] }, bson!([1]));
    gives(root(), doc! { "$slice": ["$a", 9, 1] }, bson!([]));
    fails(root(), doc! { "$slice": ["$a", 1, 0] }, 28729);
    gives(
        root(),
        doc! { "$firstN": { "input": "$a", "n": 2 } },
        bson!([1, 2]),
    );
    gives(
        root(),
        doc! { "$lastN": { "input": "$a", "n": 2 } },
        bson!([2, 3]),
    );
    gives(
        root(),
        doc! { "$maxN": { "input": [1, Bson::Null, 3, 2], "n": 2 } },
        bson!([3, 2]),
    );
    gives(
        root(),
        doc! { "$minN": { "input": [3, Bson::Null, 1], "n": 5 } },
        bson!([1, 3]),
    );
    fails(
        root(),
        doc! { "$firstN": { "input": "$a", "n": 0 } },
        5_787_908,
    );
    fails(
        root(),
        doc! { "$firstN": { "input": "$s", "n": 1 } },
        5_788_200,
    );
}

#[test]
fn sizes_searches_and_joins() {
    gives(root(), doc! { "$size": "$a" }, 3);
    fails(root(), doc! { "$size": "$x" }, 17124);
    gives(root(), doc! { "$isArray": "$a" }, true);
    gives(root(), doc! { "$isArray": ["$x"] }, false);
    gives(root(), doc! { "$in": [2_i64, "$a"] }, true);
    gives(root(), doc! { "$in": ["2", "$a"] }, false);
    fails(root(), doc! { "$in": [1, "$x"] }, 40081);
    gives(root(), doc! { "$indexOfArray": ["$a", 2.0] }, 1);
    gives(root(), doc! { "$indexOfArray": ["$a", 1, 1] }, -1);
    gives(root(), doc! { "$indexOfArray": ["$a", 3, 0, 2] }, -1);
    gives(root(), doc! { "$indexOfArray": ["$a", 3, 20] }, -1);
    gives(root(), doc! { "$indexOfArray": ["$x", 1] }, Bson::Null);
    fails(root(), doc! { "$indexOfArray": ["$a", 1, -1] }, 40097);
    gives(
        root(),
        doc! { "$concatArrays": ["$a", "$e", [4]] },
        bson!([1, 2, 3, 4]),
    );
    gives(root(), doc! { "$concatArrays": ["$a", "$x"] }, Bson::Null);
    fails(root(), doc! { "$concatArrays": ["$a", "$s"] }, 28664);
    gives(root(), doc! { "$reverseArray": "$a" }, bson!([3, 2, 1]));
    fails(root(), doc! { "$reverseArray": "$s" }, 34435);
    gives(root(), doc! { "$range": [0, 5, 2] }, bson!([0, 2, 4]));
    gives(root(), doc! { "$range": [3, 0, -1] }, bson!([3, 2, 1]));
    gives(root(), doc! { "$range": [3, 0] }, bson!([]));
    fails(root(), doc! { "$range": [0, 5, 0] }, 34449);
    fails(root(), doc! { "$range": [0, i32::MAX] }, 146);
    gives(
        root(),
        doc! { "$zip": { "inputs": ["$a", ["x"]] } },
        bson!([[1, "x"]]),
    );
    gives(
        root(),
        doc! { "$zip": { "inputs": ["$a", ["x"]], "useLongestLength": true, "defaults": [0, "-"] } },
        bson!([[1, "x"], [2, "-"], [3, "-"]]),
    );
    gives(
        root(),
        doc! { "$zip": { "inputs": ["$a", "$x"] } },
        Bson::Null,
    );
    fails(
        root(),
        doc! { "$zip": { "inputs": ["$a"], "defaults": [0] } },
        34466,
    );
}

#[test]
fn sets() {
    gives(
        root(),
        doc! { "$setUnion": [[2, 1, 2], [3.0, 1]] },
        bson!([1, 2, 3.0]),
    );
    gives(root(), doc! { "$setUnion": ["$a", "$x"] }, Bson::Null);
    gives(
        root(),
        doc! { "$setIntersection": ["$a", [3, 2, 9]] },
        bson!([2, 3]),
    );
    gives(
        root(),
        doc! { "$setDifference": [[3, 1, 3, 2], [2]] },
        bson!([3, 1]),
    );
    gives(root(), doc! { "$setEquals": [[1, 2, 1], [2, 1]] }, true);
    gives(root(), doc! { "$setEquals": ["$a", [1]] }, false);
    gives(root(), doc! { "$setIsSubset": [[1], "$a"] }, true);
    gives(
        root(),
        doc! { "$anyElementTrue": [[0, Bson::Null, 1]] },
        true,
    );
    gives(root(), doc! { "$anyElementTrue": ["$e"] }, false);
    gives(root(), doc! { "$allElementsTrue": ["$e"] }, true);
    gives(root(), doc! { "$allElementsTrue": [[1, 0]] }, false);
    fails(root(), doc! { "$setUnion": ["$a", 1] }, 17043);
    fails(root(), doc! { "$setIntersection": ["$a", 1] }, 17047);
    fails(root(), doc! { "$setDifference": [1, "$a"] }, 17048);
    fails(root(), doc! { "$setDifference": ["$a", 1] }, 17049);
    fails(root(), doc! { "$setEquals": ["$a", 1] }, 17044);
    fails(root(), doc! { "$setEquals": ["$a"] }, 17045);
    fails(root(), doc! { "$setIsSubset": ["$x", "$a"] }, 17046);
    fails(root(), doc! { "$anyElementTrue": ["$x"] }, 17041);
    fails(root(), doc! { "$allElementsTrue": ["$x"] }, 17040);
}

#[test]
fn sorting_an_array() {
    gives(
        root(),
        doc! { "$sortArray": { "input": [3, 1, "x", 2], "sortBy": -1 } },
        bson!(["x", 3, 2, 1]),
    );
    gives(
        root(),
        doc! { "$sortArray": { "input": [{ "k": 2 }, { "k": 1, "o": 1 }, { "k": 1 }], "sortBy": { "k": 1, "o": -1 } } },
        bson!([{ "k": 1, "o": 1 }, { "k": 1 }, { "k": 2 }]),
    );
    gives(
        root(),
        doc! { "$sortArray": { "input": "$x", "sortBy": 1 } },
        Bson::Null,
    );
    fails(
        root(),
        doc! { "$sortArray": { "input": "$s", "sortBy": 1 } },
        2_942_504,
    );
    fails(
        root(),
        doc! { "$sortArray": { "input": "$a", "sortBy": 2 } },
        2_942_505,
    );
}
