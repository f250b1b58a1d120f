//! Times in microseconds, counted in buckets that grow with the time: exact below 128, then 1.6 % wide.

/// Buckets for each doubling.
const STEPS: usize = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
const BUCKETS: usize = STEPS * (64 - STEP_BITS as usize + 1);

/// Counted times.
pub struct Histogram {
    counts: Box<[u64]>,
    total: u64,
    max_us: u64,
}

impl Histogram {
    /// Nothing counted.
    pub fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS].into(),
            total: 0,
            max_us: 0,
        }
    }

    /// Counts one time.
    pub fn record(&mut self, micros: u64) {
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.max_us = self.max_us.max(micros);
    }

    /// The time that this share of all (0 to 1) does not exceed; `None` where nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(index, count)| {
            seen += count;
            (*count > 0 && seen >= wanted).then(|| upper_end(index).min(self.max_us))
        })
    }

    /// The longest time; 0 where nothing was counted.
    pub fn max(&self) -> u64 {
        self.max_us
    }
}

fn bucket(micros: u64) -> usize {
    let doublings = (u64::BITS - micros.leading_zeros()).saturating_sub(STEP_BITS + 1);
    doublings as usize * STEPS + (micros >> doublings) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let doublings = (bucket / STEPS).saturating_sub(1);
    let step = (bucket - doublings * STEPS) as u64;
    ((step + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        let mut before = 0;
        for micros in (0..200).chain([1000, 1023, 1024, 65_536, 1 << 30]) {
            let found = bucket(micros);
            assert!(found >= before, "{micros}");
            before = found;
            let end = upper_end(found);
            assert!(
                end >= micros && end - micros <= micros / STEPS as u64,
                "{micros} {end}"
            );
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_of_what_was_counted() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=100).for_each(|micros| histogram.record(micros));
        assert_eq!(histogram.quantile(0.5), Some(50));
        assert_eq!(histogram.quantile(0.99), Some(99));
        assert_eq!(histogram.max(), 100);
    }
}
