//! Why servers cannot be reached: each of their addresses, and what connecting to it says. Drivers tell of that
//! only after the time that choosing a server may take.

use std::{io, time::Duration};

use futures_util::future::join_all;
use mongodb::options::ServerAddress;
use tokio::net::{TcpStream, UnixStream};

/// How long one address may take.
const LIMIT: Duration = Duration::from_secs(1);
/// Of more addresses the first ones say enough.
const MOST: usize = 8;

/// A sentence with every address; `otherwise` is what is known of one that takes connections.
pub(super) async fn explain(servers: &[ServerAddress], otherwise: &str) -> String {
    if servers.is_empty() {
        return otherwise.to_owned();
    }
    let looks = servers.iter().take(MOST).map(|server| async move {
        let shown = address(server);
        match connect(server).await {
            Ok(()) => format!("{shown} takes connections, but {otherwise}"),
            Err(error) => format!("{shown}: {error}"),
        }
    });
    join_all(looks).await.join("; ")
}

fn address(server: &ServerAddress) -> String {
    match server {
        // MongoDB's own port.
        ServerAddress::Tcp { host, port } => format!("{host}:{}", port.unwrap_or(27017)),
        other => other.to_string(),
    }
}

async fn connect(server: &ServerAddress) -> io::Result<()> {
    let attempt = async {
        match server {
            ServerAddress::Tcp { host, port } => {
                let address = (host.as_str(), port.unwrap_or(27017));
                TcpStream::connect(address).await.map(drop)
            }
            ServerAddress::Unix { path } => UnixStream::connect(path).await.map(drop),
            other => Err(io::Error::other(format!(
                "{other} is no address known here"
            ))),
        }
    };
    match tokio::time::timeout(LIMIT, attempt).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no connection within {} s", LIMIT.as_secs()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_is_named_with_what_it_says() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap().port();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = closed.local_addr().unwrap().port();
        drop(closed);
        let at = |port| ServerAddress::Tcp {
            host: "127.0.0.1".into(),
            port: Some(port),
        };
        let told = explain(&[at(port), at(open)], "it is asleep").await;
        let (first, second) = told.split_once("; ").unwrap();
        assert!(
            first.starts_with(&format!("127.0.0.1:{port}: Connection refused")),
            "{told}"
        );
        let expected = format!("127.0.0.1:{open} takes connections, but it is asleep");
        assert_eq!(second, expected);
        assert_eq!(explain(&[], "nothing is known").await, "nothing is known");
    }
}
