//! A browser's part, played by an HTTP client with a cookie jar. The sessions' time is a manual
//! clock, so nothing here waits for a deadline.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::Value;
use sundown::ManualClock;
use sundown_axum_login::{Limits, app, store};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use ureq::Agent;

const MINUTE: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(30 * 60);
const LIVE: Duration = Duration::from_secs(8 * 3_600);

/// The service on a port of its own, until it is dropped.
struct Service {
    address: SocketAddr,
    clock: ManualClock,
    _runtime: Runtime,
}

impl Service {
    fn start(sessions: usize) -> Self {
        let clock = ManualClock::new();
        let limits = Limits { idle: IDLE, live: LIVE, sessions, bytes: 1 << 20 };
        let store = store(limits, clock.clone()).expect("the limits are sane");
        let runtime = Runtime::new().expect("threads can be made");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(async move { axum::serve(listener, app(&store, recorder())).await });
        Self { address, clock, _runtime: runtime }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// The process has one recorder.
fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || PrometheusBuilder::new().install_recorder().expect("the only recorder");
    RECORDER.get_or_init(install).clone()
}

struct Browser<'s> {
    service: &'s Service,
    agent: Agent,
}

impl<'s> Browser<'s> {
    fn new(service: &'s Service) -> Self {
        let config = Agent::config_builder().timeout_global(Some(MINUTE));
        Self { service, agent: config.http_status_as_error(false).build().into() }
    }

    fn see(&self, path: &str) -> String {
        let answer = self.agent.get(self.service.url(path)).call().expect("it answers");
        assert_eq!(answer.status(), 200, "{path}");
        answer.into_body().read_to_string().expect("it is text")
    }

    /// The page after the redirection.
    fn post(&self, path: &str, form: &[(&str, &str)]) -> String {
        let form = form.iter().copied();
        let answer = self.agent.post(self.service.url(path)).send_form(form).expect("it answers");
        answer.into_body().read_to_string().expect("it is text")
    }

    fn log_in(&self, name: &str) {
        let page = self.post("/login", &[("name", name)]);
        assert!(page.contains("Log out"), "{page}");
    }

    fn is_logged_in(&self) -> bool {
        self.see("/").contains("Log out")
    }

    /// The name and value of the session's cookie.
    fn cookie(&self) -> String {
        let jar = self.agent.cookie_jar_lock();
        let cookies: Vec<String> =
            jar.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value())).collect();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        cookies.concat()
    }

    /// Whether somebody who has that cookie is logged in.
    fn lets_in(&self, cookie: &str) -> bool {
        let stranger = Agent::new_with_defaults();
        let answer = stranger.get(self.service.url("/")).header("cookie", cookie).call();
        let page = answer.expect("it answers").into_body().read_to_string().expect("it is text");
        page.contains("Log out")
    }
}

#[test]
fn a_user_logs_in_sees_a_page_and_logs_out() {
    let service = Service::start(100);
    let (ada, bob) = (Browser::new(&service), Browser::new(&service));
    assert!(!ada.is_logged_in());
    ada.log_in("ada <b>");
    assert!(ada.see("/").contains("Hello, ada &lt;b&gt;."));
    assert!(!bob.is_logged_in());

    let cookie = ada.cookie();
    assert!(ada.lets_in(&cookie));
    let page = ada.post("/logout", &[]);
    assert!(page.contains("Log in") && !ada.is_logged_in());
    assert!(!ada.lets_in(&cookie), "whoever kept the cookie is still logged in");
    assert!(ada.post("/login", &[("name", " ")]).contains("1 to 64 bytes"));
}

#[test]
fn logging_in_again_makes_the_old_cookie_worthless() {
    let service = Service::start(100);
    let browser = Browser::new(&service);
    browser.log_in("ada");
    let before = browser.cookie();
    browser.log_in("ada");
    assert!(browser.is_logged_in());
    assert!(!browser.lets_in(&before));
}

#[test]
fn an_unused_session_ends_and_a_used_one_does_not() {
    let service = Service::start(100);
    let browser = Browser::new(&service);
    browser.log_in("ada");
    service.clock.advance(IDLE - MINUTE);
    assert!(browser.is_logged_in());
    service.clock.advance(IDLE - MINUTE);
    assert!(browser.is_logged_in(), "the last use did not count");
    service.clock.advance(IDLE);
    assert!(!browser.is_logged_in());
}

#[test]
fn no_use_and_no_new_id_outlives_the_absolute_timeout() {
    let service = Service::start(100);
    let browser = Browser::new(&service);
    browser.log_in("ada");
    let step = IDLE / 2;
    let steps = LIVE.as_secs() / step.as_secs();
    for at in 1..steps {
        service.clock.advance(step);
        assert!(browser.is_logged_in(), "logged out early, after {at} quarters of an hour");
        if at == steps / 2 {
            browser.log_in("ada");
        }
    }
    service.clock.advance(step);
    assert!(!browser.is_logged_in());
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
    let asked: Vec<&str> = words.filter(|word| word.starts_with("sundown_")).collect();
    assert!(asked.len() > 8, "{asked:?}");
    for name in asked {
        let line = format!("\n{name}{{cache=\"sessions\"");
        assert!(scraped.contains(&line), "{name} is not among\n{scraped}");
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
