//! Sorts and rows within and beyond memory.

use std::sync::Arc;

use super::{Memory, Rows, Sorter, SpillSpace};

fn memory(limit_bytes: usize, disk: Option<&Arc<SpillSpace>>) -> Memory {
    Memory {
        limit_bytes,
        disk: disk.cloned(),
    }
}

fn space(max_bytes: u64) -> (tempfile::TempDir, Arc<SpillSpace>) {
    let dir = tempfile::tempdir().expect("a directory");
    let space = SpillSpace::new(dir.path(), max_bytes);
    (dir, space)
}

/// Scattered keys, each several times, with the number of the push as payload.
fn items(count: u32) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..count)
        .map(|n| {
            let key = n.wrapping_mul(2_654_435_761) % (count / 3).max(1);
            let mut bytes = key.to_be_bytes().to_vec();
            bytes.resize(4 + (key % 9) as usize, 7);
            (bytes, n.to_be_bytes().to_vec())
        })
        .collect()
}

fn sorted(
    items: &[(Vec<u8>, Vec<u8>)],
    wanted: Option<usize>,
    memory: &Memory,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut sorter = Sorter::new("a test", wanted, memory);
    for (key, payload) in items {
        sorter.push(key, payload).expect("pushed");
    }
    let mut sorted = sorter.finish().expect("sorted");
    let mut found = Vec::new();
    while let Some((key, payload)) = sorted.front() {
        found.push((key.to_vec(), payload.to_vec()));
        sorted.pop().expect("popped");
    }
    found
}

#[test]
fn runs_merge_into_the_order_that_memory_gives() {
    let (dir, space) = space(u64::MAX);
    for count in [0, 1, 100, 20_000] {
        let items = items(count);
        let mut expected = items.clone();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        for limit in [500, 10_000, 1 << 30] {
            for wanted in [None, Some(0), Some(1), Some(777), Some(15_000)] {
                let found = sorted(&items, wanted, &memory(limit, Some(&space)));
                let most = wanted.unwrap_or(usize::MAX).min(items.len());
                assert!(found == expected[..most], "{count} {limit} {wanted:?}");
            }
        }
    }
    assert!(space.files() > 0);
    assert_eq!(space.used_bytes(), 0, "given back");
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("readable").count(),
        0,
        "no file has a name"
    );
}

#[test]
fn memory_and_disk_have_ends() {
    let items = items(2000);
    let push_all = |memory: &Memory| {
        let mut sorter = Sorter::new("a test", None, memory);
        items
            .iter()
            .try_for_each(|(key, payload)| sorter.push(key, payload))
    };
    assert!(push_all(&memory(1 << 20, None)).is_ok());
    let refused = push_all(&memory(1000, None)).expect_err("too much");
    assert_eq!(refused.code, 292);
    let (_dir, small) = space(100);
    let refused = sorted_error(&self::items(30_000), &memory(1000, Some(&small)));
    assert_eq!(refused, 14031);
    assert_eq!(small.used_bytes(), 0);
}

fn sorted_error(items: &[(Vec<u8>, Vec<u8>)], memory: &Memory) -> i32 {
    let mut sorter = Sorter::new("a test", None, memory);
    for (key, payload) in items {
        if let Err(error) = sorter.push(key, payload) {
            return error.code;
        }
    }
    sorter.finish().map_or_else(|error| error.code, |_| 0)
}

#[test]
fn rows_are_the_same_in_memory_and_in_a_file() {
    let (_dir, space) = space(u64::MAX);
    for limit in [0, 4000, 1 << 20] {
        let mut rows = Rows::new("a test", &memory(limit, Some(&space)));
        for round in 0..2 {
            for n in 0..1000_u32 {
                rows.push(&n.to_be_bytes()[..(n % 5) as usize])
                    .expect("kept");
            }
            for n in (0..1000_u32).rev() {
                let row = rows.get(n as usize).expect("there");
                assert_eq!(row, &n.to_be_bytes()[..(n % 5) as usize], "{limit} {round}");
            }
            assert_eq!(rows.len(), 1000);
            rows.clear();
        }
    }
    let mut rows = Rows::new("a test", &memory(100, None));
    let refused = (0..100).try_for_each(|_| rows.push(b"0123456789"));
    assert_eq!(refused.expect_err("too much").code, 292);
}
