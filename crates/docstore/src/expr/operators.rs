//! The table of operators whose arguments are all evaluated before the operator runs.

use std::{collections::HashMap, sync::LazyLock};

use bson::Bson;

use super::{
    arithmetic as num, arrays as arr, conversion as conv, date_format, date_math, date_parse,
    dates, logic, node::Arguments, objects, parse::Named, powers, ranked, sets, statistics as stat,
    strings as text,
};
use crate::error::Result;

/// How an operator's arguments are written.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A list with at least and at most so many entries; a single one needs no list.
    Count(usize, usize),
    /// A list of any length.
    Any,
    /// An object with these fields.
    Named(Named),
    /// A date, or an object with `date` and `timezone`.
    DatePart,
}

/// What computes an operator's value.
pub(crate) type Function = fn(Arguments<'_>) -> Result<Option<Bson>>;

/// One operator.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    pub(crate) function: Function,
}

/// The names of all operators here.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|operator| operator.name)
}

/// Looks an operator up by its name with `$`.
pub(crate) fn find(name: &str) -> Option<&'static Operator> {
    static BY_NAME: LazyLock<HashMap<&'static str, &'static Operator>> = LazyLock::new(|| {
        TABLE
            .iter()
            .map(|operator| (operator.name, operator))
            .collect()
    });
    BY_NAME.get(name).copied()
}

const fn count(name: &'static str, arguments: usize, function: Function) -> Operator {
    range(name, arguments, arguments, function)
}

const fn range(name: &'static str, least: usize, most: usize, function: Function) -> Operator {
    Operator {
        name,
        shape: Shape::Count(least, most),
        function,
    }
}

const fn any(name: &'static str, function: Function) -> Operator {
    Operator {
        name,
        shape: Shape::Any,
        function,
    }
}

const fn date_part(name: &'static str, function: Function) -> Operator {
    Operator {
        name,
        shape: Shape::DatePart,
        function,
    }
}

/// `codes`: for no object, for an unknown field, for a missing field.
const fn named(
    name: &'static str,
    fields: &'static [&'static str],
    required: usize,
    codes: (i32, i32, i32),
    function: Function,
) -> Operator {
    Operator {
        name,
        shape: Shape::Named(Named {
            fields,
            required,
            not_object: codes.0,
            unknown: codes.1,
            missing: codes.2,
        }),
        function,
    }
}

pub(super) static TABLE: &[Operator] = &[
    // Arithmetic.
    any("$add", num::add),
    count("$subtract", 2, num::subtract),
    any("$multiply", num::multiply),
    count("$divide", 2, num::divide),
    count("$mod", 2, num::modulo),
    count("$abs", 1, num::abs),
    count("$ceil", 1, num::ceil),
    count("$floor", 1, num::floor),
    range("$round", 1, 2, num::round),
    range("$trunc", 1, 2, num::trunc),
    count("$sqrt", 1, powers::sqrt),
    count("$pow", 2, powers::pow),
    count("$exp", 1, powers::exp),
    count("$ln", 1, powers::ln),
    count("$log", 2, powers::log),
    count("$log10", 1, powers::log10),
    count("$sin", 1, powers::trigonometric),
    count("$cos", 1, powers::trigonometric),
    count("$tan", 1, powers::trigonometric),
    count("$asin", 1, powers::trigonometric),
    count("$acos", 1, powers::trigonometric),
    count("$atan", 1, powers::trigonometric),
    count("$sinh", 1, powers::trigonometric),
    count("$cosh", 1, powers::trigonometric),
    count("$tanh", 1, powers::trigonometric),
    count("$asinh", 1, powers::trigonometric),
    count("$acosh", 1, powers::trigonometric),
    count("$atanh", 1, powers::trigonometric),
    count("$degreesToRadians", 1, powers::trigonometric),
    count("$radiansToDegrees", 1, powers::trigonometric),
    count("$atan2", 2, powers::atan2),
    any("$bitAnd", powers::bitwise),
    any("$bitOr", powers::bitwise),
    any("$bitXor", powers::bitwise),
    count("$bitNot", 1, powers::bit_not),
    // Comparison and logic.
    count("$eq", 2, logic::eq),
    count("$ne", 2, logic::ne),
    count("$gt", 2, logic::gt),
    count("$gte", 2, logic::gte),
    count("$lt", 2, logic::lt),
    count("$lte", 2, logic::lte),
    count("$cmp", 2, logic::cmp),
    count("$not", 1, logic::not),
    // Strings.
    any("$concat", text::concat),
    count("$substr", 3, text::substr_bytes),
    count("$substrBytes", 3, text::substr_bytes),
    count("$substrCP", 3, text::substr_cp),
    count("$toLower", 1, text::to_lower),
    count("$toUpper", 1, text::to_upper),
    named(
        "$trim",
        &["input", "chars"],
        1,
        (50696, 50694, 50695),
        text::trim,
    ),
    named(
        "$ltrim",
        &["input", "chars"],
        1,
        (50696, 50694, 50695),
        text::trim,
    ),
    named(
        "$rtrim",
        &["input", "chars"],
        1,
        (50696, 50694, 50695),
        text::trim,
    ),
    count("$split", 2, text::split),
    count("$strLenBytes", 1, text::length_bytes),
    count("$strLenCP", 1, text::length_cp),
    count("$strcasecmp", 2, text::compare_ignoring_case),
    range("$indexOfBytes", 2, 4, text::index_of_bytes),
    range("$indexOfCP", 2, 4, text::index_of_cp),
    named(
        "$replaceOne",
        &["input", "find", "replacement"],
        3,
        (51751, 51750, 51749),
        text::replace,
    ),
    named(
        "$replaceAll",
        &["input", "find", "replacement"],
        3,
        (51751, 51750, 51749),
        text::replace,
    ),
    // Arrays.
    count("$arrayElemAt", 2, arr::element_at),
    count("$first", 1, arr::first),
    count("$last", 1, arr::last),
    named(
        "$firstN",
        &["input", "n"],
        2,
        (5787801, 5787901, 5787906),
        ranked::first_n,
    ),
    named(
        "$lastN",
        &["input", "n"],
        2,
        (5787801, 5787901, 5787906),
        ranked::last_n,
    ),
    named(
        "$maxN",
        &["input", "n"],
        2,
        (5787900, 5787901, 5787906),
        ranked::max_n,
    ),
    named(
        "$minN",
        &["input", "n"],
        2,
        (5787900, 5787901, 5787906),
        ranked::min_n,
    ),
    range("$slice", 2, 3, arr::slice),
    count("$size", 1, arr::size),
    any("$concatArrays", arr::concat),
    count("$in", 2, arr::contains),
    range("$indexOfArray", 2, 4, arr::index_of),
    count("$isArray", 1, arr::is_array),
    range("$range", 2, 3, arr::range),
    count("$reverseArray", 1, arr::reverse),
    named(
        "$zip",
        &["inputs", "useLongestLength", "defaults"],
        1,
        (34460, 34464, 34465),
        arr::zip,
    ),
    count("$arrayToObject", 1, objects::from_array),
    count("$objectToArray", 1, objects::to_array),
    // Sets.
    any("$setUnion", sets::union),
    any("$setIntersection", sets::intersection),
    count("$setDifference", 2, sets::difference),
    any("$setEquals", sets::equals),
    count("$setIsSubset", 2, sets::is_subset),
    count("$anyElementTrue", 1, sets::any_true),
    count("$allElementsTrue", 1, sets::all_true),
    // Objects.
    any("$mergeObjects", objects::merge),
    named(
        "$setField",
        &["field", "input", "value"],
        3,
        (4161100, 4161101, 4161102),
        objects::set_field,
    ),
    named(
        "$unsetField",
        &["field", "input"],
        2,
        (4161109, 4161101, 4161102),
        objects::unset_field,
    ),
    // Types.
    count("$type", 1, conv::type_of),
    count("$isNumber", 1, conv::is_number),
    count("$toInt", 1, conv::shorthand),
    count("$toLong", 1, conv::shorthand),
    count("$toDouble", 1, conv::shorthand),
    count("$toDecimal", 1, conv::shorthand),
    count("$toString", 1, conv::shorthand),
    count("$toBool", 1, conv::shorthand),
    count("$toDate", 1, conv::shorthand),
    count("$toObjectId", 1, conv::shorthand),
    count("$toUUID", 1, conv::shorthand),
    count("$binarySize", 1, objects::binary_size),
    count("$bsonSize", 1, objects::bson_size),
    // Dates.
    date_part("$year", dates::part),
    date_part("$month", dates::part),
    date_part("$dayOfMonth", dates::part),
    date_part("$hour", dates::part),
    date_part("$minute", dates::part),
    date_part("$second", dates::part),
    date_part("$millisecond", dates::part),
    date_part("$dayOfWeek", dates::part),
    date_part("$dayOfYear", dates::part),
    date_part("$week", dates::part),
    date_part("$isoWeek", dates::part),
    date_part("$isoWeekYear", dates::part),
    date_part("$isoDayOfWeek", dates::part),
    named(
        "$dateToString",
        &["date", "format", "timezone", "onNull"],
        1,
        (18629, 18534, 18628),
        date_format::to_string,
    ),
    named(
        "$dateToParts",
        &["date", "timezone", "iso8601"],
        1,
        (40524, 40520, 40522),
        dates::to_parts,
    ),
    named(
        "$dateFromParts",
        &[
            "year",
            "month",
            "day",
            "isoWeekYear",
            "isoWeek",
            "isoDayOfWeek",
            "hour",
            "minute",
            "second",
            "millisecond",
            "timezone",
        ],
        0,
        (40519, 40518, 40516),
        dates::from_parts,
    ),
    named(
        "$dateTrunc",
        &["date", "unit", "binSize", "timezone", "startOfWeek"],
        2,
        (5439007, 5439008, 5439009),
        date_math::truncate,
    ),
    named(
        "$dateAdd",
        &["startDate", "unit", "amount", "timezone"],
        3,
        (5166400, 5166401, 5166402),
        date_math::add,
    ),
    named(
        "$dateSubtract",
        &["startDate", "unit", "amount", "timezone"],
        3,
        (5166400, 5166401, 5166402),
        date_math::add,
    ),
    named(
        "$dateDiff",
        &["startDate", "endDate", "unit", "timezone", "startOfWeek"],
        3,
        (5166301, 5166302, 5166303),
        date_math::difference,
    ),
    count("$tsSecond", 1, dates::timestamp_part),
    count("$tsIncrement", 1, dates::timestamp_part),
    // Accumulators over a list or an array.
    any("$sum", stat::sum),
    any("$avg", stat::average),
    any("$min", stat::minimum),
    any("$max", stat::maximum),
    any("$stdDevPop", stat::deviation),
    any("$stdDevSamp", stat::deviation),
    named(
        "$median",
        &["input", "method"],
        2,
        (7436100, 7436101, 7436102),
        stat::median,
    ),
    named(
        "$percentile",
        &["input", "p", "method"],
        3,
        (7436200, 7436201, 7436202),
        stat::percentile,
    ),
    named(
        "$dateFromString",
        &["dateString", "format", "timezone", "onError", "onNull"],
        1,
        (40540, 40541, 40542),
        date_parse::from_string,
    ),
];
