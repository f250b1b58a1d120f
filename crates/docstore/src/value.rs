//! What a BSON value is to the store: MongoDB's comparison order, order-preserving index keys,
//! exact numbers and dotted paths. It knows no operators and does no I/O.

mod compare;
mod decimal;
mod depth;
mod key;
pub(crate) mod mixed;
mod number;
mod path;
mod types;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;

pub use compare::{compare, compare_documents, identical, identical_documents};
pub use decimal::Decimal;
pub use depth::{MAX_STORED_DEPTH, check_depth};
pub use key::{KeyPart, encode_key, encode_string_key, key_part};
pub use number::{Number, compare_numbers, exact_i64, is_integral};
pub(crate) use path::{Reached, walk_parts};
pub use path::{array_index, get_path, set_path, split_path, walk_path};
pub use types::{TypeSet, canonical_rank, same_bracket, type_name, type_number};
