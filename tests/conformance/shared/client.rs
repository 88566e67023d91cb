//! A client that keeps one cookie, over real connections.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// A browser of one site.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    /// The cookie's name.
    pub name: &'static str,
    pub cookie: Option<String>,
}

impl Client {
    /// A request on a connection of its own; gives status and body.
    pub fn get(&mut self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let name = self.name;
        let cookie = self.cookie.as_ref();
        let cookie = cookie.map_or(String::new(), |it| format!("cookie: {name}={it}\r\n"));
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: it\r\n{cookie}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").expect("a whole reply");
        let prefix = format!("set-cookie: {name}=");
        if let Some(set) = head.lines().find_map(|line| line.strip_prefix(&prefix)) {
            let value = set.split(';').next().unwrap_or_default();
            self.cookie = (!value.is_empty()).then(|| value.to_owned());
        }
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

/// What a service must answer that has the pages `login`, `renew`, `logout`, `user` and `slow`; the last
/// one calls `may_go_on` when it has loaded its session, and waits until that returns.
pub fn plays(service: &Client, slow_has_loaded: impl Fn(), let_slow_go_on: impl Fn()) {
    let mut ada = service.clone();
    assert_eq!(ada.get("/user"), (200, String::new()));
    assert_eq!(ada.get("/login").0, 200);
    assert_eq!(ada.get("/user"), (200, "ada".to_owned()));

    // A new id: the old one is over, the session goes on.
    let mut before = ada.clone();
    assert_eq!(ada.get("/renew").0, 200);
    assert_ne!(ada.cookie, before.cookie);
    assert_eq!(ada.get("/user"), (200, "ada".to_owned()));
    assert_eq!(before.get("/user"), (200, String::new()));

    // A log-out beside a slow request that has loaded the session.
    let (mut slow, mut late) = (ada.clone(), ada.clone());
    let is_served = std::thread::spawn(move || slow.get("/slow").0);
    slow_has_loaded();
    assert_eq!(ada.get("/logout").0, 200);
    let_slow_go_on();
    assert_eq!(is_served.join().unwrap(), 200, "the late save is no error");
    assert_eq!(late.get("/user"), (200, String::new()), "it is logged in again");

    // A cookie that the service has not set.
    for page in ["/user", "/login", "/renew", "/logout"] {
        let mut planted = Client { cookie: Some("p".repeat(43)), ..service.clone() };
        assert_eq!(planted.get(page).0, 200);
        let mut same = Client { cookie: Some("p".repeat(43)), ..service.clone() };
        assert_eq!(same.get("/user"), (200, String::new()));
    }
}
