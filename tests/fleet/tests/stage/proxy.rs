//! A way to the server that can be slow, cut or silent.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of bytes, each way.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Way {
    Open,
    Slow(Duration),
    /// They are held, and come when it is open again.
    Silent,
    /// Connections are closed, and new ones as well.
    Cut,
}

pub struct Proxy {
    pub port: u16,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let (way, ways) = watch::channel(Way::Open);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let ways = ways.clone();
                if *ways.borrow() != Way::Cut {
                    tokio::spawn(serve(client, port, ways));
                }
            }
        });
        Self { port: own, way, task }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.way.send_replace(Way::Cut);
    }
}

async fn serve(client: TcpStream, port: u16, mut ways: watch::Receiver<Way>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _quick = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let there = tokio::spawn(carry(from_client, to_server, ways.clone()));
    let back = tokio::spawn(carry(from_server, to_client, ways.clone()));
    let (there_abort, back_abort) = (there.abort_handle(), back.abort_handle());
    tokio::select! {
        _ = there => {}
        _ = back => {}
        _ = ways.wait_for(|way| *way == Way::Cut) => {}
    }
    there_abort.abort();
    back_abort.abort();
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut ways: watch::Receiver<Way>) {
    let mut bytes = [0; 16_384];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        let way = *ways.borrow_and_update();
        if let Way::Slow(by) = way {
            tokio::time::sleep(by).await;
        }
        if ways.wait_for(|way| *way != Way::Silent).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
