//! How long things took, in fixed buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::exposition::Text;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_US: [u64; 13] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// Counts by bucket; recording is two increments and waits for nobody.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Not cumulative; the last is everything above the largest bound.
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Something took so long.
    pub(super) fn record(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// Adds another's counts.
    pub(super) fn add(&self, other: &Self) {
        for (to, from) in self.buckets.iter().zip(&other.buckets) {
            to.fetch_add(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.sum_us
            .fetch_add(other.sum_us.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Bounds in seconds with what lies at or below each, and the sum of all in seconds.
    pub(super) fn read(&self) -> (Vec<(Option<f64>, u64)>, f64) {
        let mut cumulative = 0;
        let buckets = self.buckets.iter().enumerate().map(|(index, bucket)| {
            cumulative += bucket.load(Ordering::Relaxed);
            let bound = BUCKETS_US.get(index).map(|micros| *micros as f64 / 1e6);
            (bound, cumulative)
        });
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        (buckets.collect(), sum)
    }

    /// As [`Self::write`], if anything was recorded.
    pub(super) fn write_used(&self, text: &mut Text, labels: &[(&str, &str)]) {
        let mut buckets = self.buckets.iter();
        if buckets.any(|bucket| bucket.load(Ordering::Relaxed) > 0) {
            self.write(text, labels);
        }
    }

    /// The samples of a family, with these labels on each.
    pub(super) fn write(&self, text: &mut Text, labels: &[(&str, &str)]) {
        let (buckets, sum) = self.read();
        let mut count = 0;
        for (bound, cumulative) in buckets {
            count = cumulative;
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            text.sample("_bucket", &labels, cumulative);
        }
        text.sample("_sum", labels, sum);
        text.sample("_count", labels, count);
    }
}
