//! Deploys under load: the process is asked to stop, and the next one has its sessions.
//!
//! Users log in, look and log out all the while, on threads of their own, and note what they were told.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use ureq::Agent;

/// The service as a process of its own.
struct Service(Child);

impl Service {
    /// Gives what it said of the snapshot, and its address.
    fn start(listen: &str, snapshot: &Path) -> (Self, String, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sundown-axum-login"))
            .args(["--listen", listen, "--snapshot"])
            .arg(snapshot)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut line = || lines.next().expect("it says more").expect("it is text");
        let report = line();
        let address = line();
        let address = address.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.expect("it says where").to_owned();
        // What it says at its end must not break its pipe.
        std::thread::spawn(move || lines.for_each(drop));
        (Self(child), report, address)
    }

    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().expect("there is kill");
        assert!(sent.success());
    }

    fn stop(mut self) {
        self.signal("-TERM");
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _over = self.0.kill();
        let _over = self.0.wait();
    }
}

/// A client that keeps its cookie, also when it has been logged out.
struct User<'a> {
    agent: Agent,
    address: &'a str,
    name: String,
}

impl<'a> User<'a> {
    fn new(address: &'a str, name: String) -> Self {
        let config = Agent::config_builder().max_redirects(0).http_status_as_error(false);
        let agent = config.timeout_global(Some(Duration::from_secs(20))).build().new_agent();
        Self { agent, address, name }
    }

    /// Again and again while there is no service.
    fn until_served<R>(&self, ask: impl Fn() -> Result<R, ureq::Error>) -> R {
        let begun = Instant::now();
        loop {
            match ask() {
                Ok(answer) => return answer,
                Err(error) => assert!(begun.elapsed() < Duration::from_secs(60), "{error}"),
            }
            sleep(Duration::from_millis(20));
        }
    }

    /// Gives the cookie.
    fn log_in(&self) -> String {
        let answer = self.until_served(|| {
            let answer = self.agent.post(format!("http://{}/login", self.address));
            answer.send_form([("name", &*self.name)])
        });
        let cookie = answer.headers().get("set-cookie").expect("it gives a cookie");
        let cookie = cookie.to_str().expect("it is text").split(';').next();
        cookie.expect("it is there").to_owned()
    }

    fn log_out(&self, cookie: &str) {
        let status = self.until_served(|| {
            let request = self.agent.post(format!("http://{}/logout", self.address));
            Ok(request.header("cookie", cookie).send_empty()?.status())
        });
        assert!(status.is_redirection(), "{status}");
    }

    fn is_in(&self, cookie: &str) -> bool {
        let page = self.until_served(|| {
            let request = self.agent.get(format!("http://{}/", self.address));
            request.header("cookie", cookie).call()?.into_body().read_to_string()
        });
        page.contains("Log out")
    }

    /// Comes and goes until it is over; gives how many visits that were.
    fn visit(&self, is_over: &AtomicBool) -> usize {
        let mut old = Vec::new();
        // Acquire: pairs with the store at the end of the test.
        while !is_over.load(Ordering::Acquire) {
            let cookie = self.log_in();
            for _ in 0..5 {
                assert!(self.is_in(&cookie), "{} was logged out", self.name);
                sleep(Duration::from_millis(5));
            }
            self.log_out(&cookie);
            old.push(cookie);
            for cookie in old.iter().rev().take(3) {
                assert!(!self.is_in(cookie), "{} is back", self.name);
            }
        }
        for cookie in &old {
            assert!(!self.is_in(cookie), "{} is back at the end", self.name);
        }
        old.len()
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sundown-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("it can be made");
        Self(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("sessions")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_deploy_under_load_logs_nobody_out_and_brings_nobody_back() {
    let folder = Folder::new("deploy");
    let (mut service, report, address) = Service::start("127.0.0.1:0", &folder.file());
    assert_eq!(report, "a clean start: there is no snapshot");
    let idler = User::new(&address, "ida".into());
    let stays = idler.log_in();
    let is_over = AtomicBool::new(false);
    let (visits, _service): (usize, Service) = scope(|scope| {
        let visitors: Vec<_> = (0..6)
            .map(|number| {
                let user = User::new(&address, format!("user{number}"));
                let is_over = &is_over;
                scope.spawn(move || user.visit(is_over))
            })
            .collect();
        for _ in 0..5 {
            sleep(Duration::from_millis(400));
            service.stop();
            let report;
            (service, report, _) = Service::start(&address, &folder.file());
            assert!(report.ends_with(" 0 were refused"), "{report}");
        }
        sleep(Duration::from_millis(300));
        // Release: pairs with the load in `visit`.
        is_over.store(true, Ordering::Release);
        let joined = visitors.into_iter().map(|visitor| visitor.join().expect("all was as told"));
        (joined.sum(), service)
    });
    assert!(visits > 20, "{visits} visits are no load");
    assert!(idler.is_in(&stays));
}

#[test]
fn a_process_that_is_killed_after_a_restart_brings_nobody_back() {
    let folder = Folder::new("kill");
    let (service, _, address) = Service::start("127.0.0.1:0", &folder.file());
    let ada = User::new(&address, "ada".into());
    let cookie = ada.log_in();
    service.stop();
    let (service, report, _) = Service::start(&address, &folder.file());
    assert!(report.starts_with("1 sessions restored"), "{report}");
    assert!(ada.is_in(&cookie));
    ada.log_out(&cookie);
    service.signal("-KILL");
    drop(service);
    let (_service, report, _) = Service::start(&address, &folder.file());
    assert_eq!(report, "a clean start: there is no snapshot");
    assert!(!ada.is_in(&cookie));
}
