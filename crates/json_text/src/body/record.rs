//! What a body holds, written down in the walk that checks it: whoever builds values of it later, on a
//! thread that is wanted by others, neither reads nor decides anything a second time.
//!
//! A word (eight bytes) for each value, key and container. Texts stay in the body; only those with escapes are kept
//! here. A record is read beside the body that it was made of, and nothing else.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{BodyError, Sink, walk_object};

/// Bodies beyond are not recorded: a text's length and place have to fit a word.
const MAX_BODY_BYTES: usize = 1 << 28;
/// Different keys that are numbered; further ones are told each time.
const MAX_KEYS: usize = 1024;

const TAG_BITS: u32 = 4;
const LENGTH_BITS: u32 = 28;

/// What a word is. The order is that of the tags in the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Tag {
    Null,
    False,
    True,
    /// The number itself.
    SmallInteger,
    /// The next word is the number.
    Integer,
    /// The next word is the number's bits.
    Float,
    /// A text in the body, or among those kept.
    BigInteger,
    Ascii,
    Text,
    KeptText,
    /// A key's number.
    Key,
    /// The next word is a text.
    RareKey,
    /// How many values follow.
    Array,
    /// How many keys with their values follow.
    Object,
}

const TAGS: [Tag; 14] = [
    Tag::Null,
    Tag::False,
    Tag::True,
    Tag::SmallInteger,
    Tag::Integer,
    Tag::Float,
    Tag::BigInteger,
    Tag::Ascii,
    Tag::Text,
    Tag::KeptText,
    Tag::Key,
    Tag::RareKey,
    Tag::Array,
    Tag::Object,
];

/// What stands next in a body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// An integer of 64 bits.
    Integer(i64),
    /// The digits of a larger one.
    BigInteger(&'a str),
    /// A finite float.
    Float(f64),
    /// A text of ASCII.
    Ascii(&'a str),
    /// Any other text.
    Text(&'a str),
    /// A key that has been told under this number, which is below [`Record::keys`].
    Key(usize),
    /// A key of which there are too many to number them.
    RareKey(&'a str),
    /// An array of so many values.
    Array(usize),
    /// An object of so many keys, some of them twice perhaps, each with its value.
    Object(usize),
}

/// The values of a body that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    words: Box<[u64]>,
    /// Texts that do not stand in the body as they are.
    kept: Box<str>,
    /// The keys by number: a place in the body, or among the texts kept.
    keys: Box<[u64]>,
    body_bytes: usize,
}

impl Record {
    /// Checks a body and records what it holds; `None` for an empty or a very large one, which is
    /// checked alone.
    ///
    /// # Errors
    /// As [`super::check_object`].
    pub fn of(body: &[u8], max_depth: usize) -> Result<Option<Self>, BodyError> {
        if body.len() >= MAX_BODY_BYTES {
            return super::check_object(body, max_depth).map(|()| None);
        }
        let mut writer = Writer {
            body,
            words: Vec::with_capacity(body.len() / 8),
            kept: String::new(),
            keys: Vec::new(),
            numbers: HashMap::default(),
        };
        let Some(object) = walk_object(body, max_depth, &mut writer)? else {
            return Ok(None);
        };
        writer.end_object(object);
        Ok(Some(Self {
            words: writer.words.into(),
            kept: writer.kept.into(),
            keys: writer.keys.into(),
            body_bytes: body.len(),
        }))
    }

    /// How many keys are numbered.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Reads from the start; `None` where this is not the body that was recorded.
    pub fn read<'a>(&'a self, body: &'a [u8]) -> Option<Reader<'a>> {
        // Checked to be UTF-8 when it was recorded; asked again, as it costs little and nothing is
        // trusted then.
        let body = (body.len() == self.body_bytes).then(|| std::str::from_utf8(body).ok())??;
        Some(Reader {
            record: self,
            body,
            at: 0,
        })
    }
}

/// Goes through a record.
#[derive(Debug)]
pub struct Reader<'a> {
    record: &'a Record,
    body: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// What stands next; `None` at the end.
    #[inline]
    pub fn next_token(&mut self) -> Option<Token<'a>> {
        let word = self.word()?;
        let payload = word >> TAG_BITS;
        let tag = TAGS.get((word & ((1 << TAG_BITS) - 1)) as usize)?;
        Some(match tag {
            Tag::Null => Token::Null,
            Tag::False => Token::Boolean(false),
            Tag::True => Token::Boolean(true),
            Tag::SmallInteger => Token::Integer((word as i64) >> TAG_BITS),
            Tag::Integer => Token::Integer(self.word()? as i64),
            Tag::Float => Token::Float(f64::from_bits(self.word()?)),
            Tag::BigInteger => Token::BigInteger(text(self.body, payload)?),
            Tag::Ascii => Token::Ascii(text(self.body, payload)?),
            Tag::Text => Token::Text(text(self.body, payload)?),
            Tag::KeptText => Token::Text(text(&self.record.kept, payload)?),
            Tag::Key => Token::Key(payload as usize),
            Tag::RareKey => {
                let place = self.word()?;
                Token::RareKey(self.text_at(place)?)
            }
            Tag::Array => Token::Array(payload as usize),
            Tag::Object => Token::Object(payload as usize),
        })
    }

    /// A numbered key's text.
    pub fn key(&self, number: usize) -> Option<&'a str> {
        self.text_at(*self.record.keys.get(number)?)
    }

    fn text_at(&self, word: u64) -> Option<&'a str> {
        let of_body = word & ((1 << TAG_BITS) - 1) != Tag::KeptText as u64;
        let source = if of_body {
            self.body
        } else {
            &self.record.kept
        };
        text(source, word >> TAG_BITS)
    }

    #[inline]
    fn word(&mut self) -> Option<u64> {
        let word = *self.record.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }
}

#[inline]
fn text(source: &str, payload: u64) -> Option<&str> {
    let start = (payload >> LENGTH_BITS) as usize;
    let length = (payload & ((1 << LENGTH_BITS) - 1)) as usize;
    source.get(start..start.checked_add(length)?)
}

/// Writes words.
struct Writer<'b> {
    body: &'b [u8],
    words: Vec<u64>,
    kept: String,
    keys: Vec<u64>,
    numbers: HashMap<Box<str>, usize, RandomState>,
}

/// A container whose number of values is written when it ends.
struct Open {
    at: usize,
    count: u64,
}

fn word(tag: Tag, payload: u64) -> u64 {
    payload << TAG_BITS | tag as u64
}

impl Writer<'_> {
    /// Where a text stands.
    fn place(&mut self, value: &str) -> u64 {
        let start = (value.as_ptr() as usize).wrapping_sub(self.body.as_ptr() as usize);
        let in_body = start < self.body.len() && start + value.len() <= self.body.len();
        let (tag, start) = if in_body {
            let tag = if value.is_ascii() {
                Tag::Ascii
            } else {
                Tag::Text
            };
            (tag, start)
        } else {
            let start = self.kept.len();
            self.kept.push_str(value);
            (Tag::KeptText, start)
        };
        word(tag, (start as u64) << LENGTH_BITS | value.len() as u64)
    }

    fn open(&mut self, tag: Tag) -> Open {
        self.words.push(word(tag, 0));
        Open {
            at: self.words.len() - 1,
            count: 0,
        }
    }

    fn end(&mut self, tag: Tag, open: &Open) {
        self.words[open.at] = word(tag, open.count);
    }
}

impl Sink for Writer<'_> {
    type Value = ();
    type Key = ();
    type Array = Open;
    type Object = Open;

    fn null(&mut self) {
        self.words.push(word(Tag::Null, 0));
    }

    fn boolean(&mut self, value: bool) {
        self.words
            .push(word(if value { Tag::True } else { Tag::False }, 0));
    }

    fn integer(&mut self, value: i64) -> Result<(), String> {
        let small = word(Tag::SmallInteger, value as u64);
        if (small as i64) >> TAG_BITS == value {
            self.words.push(small);
        } else {
            self.words.extend([word(Tag::Integer, 0), value as u64]);
        }
        Ok(())
    }

    fn big_integer(&mut self, digits: &str) -> Result<(), String> {
        // Digits have no escapes: they always stand in the body.
        let place = self.place(digits);
        self.words.push(word(Tag::BigInteger, place >> TAG_BITS));
        Ok(())
    }

    fn float(&mut self, value: f64) -> Result<(), String> {
        self.words.extend([word(Tag::Float, 0), value.to_bits()]);
        Ok(())
    }

    fn string(&mut self, value: &str) -> Result<(), String> {
        let place = self.place(value);
        self.words.push(place);
        Ok(())
    }

    fn key(&mut self, value: &str) -> Result<(), String> {
        let number = match self.numbers.get(value) {
            Some(number) => *number,
            None if self.keys.len() < MAX_KEYS => {
                let place = self.place(value);
                self.keys.push(place);
                let number = self.keys.len() - 1;
                self.numbers.insert(value.into(), number);
                number
            }
            None => {
                let place = self.place(value);
                self.words.extend([word(Tag::RareKey, 0), place]);
                return Ok(());
            }
        };
        self.words.push(word(Tag::Key, number as u64));
        Ok(())
    }

    fn array(&mut self) -> Result<Open, String> {
        Ok(self.open(Tag::Array))
    }

    fn push(&mut self, array: &mut Open, (): ()) -> Result<(), String> {
        array.count += 1;
        Ok(())
    }

    fn end_array(&mut self, array: Open) {
        self.end(Tag::Array, &array);
    }

    fn object(&mut self) -> Result<Open, String> {
        Ok(self.open(Tag::Object))
    }

    fn insert(&mut self, object: &mut Open, (): (), (): ()) -> Result<(), String> {
        object.count += 1;
        Ok(())
    }

    fn end_object(&mut self, object: Open) {
        self.end(Tag::Object, &object);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Number, Value, json};

    use super::*;

    /// Builds a value of what is recorded.
    fn value(reader: &mut Reader<'_>) -> Value {
        match reader.next_token().unwrap() {
            Token::Null => Value::Null,
            Token::Boolean(value) => value.into(),
            Token::Integer(value) => value.into(),
            Token::BigInteger(digits) => json!({ "big": digits }),
            Token::Float(value) => Number::from_f64(value).unwrap().into(),
            Token::Ascii(text) => {
                assert!(text.is_ascii());
                text.into()
            }
            Token::Text(text) => text.into(),
            Token::Array(count) => (0..count).map(|_| value(reader)).collect(),
            Token::Object(count) => {
                let mut object = Map::new();
                for _ in 0..count {
                    let key = match reader.next_token().unwrap() {
                        Token::Key(number) => reader.key(number).unwrap().to_owned(),
                        Token::RareKey(key) => key.to_owned(),
                        other => panic!("{other:?} where a key stands"),
                    };
                    object.insert(key, value(reader));
                }
                object.into()
            }
            key => panic!("{key:?} where a value stands"),
        }
    }

    fn recorded(body: &str) -> Value {
        let record = Record::of(body.as_bytes(), 64).unwrap().unwrap();
        let mut reader = record.read(body.as_bytes()).unwrap();
        let value = value(&mut reader);
        assert_eq!(reader.next_token(), None);
        value
    }

    #[test]
    fn values_are_what_the_text_says() {
        let body = r#"{"a": [1, -1, 576460752303423487, 576460752303423488, -576460752303423489,
            9223372036854775807, 1.5, -0.0, 1e300, true, false, null, "", "text", "ä", "a\"\u00e4\n"],
            "a\u0062": {"a": {}, "b": []}, "big": 123456789012345678901234567890, "x": 1, "x": 2}"#;
        let mut wanted: Value =
            serde_json::from_str(&body.replace("123456789012345678901234567890", "null")).unwrap();
        wanted["big"] = json!({ "big": "123456789012345678901234567890" });
        assert_eq!(recorded(body), wanted);
    }

    #[test]
    fn any_number_of_keys_is_told() {
        let keys: Vec<_> = (0..3 * MAX_KEYS)
            .map(|n| format!("\"k\\n{n}\":{n}"))
            .collect();
        let object = recorded(&format!("{{{}}}", keys.join(",")));
        assert_eq!(object.as_object().unwrap().len(), 3 * MAX_KEYS);
        assert_eq!(object["k\n3000"], 3000);
    }

    #[test]
    fn what_is_no_object_is_refused_as_ever() {
        for bad in ["{", "[1]", "{\"a\":01}", "{\"a\":\"\u{1}\"}", "nul", "{}x"] {
            let checked = super::super::check_object(bad.as_bytes(), 64).unwrap_err();
            assert_eq!(
                Record::of(bad.as_bytes(), 64).unwrap_err(),
                checked,
                "{bad}"
            );
        }
        assert_eq!(Record::of(b"", 64), Ok(None));
        assert!(Record::of(b"{\"a\":{\"b\":1}}", 1).is_err());
        let record = Record::of(b"{\"a\":1}", 64).unwrap().unwrap();
        assert!(record.read(b"{}").is_none(), "another body");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[a-z]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_recorded_is_read(object in prop::collection::hash_map("[a-c]{0,2}|.{0,6}", any_value(), 0..8)) {
            let object = Value::Object(object.into_iter().collect());
            prop_assert_eq!(recorded(&object.to_string()), object);
        }
    }
}
