//! Groups: who is reached, who is there, what is made up for, and what is bounded.

use super::*;
use crate::hub::groups::GroupError;

fn grouped(config: RealtimeConfig) -> Arc<Hub> {
    setup(RealtimeConfig {
        gather: Duration::ZERO,
        ..config
    })
    .hub
}

fn plain(hub: &Hub, app: &str, user: &str) -> Client {
    Client::try_join(hub, app, user, Form::Plain, None).unwrap()
}

fn leave(hub: &Hub, client: &Client) {
    hub.unsubscribe(&client.connection);
}

/// Comes back where `client` stopped, in its place.
fn come_back(hub: &Hub, client: &Client, offset: u64, named: bool) -> Client {
    let place = named.then_some(&*client.connection.id);
    let connection = hub
        .subscribe(Subscribe {
            app_id: Arc::clone(&client.connection.app_id),
            user_id: Arc::clone(&client.connection.user_id),
            form: Form::Tracked,
            resume: Some(Resume::parse(&client.position(offset)).in_place_of(place)),
            outbound: hub.outbound(None),
        })
        .unwrap();
    let mut client = Client {
        connection,
        ack: Value::Null,
        early: Mutex::default(),
    };
    let mut said = client.receive();
    client.ack = said.remove(0);
    *client.early.lock() = said;
    client
}

fn users(hub: &Hub, group: &str) -> Vec<String> {
    let present = hub.group_presence("a", group).users;
    present.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_group_is_its_members_connections_and_no_others() {
    let hub = grouped(RealtimeConfig::default());
    let (ann, tab) = (plain(&hub, "a", "ann"), plain(&hub, "a", "ann"));
    let (bob, eve) = (plain(&hub, "a", "bob"), plain(&hub, "a", "eve"));
    let (other_ann, other_bob) = (plain(&hub, "b", "ann"), plain(&hub, "b", "bob"));
    let id = &*ann.connection.id;
    assert_eq!(hub.subscribe_to_group("a", id, "g", false), Ok(1));
    assert_eq!(hub.subscribe_to_group("a", id, "g", false), Ok(1));
    assert_eq!(hub.subscribe_to_group("a", "bob", "g", false), Ok(1));
    // Another app's connection and user are nobody here, and its group of this name is its own.
    let foreign = &*other_ann.connection.id;
    assert_eq!(hub.subscribe_to_group("a", foreign, "g", false), Ok(0));
    assert_eq!(hub.subscribe_to_group("c", "bob", "g", false), Ok(0));
    assert_eq!(hub.subscribe_to_group("b", "bob", "g", false), Ok(1));
    assert_eq!(hub.subscribe_to_group("a", "nobody", "g", false), Ok(0));

    assert_eq!(hub.send_to_group("a", "g", &message(1)).await, 2);
    assert_eq!(hub.send_to_group("a", "other", &message(2)).await, 0);
    assert_eq!(hub.send_to_group("c", "g", &message(2)).await, 0);
    assert_eq!((ann.numbers(), bob.numbers()), (vec![1], vec![1]));
    for client in [&tab, &eve, &other_ann, &other_bob] {
        assert!(client.receive().is_empty());
    }
    assert_eq!(users(&hub, "g"), ["ann", "bob"]);

    // A user is in it with what comes too.
    let second = plain(&hub, "a", "bob");
    assert_eq!(hub.send_to_group("a", "g", &message(3)).await, 3);
    assert_eq!((bob.numbers(), second.numbers()), (vec![3], vec![3]));

    assert_eq!(hub.unsubscribe_from_group("b", id, "g"), Ok(false));
    assert_eq!(hub.unsubscribe_from_group("a", id, "g"), Ok(true));
    assert_eq!(hub.unsubscribe_from_group("a", id, "g"), Ok(false));
    assert_eq!(hub.unsubscribe_from_group("a", "bob", "g"), Ok(true));
    assert_eq!(hub.send_to_group("a", "g", &message(4)).await, 0);
    assert!(users(&hub, "g").is_empty());
    assert_eq!(hub.stats().groups, 1, "of the app b");
}

#[tokio::test]
async fn who_comes_back_has_what_the_groups_were_sent() {
    for named in [true, false] {
        let hub = grouped(RealtimeConfig::default());
        let (ann, tab) = (
            Client::join(&hub, "a", "ann", None),
            plain(&hub, "a", "ann"),
        );
        let id = &*ann.connection.id;
        assert_eq!(hub.subscribe_to_group("a", id, "g", false), Ok(1));
        assert_eq!(hub.send_to_group("a", "g", &message(1)).await, 1);
        hub.send_to_user("a", "ann", &message(2));
        assert_eq!(ann.numbers(), [1, 2]);
        leave(&hub, &ann);
        assert!(users(&hub, "g").is_empty());
        assert_eq!(hub.send_to_group("a", "g", &message(3)).await, 0);
        hub.send_to_user("a", "ann", &message(4));
        let back = come_back(&hub, &ann, 1, named);
        assert_eq!(back.ack["recovered"], true);
        assert_eq!(back.numbers(), [2, 3, 4]);
        // It is in the group again, and the other tab never was.
        assert_eq!(users(&hub, "g"), ["ann"]);
        assert_eq!(hub.send_to_group("a", "g", &message(5)).await, 1);
        assert_eq!(back.numbers(), [5]);
        assert_eq!(tab.numbers(), [2, 4]);
    }
}

#[tokio::test]
async fn a_break_that_the_gateway_has_not_noticed_is_made_up_for_too() {
    let hub = grouped(RealtimeConfig::default());
    let ann = Client::join(&hub, "a", "ann", None);
    let id = &*ann.connection.id;
    assert_eq!(hub.subscribe_to_group("a", id, "g", false), Ok(1));
    hub.send_to_group("a", "g", &message(1)).await;
    let back = come_back(&hub, &ann, 0, true);
    leave(&hub, &ann);
    hub.send_to_group("a", "g", &message(2)).await;
    assert_eq!(back.numbers(), [1, 2]);
}

#[tokio::test]
async fn a_group_is_not_replayed_to_who_is_not_in_it() {
    let hub = grouped(RealtimeConfig::default());
    let (ann, tab) = (
        Client::join(&hub, "a", "ann", None),
        Client::join(&hub, "a", "ann", None),
    );
    let id = &*ann.connection.id;
    assert_eq!(hub.subscribe_to_group("a", id, "g", false), Ok(1));
    hub.send_to_group("a", "g", &message(1)).await;
    hub.send_to_user("a", "ann", &message(2));
    // The other tab comes back in its own place.
    leave(&hub, &tab);
    let tab_again = come_back(&hub, &tab, 0, true);
    assert_eq!(tab_again.numbers(), [2]);
    // Who was taken out while away has nothing of the time before either.
    leave(&hub, &ann);
    hub.send_to_group("a", "g", &message(3)).await;
    assert_eq!(hub.unsubscribe_from_group("a", "ann", "g"), Ok(true));
    let back = come_back(&hub, &ann, 0, true);
    assert_eq!(back.ack["recovered"], true);
    assert_eq!(back.numbers(), [2]);
    // Nobody comes back in another user's place.
    let bob = Client::join(&hub, "a", "bob", None);
    assert_eq!(hub.subscribe_to_group("a", "bob", "g", false), Ok(1));
    let position = ann.position(0);
    let resume = Resume::parse(&position).in_place_of(Some(&*bob.connection.id));
    let connection = hub
        .subscribe(Subscribe {
            app_id: "a".into(),
            user_id: "ann".into(),
            form: Form::Tracked,
            resume: Some(resume),
            outbound: hub.outbound(None),
        })
        .unwrap();
    assert_eq!(users(&hub, "g"), ["bob"]);
    hub.unsubscribe(&connection);
}

#[tokio::test(start_paused = true)]
async fn memory_is_free_when_the_last_has_gone() {
    let hub = grouped(RealtimeConfig::default());
    let (ann, bob) = (plain(&hub, "a", "ann"), plain(&hub, "a", "bob"));
    for group in 0..50 {
        let group = format!("g{group}");
        let id = &*ann.connection.id;
        assert_eq!(hub.subscribe_to_group("a", id, &group, false), Ok(1));
        assert_eq!(hub.subscribe_to_group("a", "bob", &group, false), Ok(1));
    }
    let stats = hub.stats();
    assert_eq!((stats.groups, stats.group_members), (50, 100));
    leave(&hub, &ann);
    leave(&hub, &bob);
    // For their return; then nothing is left, messages or not.
    hub.sweep();
    assert_eq!(hub.stats().group_members, 100);
    tokio::time::advance(Duration::from_secs(200)).await;
    hub.send_to_group("a", "g1", &message(1)).await;
    tokio::time::advance(Duration::from_secs(101)).await;
    hub.sweep();
    let stats = hub.stats();
    assert_eq!((stats.groups, stats.group_members), (0, 0));
    assert_eq!(hub.send_to_group("a", "g1", &message(2)).await, 0);
    tokio::time::advance(Duration::from_secs(301)).await;
    hub.sweep();
    assert!(hub.apps.is_empty());
    assert_eq!(hub.stats().history_bytes, 0);
}

#[tokio::test]
async fn a_hundred_thousand_groups_are_refused() {
    let hub = grouped(RealtimeConfig {
        max_groups: 1000,
        max_groups_per_user: 600,
        max_group_members: 2,
        ..RealtimeConfig::default()
    });
    let clients: Vec<Client> = (0..4)
        .map(|number| plain(&hub, "a", &format!("u{number}")))
        .collect();
    let mut refused = [0, 0];
    for number in 0..100_000 {
        let user = format!("u{}", number % 3);
        match hub.subscribe_to_group("a", &user, &format!("g{number}"), false) {
            Ok(_) => {}
            Err(GroupError::TooManyOfUser) => refused[0] += 1,
            Err(GroupError::TooManyGroups) => refused[1] += 1,
            Err(other) => panic!("{other}"),
        }
    }
    let stats = hub.stats();
    assert_eq!((stats.groups, stats.group_members), (1000, 1000));
    assert_eq!(stats.group_refusals, 99_000);
    assert!(refused[1] > 0, "{refused:?}");
    // Groups of another app are not the poorer for it.
    let other = plain(&hub, "b", "u0");
    assert_eq!(hub.subscribe_to_group("b", "u0", "g", false), Ok(1));

    assert_eq!(hub.subscribe_to_group("a", "u1", "g0", false), Ok(1));
    assert_eq!(
        hub.subscribe_to_group("a", "u3", "g0", false),
        Err(GroupError::TooManyMembers)
    );
    for name in ["", "\n", &"x".repeat(129)] {
        let refused = hub.subscribe_to_group("a", "u0", name, false);
        assert_eq!(refused, Err(GroupError::Name));
    }
    for client in clients.iter().chain([&other]) {
        leave(&hub, client);
    }
}

#[tokio::test]
async fn a_user_is_in_so_many_groups_and_no_more() {
    let hub = grouped(RealtimeConfig {
        max_groups_per_user: 2,
        ..RealtimeConfig::default()
    });
    let (ann, tab) = (plain(&hub, "a", "ann"), plain(&hub, "a", "ann"));
    let (first, second) = (&*ann.connection.id, &*tab.connection.id);
    assert_eq!(hub.subscribe_to_group("a", first, "g1", false), Ok(1));
    assert_eq!(hub.subscribe_to_group("a", second, "g2", false), Ok(1));
    assert_eq!(
        hub.subscribe_to_group("a", second, "g3", false),
        Err(GroupError::TooManyOfUser)
    );
    assert_eq!(hub.subscribe_to_group("a", "ann", "g1", false), Ok(2));
    assert_eq!(hub.unsubscribe_from_group("a", second, "g2"), Ok(true));
    assert_eq!(hub.subscribe_to_group("a", second, "g3", false), Ok(1));
}

#[tokio::test]
async fn a_member_that_does_not_read_is_closed_and_the_others_do_not_notice() {
    let hub = grouped(RealtimeConfig {
        queue_bytes: 64 * 1024,
        ..RealtimeConfig::default()
    });
    let (slow, quick) = (plain(&hub, "a", "slow"), plain(&hub, "a", "quick"));
    for user in ["slow", "quick"] {
        assert_eq!(hub.subscribe_to_group("a", user, "g", false), Ok(1));
    }
    let large = Message::from_value(&json!({"n": 1, "x": "y".repeat(8 << 10)}), 1 << 20).unwrap();
    for _ in 0..20 {
        hub.send_to_group("a", "g", &large).await;
        assert_eq!(quick.numbers(), [1]);
    }
    assert_eq!(slow.connection.outbound.closing(), Some(CloseCode::TooSlow));
    assert_eq!(quick.connection.outbound.closing(), None);
}

/// Runs what tells groups, until nobody has anything new.
async fn told(client: &Client) -> Vec<Value> {
    let mut all = Vec::new();
    for _ in 0..20 {
        // The clock stands still but for this: no real time passes.
        tokio::time::sleep(Duration::from_millis(100)).await;
        all.extend(client.receive());
    }
    all
}

#[tokio::test(start_paused = true)]
async fn members_are_told_who_comes_and_goes_where_a_plugin_asks_for_it() {
    let hub = grouped(RealtimeConfig::default());
    let (ann, bob) = (plain(&hub, "a", "ann"), plain(&hub, "a", "bob"));
    hub.subscribe_to_group("a", "ann", "quiet", false).unwrap();
    hub.subscribe_to_group("a", "bob", "quiet", false).unwrap();
    assert!(told(&ann).await.is_empty());

    hub.subscribe_to_group("a", "ann", "g", true).unwrap();
    let news = |joined: &[&str], left: &[&str], count: u64| {
        json!({
            "type": "group_presence", "joined": joined, "left": left, "count": count, "_group": "g",
        })
    };
    assert_eq!(told(&ann).await, [news(&["ann"], &[], 1)]);
    hub.subscribe_to_group("a", "bob", "g", false).unwrap();
    assert_eq!(told(&ann).await, [news(&["bob"], &[], 2)]);
    // A second connection is nobody new, and its end nobody's going.
    let second = plain(&hub, "a", "bob");
    leave(&hub, &second);
    assert!(told(&ann).await.is_empty());
    leave(&hub, &bob);
    assert_eq!(told(&ann).await, [news(&[], &["bob"], 1)]);
    let bob = plain(&hub, "a", "bob");
    assert_eq!(told(&ann).await, [news(&["bob"], &[], 2)]);
    hub.unsubscribe_from_group("a", "bob", "g").unwrap();
    assert_eq!(told(&ann).await, [news(&[], &["bob"], 1)]);
    assert!(!told(&bob).await.contains(&news(&[], &["bob"], 1)));
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_comings_and_goings_is_a_few_messages() {
    let hub = grouped(RealtimeConfig::default());
    let ann = plain(&hub, "a", "ann");
    hub.subscribe_to_group("a", "ann", "g", true).unwrap();
    assert_eq!(told(&ann).await.len(), 1);
    let crowd: Vec<Client> = (0..1000)
        .map(|number| {
            let user = format!("u{number:04}");
            let client = plain(&hub, "a", &user);
            hub.subscribe_to_group("a", &user, "g", false).unwrap();
            client
        })
        .collect();
    let news = told(&ann).await;
    assert!(news.len() <= 5, "{} messages", news.len());
    let joined = news
        .iter()
        .flat_map(|one| one["joined"].as_array().unwrap());
    assert_eq!(joined.count(), 1000);
    assert_eq!(news.last().unwrap()["count"], 1001);
    for client in &crowd {
        leave(&hub, client);
    }
    let news = told(&ann).await;
    assert!(news.len() <= 5, "{} messages", news.len());
    assert_eq!(news.last().unwrap()["count"], 1);
}
