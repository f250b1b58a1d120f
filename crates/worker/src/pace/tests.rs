use super::*;

const CROWD: OnProcessor = OnProcessor {
    ran: 10_000_000,
    waited: 10_000_000,
};

fn paced(each_ns: u64, crowded: bool) -> Pace {
    let pace = Pace::new();
    pace.each_ns.store(each_ns, Ordering::Relaxed);
    pace.crowded.store(crowded, Ordering::Relaxed);
    pace.begins();
    pace
}

#[test]
fn a_worker_gathers_short_calls_where_processors_are_short() {
    let pace = paced(20_000, true);
    assert!(pace.is_quick(|| 0));
    assert!(pace.is_quick(|| 50));
    assert!(!pace.is_quick(|| 200), "what waits would take too long");
    assert!(!paced(20_000, false).is_quick(|| 0), "there are processors");
    assert!(!paced(1_000_000, true).is_quick(|| 1), "they are not short");
}

#[test]
fn a_worker_that_does_not_answer_is_not_quick() {
    let mut pace = paced(20_000, true);
    pace.base -= std::time::Duration::from_millis(5);
    assert!(!pace.is_quick(|| 1));
    pace.answered(1000);
    assert!(pace.is_quick(|| 1));
}

#[test]
fn waiting_threads_say_that_processors_are_short() {
    let pace = paced(20_000, false);
    let none = OnProcessor::default();
    pace.saw(none, CROWD);
    assert!(pace.is_quick(|| 1));
    let idle = OnProcessor {
        waited: CROWD.waited + 1_000_000,
        ..CROWD
    };
    pace.saw(CROWD, idle);
    assert!(pace.is_quick(|| 1), "one that hardly runs says nothing");
    let alone = OnProcessor {
        ran: CROWD.ran + 50_000_000,
        waited: CROWD.waited + 1_000_000,
    };
    pace.saw(CROWD, alone);
    assert!(!pace.is_quick(|| 1));
}

#[test]
fn the_kernel_tells_of_this_process() {
    let Some(seen) = OnProcessor::of(std::process::id()) else {
        eprintln!("skipped: this kernel does not say how long threads waited");
        return;
    };
    assert!(seen.ran > 0);
}

#[test]
fn answers_set_the_pace() {
    let pace = paced(SHORT_NS, true);
    for _ in 0..200 {
        pace.begins();
        pace.answered(10);
    }
    assert!(pace.each_ns.load(Ordering::Relaxed) < SHORT_NS / 4);
}
