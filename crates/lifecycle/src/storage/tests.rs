use serde_json::json;

use super::*;

#[test]
fn keys_and_times_are_checked() {
    for bad in ["", "a\0b", &"k".repeat(513)] {
        assert_eq!(
            check_key(bad).unwrap_err().code(),
            "VALIDATION_ERROR",
            "{bad:?}"
        );
    }
    check_key(&"k".repeat(512)).unwrap();
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e12] {
        assert_eq!(ttl(bad).unwrap_err().code(), "VALIDATION_ERROR", "{bad}");
    }
    assert_eq!(ttl(1.5).unwrap(), Duration::from_millis(1500));
}

#[test]
fn a_page_says_where_the_next_begins() {
    let page = Page {
        items: vec![Entry {
            key: "a".into(),
            value: json!(1),
            expires_at: None,
        }],
        next_cursor: None,
    };
    assert_eq!(
        serde_json::to_value(&page).unwrap(),
        json!({"items": [{"key": "a", "value": 1}]})
    );
}
