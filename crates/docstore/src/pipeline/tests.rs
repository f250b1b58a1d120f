//! Unit tests of pipelines.
