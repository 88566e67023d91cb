//! Several instances over one server: T1, T2, T3 and T6 where nothing fails.

mod stage;

use std::time::{Duration, Instant};

use stage::server::Server;
use stage::{LONG, draft, instance, instance_with, key, load, map, options, pause, warm};
use sundown::fleet::{Error, merge_maps};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_instance_writes_all_know() {
    let server = Server::start().await;
    let (one, other, third) = (
        instance(&server.url()).await,
        instance(&server.url()).await,
        instance(&server.url()).await,
    );
    let key = key();
    let created = one.create(&key, draft([("user", "ada")])).await.unwrap();
    assert_eq!(*created, map([("user", "ada")]));
    assert_eq!(*load(&one, &key).await.unwrap(), map([("user", "ada")]), "its own write");
    for tiered in [&other, &third] {
        assert_eq!(*warm(tiered, &key).await, map([("user", "ada")]));
    }
    let loaded = load(&other, &key).await.unwrap();
    let saved = other.save(&key, &loaded, draft([("user", "bob")])).await.unwrap().unwrap();
    assert_eq!(load(&other, &key).await.unwrap().revision(), saved.revision(), "its own write");
    pause(20).await;
    assert_eq!(*load(&third, &key).await.unwrap(), map([("user", "bob")]));
    assert!(third.delete(&key).await.unwrap() && !third.delete(&key).await.unwrap());
    assert!(load(&third, &key).await.is_none());
    pause(20).await;
    assert!(load(&one, &key).await.is_none() && load(&other, &key).await.is_none());
}

/// T1, and its figure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_reaches_the_others_in_milliseconds() {
    const ROUNDS: usize = 2_000;
    let server = Server::start().await;
    let (one, other) = (instance(&server.url()).await, instance(&server.url()).await);
    let mut lags = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let key = key();
        one.create(&key, draft([("user", "ada")])).await.unwrap();
        warm(&other, &key).await;
        one.delete(&key).await.unwrap();
        let since = Instant::now();
        while load(&other, &key).await.is_some() {
            assert!(since.elapsed() < Duration::from_secs(1), "a zombie");
            tokio::task::yield_now().await;
        }
        lags.push(since.elapsed());
    }
    lags.sort_unstable();
    let at = |share: f64| lags[((lags.len() - 1) as f64 * share) as usize];
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    println!("from a deletion to the other instance: p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}");
    // 5 ms on a machine of one's own; this one may be shared.
    assert!(p50 < Duration::from_millis(5), "{p50:?}");
}

/// T3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_saves_are_merged_and_none_is_lost() {
    let server = Server::start().await;
    let (one, other) = (instance(&server.url()).await, instance(&server.url()).await);
    let key = key();
    one.create(&key, draft([("user", "ada"), ("n", "0")])).await.unwrap();
    let (here, there) = (load(&one, &key).await.unwrap(), load(&other, &key).await.unwrap());

    let conflict = {
        one.save(&key, &here, draft([("n", "0")])).await.unwrap().unwrap();
        other.save(&key, &there, draft([("user", "ada"), ("n", "1")])).await
    };
    assert!(matches!(conflict, Err(Error::Conflict)), "not overwritten blindly");
    let both = draft([("user", "ada"), ("n", "1")]);
    let merged = other.save_with(&key, &there, both, |both| Some(merge_maps(both))).await;
    assert_eq!(*merged.unwrap().unwrap(), map([("n", "1")]), "what was removed stays removed");

    let base = load(&one, &key).await.unwrap();
    let mut saves = Vec::new();
    for number in 0..20 {
        let tiered = if number % 2 == 0 { one.clone() } else { other.clone() };
        let base = base.clone();
        saves.push(tokio::spawn(async move {
            let mut map = (*base).clone();
            map.insert(format!("name {number}"), String::new());
            let draft = sundown::fleet::Draft::new(map);
            tiered
                .save_with(&key, &base, draft, |all| Some(merge_maps(all)))
                .await
                .unwrap()
                .unwrap();
        }));
    }
    for save in saves {
        save.await.unwrap();
    }
    pause(20).await;
    assert_eq!(load(&one, &key).await.unwrap().len(), 21);
    assert_eq!(*load(&one, &key).await.unwrap(), *load(&other, &key).await.unwrap());
    assert!(one.stats().conflicts + other.stats().conflicts > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_saves_and_creations_bring_nothing_back() {
    let server = Server::start().await;
    let (one, other) = (instance(&server.url()).await, instance(&server.url()).await);
    let key = key();
    one.create(&key, draft([("user", "ada")])).await.unwrap();
    let (here, there) = (load(&one, &key).await.unwrap(), load(&other, &key).await.unwrap());
    one.delete(&key).await.unwrap();
    assert!(one.save(&key, &here, draft([])).await.unwrap().is_none());
    assert!(other.save(&key, &there, draft([])).await.unwrap().is_none());
    assert!(matches!(one.create(&key, draft([])).await, Err(Error::Taken)));
    assert!(matches!(other.create(&key, draft([])).await, Err(Error::Taken)));
    assert!(load(&one, &key).await.is_none() && load(&other, &key).await.is_none());
}

/// T5: a session that is used anywhere lives everywhere, at few touches; its deadlines hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_and_deadlines_hold_everywhere() {
    let server = Server::start().await;
    let (live, idle) = (Duration::from_millis(2_400), Duration::from_millis(800));
    let one = instance_with(&server.url(), options(), live, idle).await;
    let other = instance_with(&server.url(), options(), live, idle).await;
    let (used, unused) = (key(), key());
    one.create(&used, draft([])).await.unwrap();
    one.create(&unused, draft([])).await.unwrap();
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(2_000) {
        assert!(load(&one, &used).await.is_some(), "used all the time");
        pause(2).await;
    }
    assert!(load(&other, &used).await.is_some());
    assert!(load(&other, &unused).await.is_none() && load(&one, &unused).await.is_none());
    let stats = one.stats();
    println!("{stats:?}");
    // 2.5 idle times; some loads touch by themselves.
    assert!(stats.touches <= 24 && stats.l2_loads <= 60, "{stats:?}");
    pause(450).await;
    assert!(
        load(&one, &used).await.is_none() && load(&other, &used).await.is_none(),
        "2.4 s are over"
    );
}

/// T6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_in_the_server() {
    let server = Server::start().await;
    let short = Duration::from_millis(700);
    let one = instance_with(&server.url(), options(), LONG, short).await;
    for n in 0..50 {
        let key = key();
        one.create(&key, draft([]).of(format!("user {}", n % 5))).await.unwrap();
        if n % 10 == 0 {
            one.delete(&key).await.unwrap();
        }
    }
    assert_eq!(one.revoke_all("user 1").await.unwrap(), 10);
    assert!(server.keys().await > 40);
    let until = Instant::now() + Duration::from_secs(6);
    while server.keys().await > 0 {
        assert!(Instant::now() < until, "{} keys stay", server.keys().await);
        pause(50).await;
    }
    assert!(one.stats().connected, "and that though its canaries go on");
}
