//! Binding sockets and accepting connections.

use std::{
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, UnixListener},
    sync::watch,
};

use super::{config::Listen, connection, connections::Connections, stream::Stream};
use crate::{
    bail,
    commands::service::Service,
    error::{Code, CommandError, Result},
};

/// An address that is listened on.
#[derive(Debug, Clone)]
pub enum Bound {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP address with its real port.
    Tcp(SocketAddr),
}

/// A listening socket.
#[derive(Debug)]
pub enum Socket {
    /// Unix.
    Unix(UnixListener),
    /// TCP.
    Tcp(TcpListener),
}

fn failed(what: &str, error: &std::io::Error) -> CommandError {
    CommandError::new(Code::InternalError, format!("{what}: {error}"))
}

/// Binds.
pub async fn bind(listen: &Listen) -> Result<(Bound, Socket)> {
    match listen {
        Listen::Unix(path) => bind_unix(path),
        Listen::Tcp(address) => {
            let listener = TcpListener::bind(address)
                .await
                .map_err(|error| failed(&address.to_string(), &error))?;
            let address = listener
                .local_addr()
                .map_err(|error| failed(&address.to_string(), &error))?;
            Ok((Bound::Tcp(address), Socket::Tcp(listener)))
        }
    }
}

fn bind_unix(path: &Path) -> Result<(Bound, Socket)> {
    let shown = path.display().to_string();
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| failed(&shown, &error))?;
    }
    remove_stale(path)?;
    let listener = UnixListener::bind(path).map_err(|error| failed(&shown, &error))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| failed(&shown, &error))?;
    Ok((Bound::Unix(path.to_owned()), Socket::Unix(listener)))
}

/// Removes a socket that nobody listens on any more; refuses to take one that is in use.
fn remove_stale(path: &Path) -> Result<()> {
    let shown = path.display().to_string();
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(&shown, &error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            bail!(IllegalOperation, "{shown} exists and is not a socket")
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            bail!(IllegalOperation, "{shown} is in use by another process")
        }
        Ok(_) => std::fs::remove_file(path).map_err(|error| failed(&shown, &error)),
    }
}

/// Accepts until told to stop.
pub async fn accept(
    socket: Socket,
    service: Arc<Service>,
    connections: Arc<Connections>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            accepted = next(&socket) => accepted,
        };
        match accepted {
            Ok(stream) => connection::start(stream, &service, &connections),
            Err(error) => {
                // Out of file descriptors, mostly: there will be some again.
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn next(socket: &Socket) -> std::io::Result<Stream> {
    match socket {
        Socket::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            Ok(Stream::Unix(stream))
        }
        Socket::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
    }
}
