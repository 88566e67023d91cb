//! Whose sessions they are, over all instances: the list, the limit, and the end of all of them.

mod stage;

use std::time::Duration;

use stage::server::Server;
use stage::{LONG, draft, instance, instance_with, key, load, map, options, pause, warm};
use sundown::fleet::{Draft, Error};
use sundown::sessions::OnLimit;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_a_principals_sessions_end_at_once_on_all_instances() {
    let server = Server::start().await;
    let (one, other) = (instance(&server.url()).await, instance(&server.url()).await);
    let keys = [key(), key(), key()];
    let foreign = key();
    for (n, key) in keys.iter().enumerate() {
        let tiered = if n % 2 == 0 { &one } else { &other };
        tiered.create(key, draft([]).of("ada")).await.unwrap();
        pause(5).await;
    }
    one.create(&foreign, draft([]).of("bob")).await.unwrap();
    let listed: Vec<_> =
        other.sessions_of("ada").await.unwrap().iter().map(|(key, _)| *key).collect();
    assert_eq!(listed, keys, "the oldest first");
    for key in keys.iter().chain([&foreign]) {
        warm(&one, key).await;
        warm(&other, key).await;
    }
    assert_eq!(other.revoke_others("ada", &keys[1]).await.unwrap(), 2);
    assert!(load(&other, &keys[0]).await.is_none() && load(&other, &keys[2]).await.is_none());
    pause(20).await;
    assert!(load(&one, &keys[0]).await.is_none() && load(&one, &keys[1]).await.is_some());
    let kept = load(&one, &keys[1]).await.unwrap();
    let kept = one.save(&keys[1], &kept, draft([])).await.unwrap();
    assert!(kept.is_some(), "the one that is left may be saved");
    assert_eq!(one.revoke_all("ada").await.unwrap(), 1);
    pause(20).await;
    for tiered in [&one, &other] {
        assert!(load(tiered, &keys[1]).await.is_none() && load(tiered, &foreign).await.is_some());
        assert!(tiered.sessions_of("ada").await.unwrap().is_empty());
    }
    let again = key();
    one.create(&again, draft([]).of("ada")).await.expect("one may log in again at once");
    assert_eq!(other.sessions_of("ada").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_holds_however_many_log_in() {
    let server = Server::start().await;
    let patient = options().timeout(Duration::from_secs(5));
    let limited = |on_limit| patient.clone().max_per_principal(3, on_limit);
    let mut tiers = Vec::new();
    for _ in 0..3 {
        let options = limited(OnLimit::RevokeOldest);
        tiers.push(instance_with(&server.url(), options, LONG, LONG).await);
    }
    let logins: Vec<_> = (0..60)
        .map(|n| {
            let tiered = tiers[n % 3].clone();
            tokio::spawn(async move {
                let key = key();
                tiered.create(&key, draft([]).of("ada")).await.unwrap();
                let listed = tiered.sessions_of("ada").await.unwrap().len();
                assert!((1..=3).contains(&listed), "{listed}");
                key
            })
        })
        .collect();
    let mut keys = Vec::new();
    for login in logins {
        keys.push(login.await.unwrap());
    }
    pause(30).await;
    let mut live = 0;
    for key in &keys {
        live += usize::from(load(&tiers[0], key).await.is_some());
    }
    assert_eq!(live, 3);

    let strict = instance_with(&server.url(), limited(OnLimit::Refuse), LONG, LONG).await;
    let refused = strict.create(&key(), draft([]).of("ada")).await;
    assert!(matches!(refused, Err(Error::LimitReached)), "{refused:?}");
    let (guest, later) = (key(), key());
    let base = strict.create(&guest, draft([])).await.unwrap();
    let bound = strict.save(&guest, &base, draft([]).of("ada")).await;
    assert!(matches!(bound, Err(Error::LimitReached)), "{bound:?}");
    strict.revoke_all("ada").await.unwrap();
    strict.create(&later, draft([]).of("ada")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_from_one_list_to_another() {
    let server = Server::start().await;
    let (one, other) = (instance(&server.url()).await, instance(&server.url()).await);
    let key = key();
    let guest = one.create(&key, draft([])).await.unwrap();
    assert_eq!(guest.principal(), None);
    let ada = one.save(&key, &guest, draft([]).of("ada")).await.unwrap().unwrap();
    assert!(ada.principal().is_some() && one.sessions_of("ada").await.unwrap().len() == 1);
    let kept = Draft::new(map([("n", "1")]));
    let kept = one.save(&key, &ada, kept).await.unwrap().unwrap();
    assert_eq!(kept.principal(), ada.principal(), "unless it is told otherwise");
    let bob = one.save(&key, &kept, draft([]).of("bob")).await.unwrap().unwrap();
    assert!(other.sessions_of("ada").await.unwrap().is_empty());
    assert_eq!(other.sessions_of("bob").await.unwrap().len(), 1);
    one.save(&key, &bob, draft([]).of_nobody()).await.unwrap().unwrap();
    assert!(other.sessions_of("bob").await.unwrap().is_empty());
    assert_eq!(other.revoke_all("bob").await.unwrap(), 0);
    assert!(load(&other, &key).await.is_some());
}

/// R5: a list holds what is live, though nothing tells it of an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_lose_what_has_ended() {
    let server = Server::start().await;
    let one = instance_with(&server.url(), options(), LONG, Duration::from_millis(300)).await;
    let (used, unused, gone) = (key(), key(), key());
    for key in [&used, &unused, &gone] {
        one.create(key, draft([]).of("ada")).await.unwrap();
    }
    redis::cmd("DEL")
        .arg(format!("shop:s:{gone}"))
        .query_async::<()>(&mut server.raw().await)
        .await
        .unwrap();
    assert_eq!(one.sessions_of("ada").await.unwrap().len(), 2);
    for _ in 0..40 {
        load(&one, &used).await.expect("it is used");
        pause(10).await;
    }
    let listed = one.sessions_of("ada").await.unwrap();
    assert!(listed.len() == 1 && listed[0].0 == used, "{listed:?}");
    pause(400).await;
    assert!(one.sessions_of("ada").await.unwrap().is_empty());
    assert_eq!(server.keys().await, 0, "the list has gone with its last session");
}
