//! How many connections the process's file descriptors allow.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Part of the descriptors that is kept for plugins, the database and logs.
const RESERVED_FRACTION: u64 = 4;
/// More than this is never kept for them.
const MOST_RESERVED: u64 = 1024;

/// Raises the process's limit of descriptors as far as it may, and gives how many of `wanted`
/// connections fit: one that is accepted must not cost a plugin the file it wants to open.
pub(super) fn connections_that_fit(wanted: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let most = rustix::process::Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // Where the system refuses, what is allowed now must do.
        if setrlimit(Resource::Nofile, most).is_ok() {
            limit = most;
        }
    }
    let fitting = fitting(wanted, limit.current);
    if fitting < wanted {
        tracing::warn!(
            max_connections = fitting,
            wanted,
            descriptors = limit.current,
            "fewer connections than configured: the process may not open more files (ulimit -n)"
        );
    }
    fitting
}

fn fitting(wanted: usize, descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else {
        return wanted;
    };
    let reserved = (descriptors / RESERVED_FRACTION).min(MOST_RESERVED);
    let room = usize::try_from(descriptors - reserved).unwrap_or(usize::MAX);
    wanted.min(room).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_for_others() {
        assert_eq!(fitting(16_384, None), 16_384);
        assert_eq!(fitting(16_384, Some(1 << 20)), 16_384);
        assert_eq!(fitting(16_384, Some(16_384)), 15_360);
        assert_eq!(fitting(16_384, Some(1024)), 768);
        assert_eq!(fitting(10, Some(1024)), 10);
        assert_eq!(fitting(10, Some(0)), 1);
    }
}
