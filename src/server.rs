//! Accept loop with its time limits, ordered drain.
