//! What it costs, beside a store that asks the server each time; run by hand:
//! `cargo test --release --test figures -- --ignored --nocapture`.

mod stage;

use std::time::{Duration, Instant};

use stage::server::Server;
use stage::{draft, instance, key, load, pause, warm};

async fn commands(server: &Server) -> i64 {
    let info: String =
        redis::cmd("INFO").arg("stats").query_async(&mut server.raw().await).await.unwrap();
    let line = info.lines().find(|line| line.starts_with("total_commands_processed:")).unwrap();
    line.split(':').nth(1).unwrap().trim().parse().unwrap()
}

fn told(what: &str, calls: usize, took: Duration) {
    let each = took / u32::try_from(calls).unwrap();
    println!("{what}: {each:?} each, {:.0} a second", calls as f64 / took.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures for a quiet machine"]
async fn figures() {
    let server = Server::start().await;
    let (one, other) = (instance(&server.url()).await, instance(&server.url()).await);
    let keys: Vec<_> = (0..1_000).map(|_| key()).collect();
    let since = Instant::now();
    for key in &keys {
        one.create(key, draft([("user", "ada"), ("basket", "a pear")])).await.unwrap();
    }
    told("creations, one after the other", keys.len(), since.elapsed());
    pause(50).await;
    let since = Instant::now();
    for key in &keys {
        load(&other, key).await.unwrap();
    }
    told("loads from the server, one after the other", keys.len(), since.elapsed());
    warm(&other, &keys[0]).await;
    let (since, rounds) = (Instant::now(), 1_000_000);
    for n in 0..rounds {
        load(&other, &keys[n % keys.len()]).await.unwrap();
    }
    told("loads from the near cache", rounds, since.elapsed());
    let since = Instant::now();
    for n in 0..rounds {
        assert!(other.cache().contains_key(&keys[n % keys.len()]));
        other.cache().get(&keys[n % keys.len()]).unwrap();
    }
    told("the same of the cache itself, twice", rounds, since.elapsed());
    let since = Instant::now();
    for key in &keys {
        let base = load(&one, key).await.unwrap();
        one.save(key, &base, draft([("user", "ada")])).await.unwrap().unwrap();
    }
    told("loads and saves, one after the other", keys.len(), since.elapsed());
    pause(50).await;

    // One request in a hundred saves; the others of its session load.
    let (before, requests) = (commands(&server).await, 100_000);
    let loads = other.stats().l2_loads;
    for n in 0..requests {
        let key = &keys[n * 7 % keys.len()];
        let base = load(&other, key).await.unwrap();
        if n % 100 == 0 {
            other.save(key, &base, draft([("user", "bob")])).await.unwrap().unwrap();
        }
    }
    let asked = commands(&server).await - before;
    let hits = 1.0 - (other.stats().l2_loads - loads) as f64 / requests as f64;
    // A script counts the commands in it.
    println!(
        "{:.3} commands a request, those in scripts counted, at {:.1} % hits",
        asked as f64 / requests as f64,
        hits * 100.0
    );
    println!("{:?}", other.stats());
}
