//! Canonical Extended JSON (v2): every type survives the way through text. Fields keep their order.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bson::{Bson, Document};

/// Appends a document.
pub fn write_document(document: &Document, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in document.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_value(value: &Bson, out: &mut String) {
    match value {
        Bson::Double(n) => {
            let text = if n.is_nan() {
                "NaN".to_owned()
            } else if n.is_infinite() {
                if *n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
            } else {
                format!("{n:?}")
            };
            wrap("$numberDouble", &text, out);
        }
        Bson::String(text) => write_text(text, out),
        Bson::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Bson::Document(document) => write_document(document, out),
        Bson::Boolean(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Bson::Null => out.push_str("null"),
        Bson::Int32(n) => wrap("$numberInt", &n.to_string(), out),
        Bson::Int64(n) => wrap("$numberLong", &n.to_string(), out),
        Bson::Decimal128(n) => wrap("$numberDecimal", &n.to_string(), out),
        Bson::ObjectId(id) => wrap("$oid", &id.to_hex(), out),
        Bson::Symbol(text) => wrap("$symbol", text, out),
        Bson::JavaScriptCode(code) => wrap("$code", code, out),
        Bson::DateTime(date) => {
            out.push_str("{\"$date\":");
            wrap("$numberLong", &date.timestamp_millis().to_string(), out);
            out.push('}');
        }
        Bson::RegularExpression(regex) => {
            out.push_str("{\"$regularExpression\":{\"pattern\":");
            write_text(regex.pattern.as_str(), out);
            out.push_str(",\"options\":");
            write_text(regex.options.as_str(), out);
            out.push_str("}}");
        }
        Bson::JavaScriptCodeWithScope(code) => {
            out.push_str("{\"$code\":");
            write_text(&code.code, out);
            out.push_str(",\"$scope\":");
            write_document(&code.scope, out);
            out.push('}');
        }
        Bson::Timestamp(stamp) => {
            put(
                out,
                format_args!(
                    "{{\"$timestamp\":{{\"t\":{},\"i\":{}}}}}",
                    stamp.time, stamp.increment
                ),
            );
        }
        Bson::Binary(binary) => {
            let subtype = u8::from(binary.subtype);
            let data = BASE64.encode(&binary.bytes);
            put(
                out,
                format_args!(
                    "{{\"$binary\":{{\"base64\":\"{data}\",\"subType\":\"{subtype:02x}\"}}}}"
                ),
            );
        }
        Bson::Undefined => out.push_str("{\"$undefined\":true}"),
        Bson::MaxKey => out.push_str("{\"$maxKey\":1}"),
        Bson::MinKey => out.push_str("{\"$minKey\":1}"),
        // Its parts are not public; its own form is what there is.
        Bson::DbPointer(pointer) => write_text(&format!("{pointer:?}"), out),
    }
}

fn wrap(kind: &str, text: &str, out: &mut String) {
    out.push('{');
    write_text(kind, out);
    out.push(':');
    write_text(text, out);
    out.push('}');
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if u32::from(other) < 0x20 => {
                put(out, format_args!("\\u{:04x}", u32::from(other)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("invariant: writing into a string does not fail");
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn keeps_types_and_order() {
        let mut out = String::new();
        write_document(
            &doc! { "z": 1, "a": 1_i64, "d": 0.5, "s": "q\"\n\u{1}", "n": Bson::Null, "l": [true] },
            &mut out,
        );
        assert_eq!(
            out,
            r#"{"z":{"$numberInt":"1"},"a":{"$numberLong":"1"},"d":{"$numberDouble":"0.5"},"s":"q\"\n\u0001","n":null,"l":[true]}"#
        );
    }
}
