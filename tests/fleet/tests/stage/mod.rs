//! What all tests of fleets need.
#![allow(dead_code, reason = "not every test needs all of it")]

pub mod history;
pub mod proxy;
pub mod server;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sundown::Cache;
use sundown::fleet::{Codec, Draft, Key, Loaded, Tiered, TieredOptions};
use sundown::redis_1::{RedisBackend, RedisOptions};

pub type Map = HashMap<String, String>;

pub fn codec() -> Codec<Map> {
    Codec::new(
        |map: &Map| serde_json::to_vec(map).map_err(|error| Arc::new(error) as _),
        |bytes| serde_json::from_slice(bytes).ok(),
    )
}

pub fn map<const N: usize>(pairs: [(&str, &str); N]) -> Map {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub fn draft<const N: usize>(pairs: [(&str, &str); N]) -> Draft<Map> {
    Draft::new(map(pairs))
}

/// Draws an id, and gives its key.
pub fn key() -> Key {
    Key::of(sundown::fleet::Revision::draw().as_bytes())
}

pub fn redis_options() -> RedisOptions {
    RedisOptions::default()
        .namespace("shop")
        .heartbeat(Duration::from_millis(100))
        .connect_timeout(Duration::from_millis(200))
        .latest_arrival(Duration::from_millis(600))
        .backoff(Duration::from_millis(5), Duration::from_millis(100))
}

pub fn options() -> TieredOptions {
    TieredOptions::default()
        .timeout(Duration::from_millis(400))
        .lease(Duration::from_millis(500))
        .breaker(5, Duration::from_millis(100))
}

/// An instance by way of a URL, once its stream is proven.
pub async fn instance(url: &str) -> Tiered<Map> {
    instance_with(url, options(), LONG, LONG).await
}

pub async fn instance_with(
    url: &str,
    options: TieredOptions,
    live: Duration,
    idle: Duration,
) -> Tiered<Map> {
    let tiered = unproven(url, options, live, idle).await;
    until(|| tiered.stats().connected).await;
    tiered
}

pub async fn unproven(
    url: &str,
    options: TieredOptions,
    live: Duration,
    idle: Duration,
) -> Tiered<Map> {
    tiered(url, redis_options(), options, live, idle).await
}

/// An instance with settings of its own for the server, once its stream is proven.
pub async fn instance_at(url: &str, redis: RedisOptions, options: TieredOptions) -> Tiered<Map> {
    let tiered = tiered(url, redis, options, LONG, LONG).await;
    until(|| tiered.stats().connected).await;
    tiered
}

async fn tiered(
    url: &str,
    redis: RedisOptions,
    options: TieredOptions,
    live: Duration,
    idle: Duration,
) -> Tiered<Map> {
    let backend = RedisBackend::connect(url, redis).await.unwrap();
    let builder = Cache::builder().max_entries(100_000).time_to_live(live).time_to_idle(idle);
    Tiered::new(builder, backend, codec(), options).unwrap()
}

pub async fn load(tiered: &Tiered<Map>, key: &Key) -> Option<Loaded<Map>> {
    tiered.load(key).await.unwrap()
}

/// Loads a session that lives, twice: the second time from the near cache.
pub async fn warm(tiered: &Tiered<Map>, key: &Key) -> Loaded<Map> {
    let until = Instant::now() + Duration::from_secs(2);
    loop {
        let hits = tiered.stats().l1_hits;
        let loaded = load(tiered, key).await.expect("it is live");
        if tiered.stats().l1_hits > hits {
            return loaded;
        }
        assert!(Instant::now() < until, "never in the near cache");
    }
}

pub async fn until(condition: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(5);
    while !condition() {
        assert!(Instant::now() < until, "waited in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

pub const LONG: Duration = Duration::from_secs(3_600);
