//! The service for the story that both logins share. The sessions' time is a manual clock, so nothing
//! here waits for a deadline.

#[path = "../../login/story.rs"]
mod story;

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use actix_web::cookie::Key;
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use sundown::ManualClock;
use sundown_actix_login::{Limits, routes, sessions, store};

use crate::story::{IDLE, LIVE};

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
        let limits = Limits { idle: IDLE, live: LIVE, sessions: most, bytes: 1 << 20 };
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
