//! `cargo run -- --idle 30m --live 8h`, then open the address that it prints.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::cookie::Key;
use actix_web::{App, HttpServer};
use clap::Parser;
use sundown::Clock;
use sundown_actix_login::{Limits, routes, sessions, store};

/// Log in, see a page, log out; with sessions that are gone when their time is up.
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// How long a session lives unused
    #[arg(long, default_value = "30m", value_parser = humantime::parse_duration)]
    idle: Duration,
    /// How long a session lives at all, however much it is used
    #[arg(long, default_value = "8h", value_parser = humantime::parse_duration)]
    live: Duration,
    /// How many sessions there may be
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// How many MiB they may take
    #[arg(long, default_value_t = 256)]
    mib: u32,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Options { listen, idle, live, sessions: most, mib } = Options::parse();
    let limits = Limits { idle, live, sessions: most, bytes: u64::from(mib) << 20 };
    let store = store(limits, Clock::default())?;
    // Sessions end with the process, so cookies may become unreadable with it.
    let secret = Key::generate();
    let server = HttpServer::new(move || {
        App::new().wrap(sessions(store.clone(), secret.clone(), live)).configure(routes)
    });
    let server = server.bind(listen)?;
    for address in server.addrs() {
        println!("log in at http://{address}/");
    }
    Ok(server.run().await?)
}
