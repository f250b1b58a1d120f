//! Log lines and counters.
