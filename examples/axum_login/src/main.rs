//! `cargo run -- --idle 30m --live 8h`, then open the address that it prints, and `/status` beside it.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use sundown::{Clock, ProcessMemory};
use sundown_axum_login::{Limits, Login, app};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

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
    /// How many MiB they may take, if they are not shared
    #[arg(long, default_value_t = 256)]
    mib: u32,
    /// On how many devices a user may be logged in; one more logs the oldest out
    #[arg(long, value_name = "DEVICES")]
    per_user: Option<usize>,
    /// Share the sessions with other instances, over the Redis 6 or Valkey at this address
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Keep the sessions in this file from a stop by SIGTERM or Ctrl-C to the next start
    #[arg(long, value_name = "FILE", conflicts_with = "redis")]
    snapshot: Option<PathBuf>,
    /// Have the page's list of who is online forget to let go: see what /status says a minute after
    /// somebody's time is up
    #[arg(long)]
    overstay: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Options { listen, idle, live, sessions, mib, per_user, redis, snapshot, overstay } =
        Options::parse();
    let limits = Limits { idle, live, sessions, bytes: u64::from(mib) << 20, per_user };
    let login = match (redis, &snapshot) {
        (Some(url), _) => Login::over(&url, limits, overstay).await?,
        (None, Some(path)) => Login::restored(limits, overstay, path)?,
        (None, None) => Login::new(limits, overstay, Clock::default())?,
    };
    let app = app(login.clone(), PrometheusBuilder::new().install_recorder()?, ProcessMemory::read);

    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    println!("log in at http://{address}/ and watch http://{address}/status");
    let (stop, mut stopped) = watch::channel(());
    let asked = async move {
        asked_to_stop().await;
        drop(stop);
    };
    // Graceful, so that no request changes a session any more when they are written. But a page that watches
    // would put it off for ever.
    let serve = axum::serve(listener, app).with_graceful_shutdown(asked);
    let late = async {
        let _stopped = stopped.changed().await;
        sleep(MOST_WAIT).await;
    };
    tokio::select! {
        served = serve => served?,
        () = late => {}
    }
    if let Some(path) = snapshot {
        spawn_blocking(move || login.snapshot(&path)).await??;
    }
    Ok(())
}

/// By Ctrl-C, or by whatever starts the next process.
async fn asked_to_stop() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _asked = interrupted.await;
}

/// How long requests under way may take at the end.
const MOST_WAIT: Duration = Duration::from_secs(5);
