//! What an instance makes of a server that answers and refuses, and of one that another has taken the place of.

mod stage;

use std::time::{Duration, Instant};

use stage::server::{Sentinel, Server};
use stage::{
    LONG, draft, instance, instance_at, instance_with, key, load, options, pause, redis_options,
    until, warm,
};
use sundown::fleet::Error;
use sundown::sessions::OnLimit;

async fn set(server: &Server, name: &str, value: &str) {
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg(name).arg(value);
    set.query_async::<()>(&mut server.raw().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_log_ins_and_takes_log_outs() {
    let server = Server::start().await;
    let limited = options().max_per_principal(2, OnLimit::RevokeOldest);
    let one = instance_with(&server.url(), limited, LONG, LONG).await;
    let other = instance(&server.url()).await;
    let (ended, moved, kept) = (key(), key(), key());
    for key in [&ended, &moved, &kept] {
        one.create(key, draft([])).await.unwrap();
    }
    for key in [&ended, &moved] {
        let base = warm(&one, key).await;
        one.save(key, &base, draft([]).of("ada")).await.unwrap().unwrap();
    }
    for key in [&ended, &moved, &kept] {
        warm(&other, key).await;
    }
    set(&server, "maxmemory", "1").await;
    let base = warm(&one, &kept).await;
    assert!(load(&instance(&server.url()).await, &kept).await.is_some(), "not from a near cache");
    for draft in [draft([]), draft([]).of("ada"), draft([]).of("eve")] {
        let refused = one.create(&key(), draft.clone()).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
        let refused = one.save(&kept, &base, draft).await.unwrap_err();
        assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    }
    assert_eq!(one.sessions_of("ada").await.unwrap().len(), 2, "no refusal has ended any");
    assert!(one.delete(&ended).await.unwrap());
    assert!(!one.delete(&key()).await.unwrap(), "a tombstone has room");
    assert_eq!(one.revoke_all("ada").await.unwrap(), 1);
    pause(20).await;
    for key in [&ended, &moved] {
        assert!(load(&other, key).await.is_none());
    }
    // Longer than the lease: the stream stays proven.
    pause(700).await;
    warm(&other, &kept).await;
    for stats in [one.stats(), other.stats()] {
        assert!(stats.connected && stats.gaps == 0 && !stats.breaker_open, "{stats:?}");
    }
    assert_eq!(one.stats().refused, 6);
    set(&server, "maxmemory", "0").await;
    one.create(&key(), draft([]).of("ada")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_not_taken_for_the_truth() {
    let server = Server::start().await;
    let one = instance(&server.url()).await;
    let key = key();
    let base = one.create(&key, draft([])).await.unwrap();
    warm(&one, &key).await;
    let mut raw = server.raw().await;
    let mut follow = redis::cmd("REPLICAOF");
    follow.arg("127.0.0.1").arg("1").query_async::<()>(&mut raw).await.unwrap();
    let refused = one.save(&key, &base, draft([])).await.unwrap_err();
    assert!(refused.is_outage(), "{refused:?}");
    let refused = one.delete(&key).await.unwrap_err();
    assert!(refused.is_outage(), "{refused:?}");
    until(|| !one.stats().connected).await;
    let hits = one.stats().l1_hits;
    for _ in 0..20 {
        // The deletion was told as failed.
        match one.load(&key).await {
            Ok(found) => assert!(found.is_some()),
            Err(error) => assert!(error.is_outage(), "{error:?}"),
        }
        pause(20).await;
    }
    assert_eq!(one.stats().l1_hits, hits);
    let mut lead = redis::cmd("REPLICAOF");
    lead.arg("NO").arg("ONE").query_async::<()>(&mut raw).await.unwrap();
    until(|| one.stats().connected).await;
    let since = Instant::now();
    while one.delete(&key).await.is_err() {
        assert!(since.elapsed() < Duration::from_secs(2), "the breaker stays open");
        pause(5).await;
    }
    assert!(load(&one, &key).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_writes_is_believed() {
    let server = Server::start().await;
    let one = instance(&server.url()).await;
    let key = key();
    let base = one.create(&key, draft([])).await.unwrap();
    warm(&one, &key).await;
    set(&server, "min-replicas-to-write", "1").await;
    for refused in [
        one.create(&stage::key(), draft([])).await.unwrap_err(),
        one.save(&key, &base, draft([])).await.unwrap_err(),
        one.delete(&stage::key()).await.unwrap_err(),
        one.revoke_all("ada").await.unwrap_err(),
    ] {
        assert!(matches!(refused, Error::Refused(_)), "{refused:?}");
    }
    until(|| !one.stats().connected).await;
    let hits = one.stats().l1_hits;
    assert!(load(&one, &key).await.is_some(), "the server knows");
    assert_eq!(one.stats().l1_hits, hits);
    assert!(!one.stats().breaker_open, "no outage");
    set(&server, "min-replicas-to-write", "0").await;
    until(|| one.stats().connected).await;
    assert!(one.delete(&key).await.unwrap());
    assert!(load(&one, &key).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_lead_to_the_next_master() {
    let mut master = Server::start().await;
    let replica = Server::start().await;
    let mut follow = redis::cmd("REPLICAOF");
    follow.arg("127.0.0.1").arg(master.port);
    follow.query_async::<()>(&mut replica.raw().await).await.unwrap();
    let sentinel = Sentinel::start("shop", master.port).await;
    // The first one is not there.
    let redis = redis_options().sentinels(["redis://127.0.0.1:1".to_owned(), sentinel.url()]);
    let one = instance_at("redis://shop/", redis, options()).await;
    let (key, ended) = (key(), key());
    one.create(&key, draft([("user", "ada")])).await.unwrap();
    one.create(&ended, draft([])).await.unwrap();
    for key in [&key, &ended] {
        warm(&one, key).await;
    }
    one.delete(&ended).await.unwrap();
    sentinel.wait_for_replica("shop").await;
    let mut raw = master.raw().await;
    let wait = redis::cmd("WAIT").arg(1).arg(5_000).query_async::<i64>(&mut raw).await;
    assert_eq!(wait.unwrap(), 1, "the replica has it all");
    master.end();
    until(|| !one.stats().connected).await;
    let since = Instant::now();
    while !one.stats().connected {
        assert!(since.elapsed() < Duration::from_secs(30), "no other master was found");
        pause(10).await;
    }
    println!("another master after {:?}", since.elapsed());
    let since = Instant::now();
    while one.load(&key).await.is_err() {
        assert!(since.elapsed() < Duration::from_secs(2), "the breaker stays open");
        pause(5).await;
    }
    warm(&one, &key).await;
    assert!(load(&one, &ended).await.is_none());
    assert!(one.delete(&key).await.unwrap());
    let base = one.create(&stage::key(), draft([])).await.unwrap();
    assert!(one.save(&key, &base, draft([])).await.unwrap().is_none());
}
