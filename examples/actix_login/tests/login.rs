//! A browser's part, played by an HTTP client with a cookie jar. The sessions' time is a manual
//! clock, so nothing here waits for a deadline.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use actix_web::cookie::Key;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use sundown::ManualClock;
use sundown_actix_login::{Limits, routes, sessions, store};
use ureq::Agent;

const MINUTE: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_secs(30 * 60);
const LIVE: Duration = Duration::from_secs(8 * 3_600);

/// The service on a port of its own and with two workers, until it is dropped.
struct Service {
    address: SocketAddr,
    clock: ManualClock,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    fn start(most: usize) -> Self {
        let clock = ManualClock::new();
        let limits = Limits { idle: IDLE, live: LIVE, sessions: most };
        let store = store(limits, clock.clone()).expect("the limits are sane");
        let (tell, told) = mpsc::channel();
        let serve = move || {
            actix_web::rt::System::new().block_on(async move {
                let secret = Key::generate();
                let pages = move || {
                    App::new().wrap(sessions(store.clone(), secret.clone(), LIVE)).configure(routes)
                };
                let server = HttpServer::new(pages).workers(2).disable_signals();
                let server = server.bind("127.0.0.1:0").expect("a free port");
                let address = server.addrs()[0];
                let server = server.run();
                tell.send((address, server.handle())).expect("the test waits for it");
                server.await.expect("it serves");
            });
        };
        let thread = Some(thread::spawn(serve));
        let (address, handle) = told.recv().expect("it starts");
        Self { address, clock, handle, thread }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The command is sent at once; the future only waits for its end, as `join` does.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the service panicked");
        }
    }
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
