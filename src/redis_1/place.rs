//! Where the server is: at an address, or where sentinels say that the master is.

use core::time::Duration;

use ::redis_1::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    RedisError, cmd,
};
use tokio::time::timeout;

use crate::platform::sync::{AtomicUsize, Ordering};

pub(super) struct Place {
    info: ConnectionInfo,
    sentinels: Vec<Client>,
    /// Which sentinel is asked first the next time: one that is wrong is not believed twice in a row.
    first: AtomicUsize,
}

impl Place {
    pub(super) fn of(url: &str, sentinels: &[String]) -> Result<Self, RedisError> {
        let info = url.into_connection_info()?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        if !sentinels.is_empty() && master_of(&info).is_none() {
            return Err((ErrorKind::InvalidClientConfig, "a socket's path names no master").into());
        }
        let sentinels = sentinels.iter().map(|url| Client::open(url.as_str()));
        let sentinels = sentinels.collect::<Result<_, _>>()?;
        Ok(Self { info, sentinels, first: AtomicUsize::new(0) })
    }

    /// The server, as of now; each sentinel is given so long to tell.
    pub(super) async fn client(&self, patience: Duration) -> Result<Client, RedisError> {
        let Some(master) = master_of(&self.info).filter(|_| !self.sentinels.is_empty()) else {
            return Client::open(self.info.clone());
        };
        // Relaxed: any of them may be the first.
        let first = self.first.fetch_add(1, Ordering::Relaxed);
        let mut last = RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, UNKNOWN));
        for n in 0..self.sentinels.len() {
            let sentinel = &self.sentinels[first.wrapping_add(n) % self.sentinels.len()];
            match timeout(patience, ask(sentinel, master)).await {
                Ok(Ok(Some((host, port)))) => {
                    return Client::open(self.info.clone().set_addr(self.address(host, port)));
                }
                Ok(Ok(None)) => {}
                Ok(Err(error)) => last = error,
                Err(_) => last = std::io::Error::from(std::io::ErrorKind::TimedOut).into(),
            }
        }
        Err(last)
    }

    /// The same way of connecting to another address.
    fn address(&self, to_host: String, to_port: u16) -> ConnectionAddr {
        let mut address = self.info.addr().clone();
        if let ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } =
            &mut address
        {
            (*host, *port) = (to_host, to_port);
        }
        address
    }
}

/// The host of an address, where sentinels are given the master's name.
fn master_of(info: &ConnectionInfo) -> Option<&str> {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => Some(host),
        _ => None,
    }
}

async fn ask(sentinel: &Client, master: &str) -> Result<Option<(String, u16)>, RedisError> {
    let mut connection = sentinel.get_multiplexed_async_connection().await?;
    let mut question = cmd("SENTINEL");
    question.arg("get-master-addr-by-name").arg(master);
    question.query_async(&mut connection).await
}

const UNKNOWN: &str = "no sentinel knows a master of this name";
