use super::*;

const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();

fn user<'a>(app_id: &'a str, user_id: &'a str) -> Counted<'a> {
    Counted::User { app_id, user_id }
}

#[test]
fn each_caller_has_its_own() {
    let rate = RateTable::new(1024).rate("user", TWO);
    for who in [
        user("a", "bc"),
        user("ab", "c"),
        user("a", "b"),
        user("b", "bc"),
    ] {
        assert_eq!(rate.count(who), Ok(()), "{who:?}");
        assert_eq!(rate.count(who), Ok(()), "{who:?}");
        let wait = rate.count(who).unwrap_err();
        assert!(wait <= Duration::from_secs(30), "{wait:?}");
    }
    rate.count(Counted::Address([1, 2, 3, 4].into())).unwrap();
}

#[test]
fn rates_of_one_table_do_not_share_but_one_made_again_goes_on() {
    let table = RateTable::new(1024);
    let (one, other) = (table.rate("one", TWO), table.rate("other", TWO));
    for _ in 0..2 {
        one.count("x").unwrap();
    }
    one.count("x").unwrap_err();
    other.count("x").unwrap();
    drop(one);
    table.rate("one", TWO).count("x").unwrap_err();
}

#[test]
fn a_crowd_has_a_bound_and_does_not_free_who_is_over_its_limit() {
    let table = RateTable::new(64);
    let rate = table.rate("user", TWO);
    for _ in 0..2 {
        rate.count("greedy").unwrap();
    }
    // Each calls once: whoever has used up its rate stays.
    for caller in 0..10_000 {
        rate.count(caller).unwrap();
    }
    rate.count("greedy").unwrap_err();
    assert_eq!(table.sets.get().unwrap().len() * WAYS, 64);
    assert!(table.evicted() >= 10_000 - 64, "{}", table.evicted());
}

#[test]
fn without_limits_nothing_is_kept() {
    let limits = RateLimits::new(&RatesConfig::default());
    for _ in 0..1000 {
        limits.count_user("a", "u").unwrap();
        limits.count_plugin("a", "p").unwrap();
        limits.count_address([127, 0, 0, 1].into()).unwrap();
    }
    assert!(limits.of_route(("p", "GET", "/"), None).is_none());
    assert!(limits.table.sets.get().is_none());
}

#[test]
fn refusals_are_counted_by_limit() {
    let limits = RateLimits::new(&RatesConfig {
        user: 1,
        plugin: 1,
        ..RatesConfig::default()
    });
    for _ in 0..3 {
        limits.count_user("a", "u").ok();
    }
    limits.count_plugin("a", "p").unwrap();
    limits.count_plugin("b", "p").unwrap();
    limits.count_plugin("a", "p").unwrap_err();
    let refused = [
        ("user", 2),
        ("address", 0),
        ("route", 0),
        ("plugin", 1),
        ("hook", 0),
        ("client_event", 0),
    ];
    assert_eq!(limits.refused(), refused);
}
