//! A redis-server of a test's own.

use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

/// Runs on a free port of the loopback and keeps nothing; it ends with the test.
pub struct Server {
    pub port: u16,
    folder: PathBuf,
    child: Child,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        // Relaxed: a number of its own for each.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sundown-fleet-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let child = spawn(port, &folder);
        let mut server = Self { port, folder, child };
        server.wait().await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// A connection that no instance knows of.
    pub async fn raw(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    pub async fn keys(&self) -> i64 {
        redis::cmd("DBSIZE").query_async(&mut self.raw().await).await.unwrap()
    }

    /// Ends the process and starts another one, with the sessions or without.
    pub async fn restart(&mut self, keeps_data: bool) {
        if keeps_data {
            // In one step: nothing that was acknowledged is left out.
            let mut shutdown = redis::cmd("SHUTDOWN");
            let _closed = shutdown.arg("SAVE").query_async::<()>(&mut self.raw().await).await;
            let _status = self.child.wait();
        }
        self.end();
        if !keeps_data {
            let _none = std::fs::remove_file(self.folder.join("dump.rdb"));
        }
        self.child = spawn(self.port, &self.folder);
        self.wait().await;
    }

    pub fn end(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }

    async fn wait(&mut self) {
        let until = Instant::now() + Duration::from_secs(10);
        let client = redis::Client::open(self.url()).unwrap();
        loop {
            if let Ok(mut connection) = client.get_multiplexed_async_connection().await {
                if redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok() {
                    return;
                }
            }
            assert!(Instant::now() < until, "redis-server has not come up");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

fn program() -> Command {
    Command::new(std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned()))
}

fn spawn(port: u16, folder: &PathBuf) -> Child {
    let mut program = program();
    program
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
        .arg("--dir")
        .arg(folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "NO REDIS: `{program:?}` cannot be started ({error}), and nothing was tested. \
                 Install it (apt-get install redis-server) or name it in REDIS_SERVER."
            )
        })
}

/// A sentinel that watches one master, and decides alone.
pub struct Sentinel {
    server: Server,
}

impl Sentinel {
    pub async fn start(master: &str, port: u16) -> Self {
        let mut server = Server::start().await;
        server.end();
        let settings = format!(
            "port {}\nbind 127.0.0.1\nloglevel warning\nsentinel monitor {master} 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds {master} 300\nsentinel failover-timeout {master} 2000\n",
            server.port
        );
        let file = server.folder.join("sentinel.conf");
        std::fs::write(&file, settings).unwrap();
        server.child = program()
            .arg(file)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .spawn()
            .expect("as the server before it");
        server.wait().await;
        Self { server }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Until it knows of a replica that can take over.
    pub async fn wait_for_replica(&self, master: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        let mut replicas = redis::cmd("SENTINEL");
        replicas.arg("REPLICAS").arg(master);
        loop {
            let known: Vec<HashMap<String, String>> =
                replicas.query_async(&mut self.server.raw().await).await.unwrap();
            let is_linked = |replica: &HashMap<String, String>| {
                replica.get("master-link-status").is_some_and(|status| status == "ok")
            };
            if known.iter().any(is_linked) {
                return;
            }
            assert!(Instant::now() < until, "no replica was found");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

static NUMBER: AtomicU32 = AtomicU32::new(0);
