//! Queues on a real store, several "gateways" at once.

mod recurring;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bson::{Bson, DateTime, Document, doc};
use docstore::server::{Config, Listen, Server};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::*;
use mozaiks_store::{CollectionSpec, Health, Store, StoreConfig};

const JOBS: &str = "some_jobs";
const COLLECTIONS: &[CollectionSpec] = &[collection(JOBS)];
const PATIENCE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(30);

/// A database of its own, and queues over it.
struct Base {
    _server: Server,
    dir: tempfile::TempDir,
}

impl Base {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let server = Server::start(Config::new(dir.path().join("data"), Listen::Unix(path)));
        Self {
            _server: server.await.unwrap(),
            dir,
        }
    }

    /// The queue as another gateway has it: its own connection.
    async fn queue(&self) -> Arc<JobQueue> {
        let path = self.dir.path().join("s.sock");
        let uri = format!(
            "mongodb://{}/?directConnection=true",
            path.to_string_lossy().replace('/', "%2F")
        );
        let store = Store::open(StoreConfig::new(uri), COLLECTIONS.to_vec())
            .await
            .unwrap();
        let mut health = store.watch_health();
        let up = tokio::time::timeout(PATIENCE, health.wait_for(Health::is_up));
        up.await.expect("the database answers").unwrap();
        JobQueue::new(store, JOBS)
    }
}

fn job(id: &str) -> NewJob {
    NewJob::now(id, "q", "app", Bson::Null)
}

fn queues() -> Vec<String> {
    vec!["q".to_owned()]
}

fn options(concurrency: usize) -> WorkerOptions {
    WorkerOptions {
        queues: queues(),
        concurrency,
        lease: LEASE,
        poll: Duration::from_millis(20),
        attempts: 3,
        retry: Backoff {
            first: Duration::from_millis(5),
            longest: Duration::from_millis(20),
        },
    }
}

async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let done = tokio::time::timeout(PATIENCE, looking).await;
    assert!(done.is_ok(), "it does not come to: {what}");
}

async fn state_of(queue: &JobQueue, id: &str) -> String {
    queue
        .find(id)
        .await
        .unwrap()
        .map_or_else(String::new, |job| job.state)
}

/// Does what its plan says for a job, and counts.
#[derive(Default)]
struct Scripted {
    runs: Mutex<HashMap<String, usize>>,
    given_up: Mutex<Vec<String>>,
    most_at_once: AtomicUsize,
    at_once: AtomicUsize,
    plan: HashMap<String, Vec<Outcome>>,
}

impl Handler for Scripted {
    fn run<'a>(&'a self, job: &'a Job, _: &'a Stopping) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let now = self.at_once.fetch_add(1, SeqCst) + 1;
            self.most_at_once.fetch_max(now, SeqCst);
            let run = {
                let mut runs = self.runs.lock();
                let run = runs.entry(job.id.clone()).or_default();
                *run += 1;
                *run - 1
            };
            tokio::task::yield_now().await;
            self.at_once.fetch_sub(1, SeqCst);
            let planned = self.plan.get(&job.id).and_then(|plan| plan.get(run));
            assert_ne!(planned, Some(&Outcome::Retry("panic".into())), "as planned");
            planned.cloned().unwrap_or(Outcome::Done)
        })
    }

    fn give_up<'a>(&'a self, job: &'a Job, _: &'a str) -> BoxFuture<'a, ()> {
        self.given_up.lock().push(job.id.clone());
        Box::pin(async {})
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_due_jobs_each_is_claimed_once_by_one_of_several_gateways() {
    let base = Base::start().await;
    let (one, two) = (base.queue().await, base.queue().await);
    for n in 0..120 {
        assert!(one.add(job(&format!("{n}"))).await.unwrap());
    }
    assert!(!two.add(job("7")).await.unwrap(), "the id is taken");
    let handler = Arc::new(Scripted::default());
    let mut workers = Workers::default();
    for queue in [&one, &two, &one, &two] {
        workers.start(Arc::clone(queue), options(3), handler.clone());
    }
    until("all done", async || {
        one.stats().done + two.stats().done >= 120
    })
    .await;
    workers.stop().await;
    let runs = handler.runs.lock().clone();
    assert_eq!(runs.len(), 120);
    assert!(runs.values().all(|count| *count == 1), "{runs:?}");
    assert!(handler.most_at_once.load(SeqCst) <= 12);
    let counts = one.count("app").await.unwrap();
    assert_eq!(counts, [("q".to_owned(), "done".to_owned(), 120)]);
    assert_eq!(one.stats().claimed + two.stats().claimed, 120);
}

#[tokio::test]
async fn a_typed_payload_comes_back_and_the_claim_says_whose_job_it_is() {
    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    struct Errand {
        to: String,
        weight: f64,
        parts: Vec<i64>,
    }
    let base = Base::start().await;
    let queue = base.queue().await;
    let errand = Errand {
        to: "ann".into(),
        weight: 0.5,
        parts: vec![1, i64::MAX],
    };
    let new = NewJob::now("a", "errands", "app", Bson::Null).with_field("user_id", "ann");
    queue.add_with(new, &errand).await.unwrap();
    let both = ["q".to_owned(), "errands".to_owned()];
    assert!(queue.claim(&queues(), LEASE).await.unwrap().is_none());
    let claimed = queue.claim(&both, LEASE).await.unwrap().unwrap();
    assert_eq!((claimed.queue.as_str(), claimed.attempts), ("errands", 1));
    assert_eq!(claimed.field("user_id"), Some("ann"));
    assert_eq!(claimed.read::<Errand>().unwrap(), errand);
    assert!(claimed.read::<Vec<String>>().is_err());
    assert!(
        queue.claim(&both, LEASE).await.unwrap().is_none(),
        "it is taken"
    );
}

#[tokio::test]
async fn a_job_whose_worker_died_is_taken_up_and_the_dead_cannot_end_it() {
    let base = Base::start().await;
    let queue = base.queue().await;
    queue.add(job("a")).await.unwrap();
    let dead = queue
        .claim(&queues(), Duration::ZERO)
        .await
        .unwrap()
        .unwrap();
    let alive = queue.claim(&queues(), LEASE).await.unwrap().unwrap();
    assert_eq!(alive.attempts, 2);
    assert_eq!(alive.due_at, dead.due_at);
    assert!(!queue.finish(&dead, Finish::Done).await.unwrap());
    assert!(!queue.renew(&dead, LEASE).await.unwrap());
    assert!(queue.renew(&alive, LEASE).await.unwrap());
    assert!(queue.finish(&alive, Finish::Done).await.unwrap());
    assert_eq!(state_of(&queue, "a").await, "done");
}

#[tokio::test]
async fn a_job_that_outlasts_its_lease_is_kept_by_its_worker() {
    struct Slow(Semaphore, AtomicUsize);
    impl Handler for Slow {
        fn run<'a>(&'a self, _: &'a Job, _: &'a Stopping) -> BoxFuture<'a, Outcome> {
            Box::pin(async move {
                self.1.fetch_add(1, SeqCst);
                self.0.acquire().await.unwrap().forget();
                Outcome::Done
            })
        }
    }
    let base = Base::start().await;
    let queue = base.queue().await;
    let handler = Arc::new(Slow(Semaphore::new(0), AtomicUsize::new(0)));
    let mut workers = Workers::default();
    let lease = Duration::from_millis(600);
    let short = WorkerOptions {
        lease,
        ..options(2)
    };
    workers.start(Arc::clone(&queue), short, handler.clone());
    queue.add(job("a")).await.unwrap();
    until("begun", async || queue.stats().running == 1).await;
    // Well over the lease the job is still its worker's.
    tokio::time::sleep(lease * 3).await;
    assert_eq!(handler.1.load(SeqCst), 1);
    handler.0.add_permits(2);
    until("done", async || queue.stats().done == 1).await;
    workers.stop().await;
    assert_eq!((queue.stats().claimed, queue.stats().lost), (1, 0));
}

#[tokio::test]
async fn what_fails_is_tried_again_and_then_kept_as_a_dead_letter_until_somebody_puts_it_back() {
    let base = Base::start().await;
    let queue = base.queue().await;
    let retry = || Outcome::Retry("busy".into());
    let plan = HashMap::from([
        ("passing".to_owned(), vec![retry(), retry()]),
        ("dead".to_owned(), vec![retry(), retry(), retry()]),
        ("refused".to_owned(), vec![Outcome::Failed("no".into())]),
        ("panics".to_owned(), vec![Outcome::Retry("panic".into())]),
    ]);
    let handler = Arc::new(Scripted {
        plan,
        ..Scripted::default()
    });
    let mut workers = Workers::default();
    workers.start(Arc::clone(&queue), options(4), handler.clone());
    for id in ["passing", "dead", "refused", "panics"] {
        queue.add(job(id)).await.unwrap();
    }
    until("two done", async || {
        queue.stats().done == 2 && queue.stats().failed == 2
    })
    .await;
    let runs = handler.runs.lock().clone();
    let of = |id: &str| runs[id];
    assert_eq!(
        (of("passing"), of("dead"), of("refused"), of("panics")),
        (3, 3, 1, 2)
    );
    assert_eq!(queue.stats().panicked, 1);
    let dead = queue.find("dead").await.unwrap().unwrap();
    assert_eq!((dead.state.as_str(), dead.attempts), ("failed", 3));
    assert_eq!(dead.reason.as_deref(), Some("busy"));
    let mut given_up = handler.given_up.lock().clone();
    given_up.sort();
    assert_eq!(given_up, ["dead", "refused"]);
    assert!(queue.revive("other", &["q"], "dead").await.is_err());
    queue.revive("app", &["q"], "dead").await.unwrap();
    until("three done", async || queue.stats().done == 3).await;
    assert!(queue.revive("app", &["q"], "dead").await.is_err());
    workers.stop().await;
}

#[tokio::test]
async fn a_job_that_kills_its_workers_ends_as_a_dead_letter() {
    let base = Base::start().await;
    let queue = base.queue().await;
    queue.add(job("poison")).await.unwrap();
    for _ in 0..3 {
        queue
            .claim(&queues(), Duration::ZERO)
            .await
            .unwrap()
            .unwrap();
    }
    let handler = Arc::new(Scripted::default());
    let mut workers = Workers::default();
    workers.start(Arc::clone(&queue), options(1), handler.clone());
    until("dead", async || {
        state_of(&queue, "poison").await == "failed"
    })
    .await;
    workers.stop().await;
    assert!(handler.runs.lock().is_empty());
    assert_eq!(*handler.given_up.lock(), ["poison"]);
}

#[tokio::test]
async fn what_is_no_job_is_put_aside_and_holds_nothing_up() {
    let base = Base::start().await;
    let queue = base.queue().await;
    let long_ago = DateTime::from_millis(0);
    let stored: Vec<Document> = vec![
        doc! { "queue": "q", "run_at": long_ago, "attempts": 0 },
        doc! { "_id": "n", "queue": "q", "run_at": long_ago, "app_id": 7, "attempts": 0 },
        doc! { "_id": "s", "queue": "q", "run_at": long_ago, "app_id": "app", "attempts": 0,
        "schedule": "often" },
    ];
    queue.jobs().unwrap().insert_many(stored).await.unwrap();
    queue.add(job("good")).await.unwrap();
    let claimed = queue.claim(&queues(), LEASE).await.unwrap().unwrap();
    assert_eq!(claimed.id, "good");
    assert_eq!(queue.stats().malformed, 3);
    assert_eq!(state_of(&queue, "s").await, "failed");
}

#[tokio::test]
async fn adding_wakes_a_worker_that_would_look_in_an_hour() {
    let base = Base::start().await;
    let queue = base.queue().await;
    let handler = Arc::new(Scripted::default());
    let mut workers = Workers::default();
    let poll = Duration::from_secs(3600);
    let lazy = WorkerOptions { poll, ..options(1) };
    workers.start(Arc::clone(&queue), lazy, handler.clone());
    // One at a time, so that the worker goes to sleep in between; then many at once for one place.
    for n in 0..20 {
        queue.add(job(&format!("{n}"))).await.unwrap();
        until("done", async || queue.stats().done == n + 1).await;
    }
    futures_util::future::join_all((20..60).map(|n| {
        let queue = Arc::clone(&queue);
        async move { queue.add(job(&format!("{n}"))).await.unwrap() }
    }))
    .await;
    until("all done", async || queue.stats().done == 60).await;
    assert_eq!(handler.most_at_once.load(SeqCst), 1);
    workers.stop().await;
}

#[tokio::test]
async fn stopping_puts_an_interrupted_job_back_without_counting_the_attempt() {
    struct Patient;
    impl Handler for Patient {
        fn run<'a>(&'a self, _: &'a Job, stopping: &'a Stopping) -> BoxFuture<'a, Outcome> {
            Box::pin(async move {
                while !stopping.is_asked() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Outcome::Interrupted
            })
        }
    }
    let base = Base::start().await;
    let queue = base.queue().await;
    let mut workers = Workers::default();
    workers.start(Arc::clone(&queue), options(1), Arc::new(Patient));
    queue.add(job("a")).await.unwrap();
    until("begun", async || queue.stats().running == 1).await;
    workers.stop().await;
    assert_eq!((queue.stats().released, queue.stats().running), (1, 0));
    let again = queue.claim(&queues(), LEASE).await.unwrap().unwrap();
    assert_eq!(again.attempts, 1);
}

#[tokio::test]
async fn a_job_is_called_off_only_before_it_begins() {
    let base = Base::start().await;
    let queue = base.queue().await;
    let later = DateTime::from_millis(DateTime::now().timestamp_millis() + 3_600_000);
    queue.add(job("later").at(later)).await.unwrap();
    queue.add(job("now")).await.unwrap();
    let running = queue.claim(&queues(), LEASE).await.unwrap().unwrap();
    assert_eq!(running.id, "now");
    queue.cancel("app", "q", "later").await.unwrap();
    for (app, id, not_found) in [
        ("app", "later", false),
        ("app", "now", false),
        ("other", "now", true),
    ] {
        let refused = queue.cancel(app, "q", id).await.unwrap_err();
        assert_eq!(
            matches!(refused, JobError::NotFound),
            not_found,
            "{refused}"
        );
    }
    let states = ["cancelled"];
    let filter = JobFilter {
        app_id: "app",
        states: &states,
        limit: 10,
        ..JobFilter::default()
    };
    let listed = queue.list(&filter).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, "later");
}
