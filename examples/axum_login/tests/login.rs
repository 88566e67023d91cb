//! The service for the story that both logins share. The sessions' time is a manual clock, so nothing
//! here waits for a deadline.

#[path = "../../login/story.rs"]
mod story;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::Value;
use sundown::{ManualClock, ProcessMemory};
use sundown_axum_login::{Limits, Login, app};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::story::{Browser, IDLE, LIVE};

/// The service on a port of its own, until it is dropped.
struct Service {
    address: SocketAddr,
    clock: ManualClock,
    _runtime: Runtime,
}

impl Service {
    fn start(sessions: usize) -> Self {
        Self::start_with(sessions, false, roomy)
    }

    fn start_with(sessions: usize, overstays: bool, memory: fn() -> ProcessMemory) -> Self {
        let clock = ManualClock::new();
        let limits = Limits { idle: IDLE, live: LIVE, sessions, bytes: 1 << 20, per_user: Some(3) };
        let login = Login::new(limits, overstays, clock.clone()).expect("the limits are sane");
        let runtime = Runtime::new().expect("threads can be made");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let serve = async move { axum::serve(listener, app(login, recorder(), memory)).await };
        runtime.spawn(serve);
        Self { address, clock, _runtime: runtime }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// The process in a container of 1,000 MiB, of which so many are in use.
fn container(used: u64) -> ProcessMemory {
    let mut memory = ProcessMemory::default();
    memory.resident_bytes = Some(300 << 20);
    memory.container_bytes = Some(used << 20);
    memory.limit_bytes = Some(1_000 << 20);
    memory
}

fn roomy() -> ProcessMemory {
    container(400)
}

fn crowded() -> ProcessMemory {
    container(950)
}

/// The process has one recorder.
fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || PrometheusBuilder::new().install_recorder().expect("the only recorder");
    RECORDER.get_or_init(install).clone()
}

#[test]
fn prometheus_finds_every_metric_that_the_alerts_ask_for() {
    let service = Service::start(100);
    let browser = Browser::new(&service);
    browser.log_in("ada");
    let scraped = browser.see("/metrics");
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/rules.yml");
    let rules = fs::read_to_string(rules).expect("the rules are there");
    let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    // Those of the tier are tried with instances that have one.
    let words =
        words.filter(|word| word.starts_with("sundown_") && !word.starts_with("sundown_tier_"));
    let asked: Vec<&str> = words.collect();
    assert!(asked.len() > 8, "{asked:?}");
    for name in asked {
        // The process's figures have no label.
        let lines = [format!("\n{name}{{cache=\"sessions\""), format!("\n{name} ")];
        let is_there = lines.iter().any(|line| scraped.contains(line));
        assert!(is_there, "{name} is not among\n{scraped}");
    }
}

#[test]
fn the_status_page_is_told_what_the_store_holds() {
    let service = Service::start(4);
    let browser = Browser::new(&service);
    let page = browser.see("/status");
    for outside in ["http:", "https:", "src=", "@import"] {
        assert!(!page.contains(outside), "the page needs something from elsewhere: {outside}");
    }

    browser.log_in("ada");
    wait_for(&service, |news| news["samples"][0]["sessions"] == 1 && news["level"] == "ok");
    for name in ["bob", "cyd"] {
        Browser::new(&service).log_in(name);
    }
    let news = wait_for(&service, |news| news["level"] == "bad");
    assert!(news["text"].as_str().is_some_and(|text| text.contains("nearly full")), "{news}");

    service.clock.advance(IDLE);
    let news = wait_for(&service, |news| news["level"] == "ok");
    let latest = news["samples"].as_array().and_then(|samples| samples.last()).expect("one");
    assert_eq!((&latest["sessions"], &latest["idle"]), (&0.into(), &3.into()), "{news}");
    assert_eq!((&latest["overdue"], &latest["unaccounted"]), (&0.into(), &0.into()), "{news}");
}

#[test]
fn the_status_page_is_told_whose_the_memory_is_when_the_container_is_near_its_limit() {
    let service = Service::start_with(100, false, crowded);
    let browser = Browser::new(&service);
    browser.log_in("ada");
    let news = wait_for(&service, |news| news["samples"][0]["sessions"] == 1);
    assert_eq!(news["level"], "bad", "{news}");
    let (text, next) = (news["text"].as_str(), news["next"].as_str());
    let not_it = "It is not the session store: the container is at 95 % of its memory limit";
    assert!(text.is_some_and(|text| text.starts_with(not_it)), "{news}");
    assert!(next.is_some_and(|next| next.contains("neighbours")), "{news}");
    let latest = &news["samples"][0];
    assert_eq!(latest["resident_bytes"], 300 << 20, "{news}");
    assert_eq!(latest["container_bytes"], 950 << 20, "{news}");
    assert_eq!(latest["limit_bytes"], 1_000 << 20, "{news}");

    let scraped = browser.see("/metrics");
    assert!(scraped.contains("\nsundown_container_memory_limit_bytes 1048576000\n"), "{scraped}");
}

#[test]
fn a_user_has_three_devices_and_ends_them() {
    let service = Service::start(100);
    let devices: Vec<Browser> = (0..4)
        .map(|_| {
            let browser = Browser::new(&service);
            browser.log_in("ada");
            service.clock.advance(story::MINUTE);
            browser
        })
        .collect();
    let are_in = || devices.iter().map(Browser::is_logged_in).collect::<Vec<_>>();
    assert_eq!(are_in(), [false, true, true, true]);
    let page = devices[3].see("/");
    assert_eq!((page.matches("<li>").count(), page.matches("this one").count()), (3, 1), "{page}");

    let device = page.split("value=\"").nth(1).and_then(|rest| rest.split('"').next());
    devices[3].post("/logout-device", &[("device", device.expect("a button"))]);
    assert_eq!(are_in(), [false, false, true, true]);
    devices[3].post("/logout-device", &[("device", "made up")]);
    devices[3].post("/logout-others", &[]);
    assert_eq!(are_in(), [false, false, false, true]);
    devices[3].post("/logout-everywhere", &[]);
    assert_eq!(are_in(), [false, false, false, false]);
}

#[test]
fn the_status_page_names_the_line_that_forgets() {
    let service = Service::start_with(100, true, roomy);
    Browser::new(&service).log_in("ada");
    Browser::new(&service).log_in("bob");
    service.clock.advance(IDLE);
    wait_for(&service, |news| {
        let latest = news["samples"].as_array().and_then(|samples| samples.last());
        latest.is_some_and(|latest| latest["idle"] == 2)
    });
    // They have left; from now on their handles overstay.
    service.clock.advance(story::MINUTE);
    let news = wait_for(&service, |news| news["level"] == "watch");
    let text = news["text"].as_str().expect("it is text");
    assert!(text.contains("have ended (2), taken at src/online.rs:"), "{text}");
}

/// The first news of a new visitor that are as wanted; gives up when the client does, in a minute.
#[track_caller]
fn wait_for(service: &Service, is_wanted: fn(&Value) -> bool) -> Value {
    let browser = Browser::new(service);
    let answer = browser.agent.get(service.url("/status/events")).call().expect("it answers");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let lines = BufReader::new(answer.into_body().into_reader()).lines();
    for line in lines.map(|line| line.expect("news come before the client gives up")) {
        let Some(data) = line.strip_prefix("data: ") else { continue };
        let news = serde_json::from_str(data).expect("news are JSON");
        if is_wanted(&news) {
            return news;
        }
    }
    panic!("the news ended")
}
