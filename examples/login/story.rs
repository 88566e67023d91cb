//! A browser's part, played by an HTTP client with a cookie jar, and what each login must do, on
//! whatever framework. The tests that include this bring the `Service`.

use std::time::Duration;

use ureq::Agent;

use crate::Service;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const IDLE: Duration = Duration::from_secs(30 * 60);
pub(crate) const LIVE: Duration = Duration::from_secs(8 * 3_600);

/// A visitor, from the first page to the last.
pub(crate) struct Browser<'s> {
    service: &'s Service,
    pub(crate) agent: Agent,
}

impl<'s> Browser<'s> {
    pub(crate) fn new(service: &'s Service) -> Self {
        let config = Agent::config_builder().timeout_global(Some(MINUTE));
        Self { service, agent: config.http_status_as_error(false).build().into() }
    }

    pub(crate) fn see(&self, path: &str) -> String {
        let answer = self.agent.get(self.service.url(path)).call().expect("it answers");
        assert_eq!(answer.status(), 200, "{path}");
        answer.into_body().read_to_string().expect("it is text")
    }

    /// The page after the redirection.
    pub(crate) fn post(&self, path: &str, form: &[(&str, &str)]) -> String {
        let form = form.iter().copied();
        let answer = self.agent.post(self.service.url(path)).send_form(form).expect("it answers");
        answer.into_body().read_to_string().expect("it is text")
    }

    pub(crate) fn log_in(&self, name: &str) {
        let page = self.post("/login", &[("name", name)]);
        assert!(page.contains("Log out"), "{page}");
    }

    pub(crate) fn is_logged_in(&self) -> bool {
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
fn no_use_outlives_the_absolute_timeout_which_a_log_in_begins_anew() {
    let service = Service::start(100);
    let browser = Browser::new(&service);
    let step = IDLE / 2;
    let steps = LIVE.as_secs() / step.as_secs();
    for logs_in_again in [false, true] {
        browser.log_in("ada");
        if logs_in_again {
            for _ in 0..steps / 2 {
                service.clock.advance(step);
                assert!(browser.is_logged_in());
            }
            browser.log_in("ada");
        }
        for at in 1..steps {
            service.clock.advance(step);
            assert!(browser.is_logged_in(), "logged out early, after {at} quarters of an hour");
        }
        service.clock.advance(step);
        assert!(!browser.is_logged_in());
    }
}
