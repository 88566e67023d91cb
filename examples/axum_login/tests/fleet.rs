//! Two instances over one Redis, as a load balancer sees them.

#[path = "../../../tests/fleet/tests/stage/server.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "written for the tests of fleets")]
mod server;

use std::fs;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sundown::ProcessMemory;
use sundown_axum_login::{Limits, Login, app};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use ureq::Agent;

use crate::server::Server;

/// An instance on a port of its own, until it is dropped.
struct Instance {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Instance {
    fn start(redis: &str, idle: Duration) -> Self {
        let runtime = Runtime::new().expect("threads can be made");
        let hour = Duration::from_secs(3600);
        let limits = Limits { idle, live: hour, sessions: 100, bytes: 1 << 20, per_user: Some(3) };
        let (listener, login) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            (listener, Login::over(redis, limits, false).await.expect("it connects"))
        });
        let address = listener.local_addr().expect("it is bound");
        let app = async move { app(login, recorder(), ProcessMemory::read) };
        runtime.spawn(async move { axum::serve(listener, app.await).await });
        Self { address, _runtime: runtime }
    }

    fn see(&self, browser: &Agent, path: &str) -> (u16, String) {
        let answer = browser.get(format!("http://{}{path}", self.address)).call();
        let answer = answer.expect("it answers");
        let status = answer.status().as_u16();
        (status, answer.into_body().read_to_string().expect("it is text"))
    }

    fn post(&self, browser: &Agent, path: &str, form: &[(&str, &str)]) {
        let answer = browser.post(format!("http://{}{path}", self.address));
        let answer = answer.send_form(form.iter().copied()).expect("it answers");
        assert_eq!(answer.status(), 200, "{path}");
    }

    fn is_in(&self, browser: &Agent) -> bool {
        let (status, page) = self.see(browser, "/");
        status == 200 && page.contains("Log out")
    }
}

/// The process has one recorder.
fn recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    let install = || PrometheusBuilder::new().install_recorder().expect("the only recorder");
    RECORDER.get_or_init(install).clone()
}

/// With a jar of cookies, which all ports of a host share.
fn browser() -> Agent {
    let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(60)));
    config.http_status_as_error(false).build().into()
}

fn redis() -> (Runtime, Server) {
    let runtime = Runtime::new().expect("threads can be made");
    let server = runtime.block_on(Server::start());
    (runtime, server)
}

/// What becomes true in milliseconds, on a machine that may be busy.
#[track_caller]
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(5));
    }
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_user_is_known_on_both_and_logged_out_on_both() {
    let (_runtime, server) = redis();
    let [one, other] = [0; 2].map(|_| Instance::start(&server.url(), LONG));
    for round in 0..30 {
        let ada = browser();
        one.post(&ada, "/login", &[("name", "ada")]);
        assert!(one.is_in(&ada) && other.is_in(&ada), "round {round}");
        let from = if round % 2 == 0 { &other } else { &one };
        from.post(&ada, "/logout", &[]);
        // The browser has forgotten its cookie; what it was is tried by the tests of the store.
        assert!(!one.is_in(&ada) && !other.is_in(&ada), "round {round}");
    }
    let devices: Vec<Agent> = (0..4).map(|_| browser()).collect();
    for (device, at) in devices.iter().zip([&one, &other, &one, &other]) {
        at.post(device, "/login", &[("name", "bob")]);
    }
    soon("the first of four is out", || !one.is_in(&devices[0]) && !other.is_in(&devices[0]));
    let (_, page) = one.see(&devices[3], "/");
    assert_eq!((page.matches("<li>").count(), page.matches("this one").count()), (3, 1), "{page}");
    let device = page.split("value=\"").nth(1).and_then(|rest| rest.split('"').next());
    one.post(&devices[3], "/logout-device", &[("device", device.expect("a button"))]);
    one.post(&devices[3], "/logout-device", &[("device", "made up")]);
    soon("the second is out", || !other.is_in(&devices[1]));
    assert!(one.is_in(&devices[2]) && other.is_in(&devices[3]));
    other.post(&devices[3], "/logout-others", &[]);
    soon("the third is out", || !one.is_in(&devices[2]));
    one.post(&devices[3], "/logout-everywhere", &[]);
    soon("all are out", || devices.iter().all(|device| !other.is_in(device)));
}

#[test]
fn what_happens_to_redis_does_not_let_anybody_back_in_nor_log_anybody_out() {
    let (runtime, mut server) = redis();
    let [one, other] = [0; 2].map(|_| Instance::start(&server.url(), LONG));
    let ada = browser();
    one.post(&ada, "/login", &[("name", "ada")]);
    assert!(other.is_in(&ada));
    let mut raw = runtime.block_on(server.raw());
    let command = |parts: &[&str], raw: &mut _| {
        let mut command = redis::cmd(parts[0]);
        command.arg(&parts[1..]);
        runtime.block_on(command.query_async::<redis::Value>(raw)).expect("it is done")
    };
    command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"], &mut raw);
    soon("known after its connections were killed", || one.is_in(&ada) && other.is_in(&ada));

    // Down: requests fail, in time; then the session is known again.
    let stopped = Instant::now();
    runtime.block_on(server.restart(true));
    let mut longest = Duration::ZERO;
    soon("known after a restart", || {
        let since = Instant::now();
        let is_in = one.is_in(&ada) && other.is_in(&ada);
        longest = longest.max(since.elapsed());
        is_in
    });
    assert!(longest < Duration::from_secs(12), "{longest:?} of {:?}", stopped.elapsed());

    let mut raw = runtime.block_on(server.raw());
    command(&["FLUSHALL"], &mut raw);
    soon("out after all was flushed", || !one.is_in(&ada) && !other.is_in(&ada));
    sleep(Duration::from_millis(100));
    assert!(!one.is_in(&ada) && !other.is_in(&ada));
}

#[test]
fn redis_is_empty_when_the_last_session_has_ended() {
    let (runtime, server) = redis();
    let [one, other] = [0; 2].map(|_| Instance::start(&server.url(), Duration::from_secs(1)));
    let (ada, bob) = (browser(), browser());
    one.post(&ada, "/login", &[("name", "ada")]);
    other.post(&bob, "/login", &[("name", "bob")]);
    assert!(other.is_in(&ada) && one.is_in(&bob));
    assert!(runtime.block_on(server.keys()) > 0);
    soon("nothing is left", || runtime.block_on(server.keys()) == 0);
    assert!(!one.is_in(&ada) && !other.is_in(&bob));
}

#[test]
fn prometheus_finds_the_metrics_of_the_tier_that_the_alerts_ask_for() {
    let (_runtime, server) = redis();
    let one = Instance::start(&server.url(), LONG);
    let (_, scraped) = one.see(&browser(), "/metrics");
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/rules.yml");
    let rules = fs::read_to_string(rules).expect("the rules are there");
    let words = rules.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let asked: Vec<&str> = words.filter(|word| word.starts_with("sundown_tier_")).collect();
    assert!(asked.len() > 1, "{asked:?}");
    for name in asked {
        let is_there = scraped.contains(&format!("\n{name}{{cache=\"sessions\""));
        assert!(is_there, "{name} is not among\n{scraped}");
    }
}
