//! A real server on a port of its own, and a client that keeps its cookie.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use axum::Router;

/// Serves until the process ends.
pub fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    address
}

pub struct Reply {
    pub status: u16,
    pub body: String,
    /// The value of the cookie `id` that came with it.
    pub cookie: Option<String>,
}

/// A request on a connection of its own.
pub fn get(address: SocketAddr, path: &str, cookie: Option<&str>) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    let cookie = cookie.map_or(String::new(), |cookie| format!("cookie: id={cookie}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\nhost: it\r\n{cookie}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").expect("a whole reply");
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: id="));
    let cookie = cookie.and_then(|cookie| cookie.split(';').next()).filter(|it| !it.is_empty());
    Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        body: body.to_owned(),
        cookie: cookie.map(ToOwned::to_owned),
    }
}
