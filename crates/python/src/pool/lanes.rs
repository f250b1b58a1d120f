//! What waits for a pool's threads: first come, first served, but no plugin beyond its share.
//!
//! A plugin's place is taken from the moment its work may start until the thread is really free, also
//! where nobody waits for the result any more.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use foldhash::fast::RandomState;

/// Bounds of one pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Threads.
    pub threads: usize,
    /// Threads that one plugin may have.
    pub share: usize,
    /// Work that waits.
    pub capacity: usize,
}

/// Work of one plugin.
pub(super) trait Work {
    /// The plugin; empty for nobody's.
    fn plugin(&self) -> &Arc<str>;
}

/// The queue. Plugins that have been seen are remembered, which are as many as there are plugins.
pub(super) struct Lanes<J> {
    /// May start as soon as there is a thread.
    ready: VecDeque<J>,
    lanes: HashMap<Arc<str>, Lane<J>, RandomState>,
    waiting: usize,
    bounds: Bounds,
}

struct Lane<J> {
    /// Ready or running.
    places: usize,
    /// Waits for a place.
    held_back: VecDeque<J>,
}

impl<J: Work> Lanes<J> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            ready: VecDeque::new(),
            lanes: HashMap::default(),
            waiting: 0,
            bounds,
        }
    }

    /// Puts work down; `Ok(true)` where a thread may take it now. Given back where there is no room: of
    /// the queue a plugin may have half.
    pub(super) fn push(&mut self, job: J) -> Result<bool, J> {
        let half = self.bounds.capacity.div_ceil(2);
        if self.waiting >= self.bounds.capacity {
            return Err(job);
        }
        let lane = match self.lanes.get_mut(job.plugin()) {
            Some(lane) => lane,
            None => self.lanes.entry(job.plugin().clone()).or_insert(Lane {
                places: 0,
                held_back: VecDeque::new(),
            }),
        };
        let starts = lane.places < self.bounds.share;
        if starts {
            lane.places += 1;
            self.ready.push_back(job);
        } else if lane.held_back.len() < half {
            lane.held_back.push_back(job);
        } else {
            return Err(job);
        }
        self.waiting += 1;
        Ok(starts)
    }

    /// The next to start. Its place is given back with [`Self::ended`].
    pub(super) fn take(&mut self) -> Option<J> {
        let job = self.ready.pop_front()?;
        self.waiting -= 1;
        Some(job)
    }

    /// A thread is done with a plugin's work.
    pub(super) fn ended(&mut self, plugin: &str) {
        let Some(lane) = self.lanes.get_mut(plugin) else {
            return;
        };
        match lane.held_back.pop_front() {
            // Behind what others have waiting.
            Some(next) => self.ready.push_back(next),
            None => lane.places -= 1,
        }
    }

    /// Takes out what has not started.
    pub(super) fn withdraw(&mut self, wanted: impl Fn(&J) -> bool) -> Option<J> {
        if let Some(at) = self.ready.iter().position(&wanted) {
            let job = self.ready.remove(at)?;
            self.waiting -= 1;
            self.ended(&job.plugin().clone());
            return Some(job);
        }
        for lane in self.lanes.values_mut() {
            if let Some(at) = lane.held_back.iter().position(&wanted) {
                self.waiting -= 1;
                return lane.held_back.remove(at);
            }
        }
        None
    }

    /// Whether such work waits.
    pub(super) fn any(&self, wanted: impl Fn(&J) -> bool) -> bool {
        let held_back = self.lanes.values().flat_map(|lane| &lane.held_back);
        self.ready.iter().chain(held_back).any(wanted)
    }

    /// How many a thread may take now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many wait, for a thread or for a place.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> Vec<J> {
        self.waiting = 0;
        let mut all = Vec::from(std::mem::take(&mut self.ready));
        for lane in self.lanes.values_mut() {
            all.extend(lane.held_back.drain(..));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Job(Arc<str>, u32);

    impl Work for Job {
        fn plugin(&self) -> &Arc<str> {
            &self.0
        }
    }

    fn job(plugin: &str, number: u32) -> Job {
        Job(plugin.into(), number)
    }

    fn lanes() -> Lanes<Job> {
        Lanes::new(Bounds {
            threads: 4,
            share: 2,
            capacity: 6,
        })
    }

    #[test]
    fn a_plugin_has_its_share_and_others_go_first() {
        let mut lanes = lanes();
        let starts: Vec<bool> = (0..4).map(|n| lanes.push(job("a", n)).unwrap()).collect();
        assert_eq!(starts, [true, true, false, false]);
        assert!(lanes.push(job("b", 9)).unwrap());
        assert_eq!((lanes.ready(), lanes.waiting()), (3, 5));
        assert_eq!(lanes.take(), Some(job("a", 0)));
        assert_eq!(lanes.take(), Some(job("a", 1)));
        assert_eq!(lanes.take(), Some(job("b", 9)));
        assert_eq!(lanes.take(), None, "its share is taken");
        lanes.ended("a");
        assert_eq!(lanes.take(), Some(job("a", 2)));
        assert_eq!(lanes.take(), None);
        lanes.ended("a");
        lanes.ended("a");
        lanes.ended("b");
        assert_eq!(lanes.take(), Some(job("a", 3)));
        assert_eq!((lanes.take(), lanes.waiting()), (None, 0));
    }

    #[test]
    fn the_queue_is_bounded_and_half_of_it_is_for_others() {
        let mut lanes = lanes();
        for number in 0..5 {
            lanes.push(job("a", number)).unwrap();
        }
        assert_eq!(lanes.push(job("a", 5)), Err(job("a", 5)));
        lanes.push(job("b", 0)).unwrap();
        assert_eq!(lanes.push(job("c", 0)), Err(job("c", 0)), "all is full");
        assert_eq!(lanes.clear().len(), 6);
        assert_eq!(lanes.waiting(), 0);
    }

    #[test]
    fn what_is_withdrawn_gives_its_place_to_the_next() {
        let mut lanes = lanes();
        for number in 0..4 {
            lanes.push(job("a", number)).unwrap();
        }
        assert!(lanes.any(|job| job.1 == 3));
        assert_eq!(lanes.withdraw(|job| job.1 == 3), Some(job("a", 3)));
        assert!(!lanes.any(|job| job.1 == 3));
        assert_eq!(lanes.withdraw(|job| job.1 == 0), Some(job("a", 0)));
        assert_eq!(lanes.withdraw(|job| job.1 == 0), None);
        assert_eq!(lanes.take(), Some(job("a", 1)));
        assert_eq!(lanes.take(), Some(job("a", 2)));
        assert_eq!(lanes.waiting(), 0);
    }
}
