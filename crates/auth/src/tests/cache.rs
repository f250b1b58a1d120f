//! The cache of verified tokens: bounded, never past `exp`, emptied with the keys.

use super::{super::cache::TokenCache, *};

fn principal(number: u64) -> Arc<Principal> {
    Arc::new(Principal {
        app_id: "default".into(),
        user_id: number.to_string().into(),
        username: None,
        roles: Vec::new(),
        is_superadmin: false,
        expires_at_unix: NOW,
        verified: crate::VerifiedContacts::default(),
    })
}

fn digest(number: u64) -> [u8; 32] {
    let mut digest = [0; 32];
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    digest[..8].copy_from_slice(&spread.to_le_bytes());
    digest[24..].copy_from_slice(&spread.to_le_bytes());
    digest
}

#[test]
fn a_second_verification_is_a_hit_of_the_same_principal() {
    let (verifier, _) = build(&secret_config());
    let token = hs256(&claims(json!({})));
    let first = verdict(&verifier, &token).unwrap();
    let second = verdict(&verifier, &token).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let stats = verifier.cache_stats();
    assert_eq!((stats.hits, stats.misses, stats.entries), (1, 1, 1));
}

#[test]
fn a_cached_token_expires_on_time() {
    let (verifier, clock) = build(&secret_config());
    let token = hs256(&claims(json!({"exp": NOW + 100})));
    assert!(verdict(&verifier, &token).is_ok());
    clock.set(NOW + 129);
    assert!(verdict(&verifier, &token).is_ok());
    clock.set(NOW + 130);
    assert_eq!(verdict(&verifier, &token), Err(AuthError::Expired));
    let stats = verifier.cache_stats();
    assert_eq!((stats.hits, stats.misses, stats.entries), (1, 2, 0));
}

#[test]
fn bad_tokens_are_not_kept() {
    let (verifier, _) = build(&secret_config());
    let token = hs256(&claims(json!({"exp": 1})));
    for _ in 0..3 {
        assert!(verdict(&verifier, &token).is_err());
        assert!(verdict(&verifier, "a.b.c").is_err());
    }
    assert_eq!(verifier.cache_stats().entries, 0);
}

#[test]
fn a_cache_of_size_zero_is_off() {
    let config = AuthConfig {
        token_cache_size: 0,
        ..secret_config()
    };
    let (verifier, _) = build(&config);
    let token = hs256(&claims(json!({})));
    let first = verdict(&verifier, &token).unwrap();
    let second = verdict(&verifier, &token).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
}

#[test]
fn the_bound_holds_and_what_is_used_stays() {
    for capacity in [2, 10, 1000, 1039, 4096] {
        let cache = TokenCache::new(capacity);
        let favourite = digest(u64::MAX);
        cache.insert(favourite, 1, principal(0));
        for number in 0..4 * capacity as u64 {
            cache.insert(digest(number), 1, principal(number));
            if capacity >= 1000 {
                assert!(cache.get(&favourite, 1, |_| true).is_some(), "{number}");
            }
            let newest = cache.get(&digest(number), 1, |_| true).unwrap();
            assert_eq!(*newest.user_id, *number.to_string());
        }
        let entries = cache.stats(1).entries;
        assert!(entries <= capacity as u64, "{entries} of {capacity}");
        assert!(entries >= capacity as u64 / 4, "{entries} of {capacity}");
    }
}

#[test]
fn new_keys_empty_it_and_late_results_of_old_keys_are_not_taken() {
    let cache = TokenCache::new(100);
    cache.insert(digest(1), 1, principal(1));
    assert!(cache.get(&digest(1), 1, |_| true).is_some());
    assert!(cache.get(&digest(1), 2, |_| true).is_none());
    assert_eq!(cache.stats(2).entries, 0);

    cache.insert(digest(2), 1, principal(2));
    assert!(cache.get(&digest(2), 2, |_| true).is_none());
    assert!(cache.get(&digest(2), 1, |_| true).is_none());

    cache.insert(digest(3), 2, principal(3));
    assert!(cache.get(&digest(3), 2, |_| true).is_some());
}

#[test]
fn many_threads_agree() {
    let (verifier, _) = build(&secret_config());
    let tokens: Vec<String> = (0..50)
        .map(|number| hs256(&claims(json!({"user_id": number}))))
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (number, token) in tokens.iter().enumerate() {
                    let principal = verdict(&verifier, token).unwrap();
                    assert_eq!(*principal.user_id, *number.to_string());
                }
            });
        }
    });
    let stats = verifier.cache_stats();
    assert_eq!(stats.hits + stats.misses, 200);
    assert_eq!(stats.entries, 50);
}
