//! What lies between a call and its answer: F1, F2, F7 and F8.

mod stage;

use std::time::{Duration, Instant};

use stage::proxy::{Proxy, Way};
use stage::server::Server;
use stage::{draft, instance, key, load, map, pause, warm};
use sundown::fleet::Error;

const SLOW: Duration = Duration::from_millis(25);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_load_does_not_overwrite_a_newer_save() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let (slow, quick) = (instance(&proxy.url()).await, instance(&server.url()).await);
    for round in 0..10 {
        let key = key();
        let base = quick.create(&key, draft([("n", "0")])).await.unwrap();
        pause(20).await;
        proxy.set(Way::Slow(SLOW));
        let load_slowly = tokio::spawn({
            let slow = slow.clone();
            async move { slow.load(&key).await }
        });
        // In the server before the load, after it, and while its answer is on the way.
        pause(round * 6).await;
        quick.save(&key, &base, draft([("n", "1")])).await.unwrap().unwrap();
        load_slowly.await.unwrap().unwrap();
        proxy.set(Way::Open);
        pause(150).await;
        assert_eq!(*load(&slow, &key).await.unwrap(), map([("n", "1")]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_a_deletion_overtakes_finds_nothing() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let slow = instance(&proxy.url()).await;
    for round in 0..6 {
        let key = key();
        slow.create(&key, draft([])).await.unwrap();
        pause(20).await;
        proxy.set(Way::Slow(Duration::from_millis(30)));
        let loads: Vec<_> = (0..20)
            .map(|n| {
                let slow = slow.clone();
                tokio::spawn(async move {
                    pause(n * 5).await;
                    let loaded = slow.load(&key).await.unwrap();
                    (Instant::now(), loaded.is_some())
                })
            })
            .collect();
        pause(round * 11).await;
        slow.delete(&key).await.unwrap();
        let deleted = Instant::now();
        for load in loads {
            let (at, is_served) = load.await.unwrap();
            assert!(!is_served || at <= deleted + Duration::from_millis(2), "served after its end");
        }
        proxy.set(Way::Open);
        pause(100).await;
        assert!(load(&slow, &key).await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_is_dropped_leaves_no_copy_ahead_of_the_truth() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let (one, other) = (instance(&proxy.url()).await, instance(&server.url()).await);
    for round in 0..12 {
        let key = key();
        one.create(&key, draft([("n", "0")])).await.unwrap();
        let base = warm(&one, &key).await;
        proxy.set(Way::Slow(Duration::from_millis(10)));
        let given_up = one.save(&key, &base, draft([("n", "1")]));
        let _dropped = tokio::time::timeout(Duration::from_millis(round * 3), given_up).await;
        proxy.set(Way::Open);
        pause(60).await;
        let (here, there) = (load(&one, &key).await.unwrap(), load(&other, &key).await.unwrap());
        assert_eq!((here.revision(), &*here), (there.revision(), &*there));
    }
}

/// A creation that was given up and held up on its way comes after the deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_arrives_late_is_refused() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let (one, other) = (instance(&proxy.url()).await, instance(&server.url()).await);
    for silence in [30, 700, 1_900] {
        let (deleted, revoked) = (key(), key());
        proxy.set(Way::Silent);
        let creations = async {
            let plain = one.create(&deleted, draft([]));
            let bound = one.create(&revoked, draft([]).of("ada"));
            tokio::join!(plain, bound)
        };
        let given_up = tokio::time::timeout(Duration::from_millis(10), creations).await;
        assert!(given_up.is_err(), "{given_up:?}");
        other.delete(&deleted).await.unwrap();
        other.revoke_all("ada").await.unwrap();
        pause(silence).await;
        proxy.set(Way::Open);
        pause(200).await;
        assert!(load(&other, &deleted).await.is_none(), "after {silence} ms");
        assert!(load(&other, &revoked).await.is_none(), "after {silence} ms");
        assert!(other.sessions_of("ada").await.unwrap().is_empty());
        stage::until(|| one.stats().connected).await;
    }
}

/// A revocation that was told as failed does not end, much later, who has logged in since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_that_arrives_late_is_refused() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let (one, other) = (instance(&proxy.url()).await, instance(&server.url()).await);
    proxy.set(Way::Silent);
    assert!(one.revoke_all("ada").await.is_err());
    let key = key();
    other.create(&key, draft([]).of("ada")).await.unwrap();
    pause(700).await;
    proxy.set(Way::Open);
    pause(200).await;
    assert!(load(&other, &key).await.is_some());
}

/// A new id, and a log-out by another request beside it: before it, between its steps and after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_out_ends_what_a_new_id_has_made_of_the_session() {
    let server = Server::start().await;
    let (one, other) = (instance(&server.url()).await, instance(&server.url()).await);
    let follow = |old: &sundown::fleet::Key| draft([("user", "ada")]).in_place_of(old);

    let (old, new) = (key(), key());
    one.create(&old, draft([("user", "ada")])).await.unwrap();
    assert!(matches!(one.create(&new, follow(&old)).await, Err(Error::Overtaken)), "it is live");
    assert!(one.delete(&old).await.unwrap());
    one.create(&new, follow(&old)).await.unwrap();
    let twice = one.create(&key(), follow(&old)).await;
    assert!(matches!(twice, Err(Error::Overtaken)), "one live session of two rotations");
    warm(&other, &new).await;
    let newest = key();
    assert!(one.delete(&new).await.unwrap());
    one.create(&newest, follow(&new)).await.unwrap();
    assert!(!other.delete(&old).await.unwrap(), "a log-out with the first id");
    pause(20).await;
    assert!(load(&one, &newest).await.is_none() && load(&other, &newest).await.is_none());

    let (old, new) = (key(), key());
    one.create(&old, draft([])).await.unwrap();
    assert!(one.delete(&old).await.unwrap() && !other.delete(&old).await.unwrap());
    assert!(matches!(one.create(&new, follow(&old)).await, Err(Error::Overtaken)));
    assert!(load(&one, &new).await.is_none());

    let (old, new) = (key(), key());
    one.create(&old, draft([]).of("ada")).await.unwrap();
    other.revoke_all("ada").await.unwrap();
    assert!(!one.delete(&old).await.unwrap());
    assert!(matches!(one.create(&new, follow(&old)).await, Err(Error::Overtaken)));
}

/// T8: a herd on one session is one load, or two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_herd_of_misses_is_few_loads() {
    let server = Server::start().await;
    let proxy = Proxy::to(server.port).await;
    let (slow, quick) = (instance(&proxy.url()).await, instance(&server.url()).await);
    let key = key();
    quick.create(&key, draft([])).await.unwrap();
    pause(20).await;
    proxy.set(Way::Slow(Duration::from_millis(20)));
    let loads: Vec<_> = (0..500)
        .map(|n| {
            let slow = slow.clone();
            tokio::spawn(async move {
                pause(n % 30).await;
                slow.load(&key).await
            })
        })
        .collect();
    for load in loads {
        assert!(load.await.unwrap().unwrap().is_some());
    }
    let stats = slow.stats();
    println!("500 loads side by side: {} of the server", stats.l2_loads);
    assert!(stats.l2_loads <= 3, "{stats:?}");
    // Those who wait go on if the one who loads for them is dropped.
    let missing = stage::key();
    quick.create(&missing, draft([])).await.unwrap();
    let first = tokio::time::timeout(Duration::from_millis(5), slow.load(&missing));
    let (first, second) = tokio::join!(first, async {
        pause(2).await;
        slow.load(&missing).await
    });
    assert!(first.is_err() && second.unwrap().is_some());
}

/// T7: an answer for another session is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_sessions_value_is_refused() {
    let server = Server::start().await;
    let one = instance(&server.url()).await;
    let (mine, theirs) = (key(), key());
    one.create(&mine, draft([("user", "ada")])).await.unwrap();
    let mut copy = redis::cmd("COPY");
    copy.arg(format!("shop:s:{mine}")).arg(format!("shop:s:{theirs}"));
    copy.query_async::<()>(&mut server.raw().await).await.unwrap();
    assert!(matches!(one.load(&theirs).await, Err(Error::Garbled(_))));
    stage::until(|| one.stats().connected).await;
    assert!(load(&one, &mine).await.is_some());
    let names: Vec<String> =
        redis::cmd("KEYS").arg("*").query_async(&mut server.raw().await).await.unwrap();
    assert!(names.iter().all(|name| name.starts_with("shop:s:") && name.len() == 50), "{names:?}");
}
