//! Makes a connection to one server.

use std::sync::Arc;

use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisResult,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use futures_util::future::select_ok;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};

use super::{coalesce::Coalescer, conn::Conn};

/// Connects. With TLS, which only the client can do, the client's own task writes.
pub(super) async fn connect(
    info: &ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> RedisResult<Conn> {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => {
            let stream = tcp(host, *port, info.tcp_settings()).await?;
            coalesced(stream, info, config).await
        }
        #[cfg(unix)]
        ConnectionAddr::Unix(path) => {
            coalesced(tokio::net::UnixStream::connect(path).await?, info, config).await
        }
        _ => {
            let client = Client::open(info.clone())?;
            let connection = client.get_multiplexed_async_connection_with_config(config).await?;
            Ok(Conn::Multiplexed(connection, None))
        }
    }
}

/// The first of the host's addresses that answers, as the client does it.
async fn tcp(host: &str, port: u16, settings: &TcpSettings) -> RedisResult<TcpStream> {
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err((ErrorKind::InvalidClientConfig, "No address found for host").into());
    }
    let attempts = addresses.into_iter().map(|address| Box::pin(TcpStream::connect(address)));
    let (stream, _slower) = select_ok(attempts).await?;
    stream.set_nodelay(settings.nodelay())?;
    Ok(stream)
}

async fn coalesced(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    info: &ConnectionInfo,
    config: &AsyncConnectionConfig,
) -> RedisResult<Conn> {
    let settings = info.redis_settings();
    let (connection, driver) =
        MultiplexedConnection::new_with_config(settings, stream, config.clone()).await?;
    Ok(Conn::Multiplexed(connection, Some(Arc::new(Coalescer::spawn(driver)))))
}

#[cfg(test)]
mod tests {
    use std::{
        io, iter,
        pin::Pin,
        sync::atomic::{AtomicUsize, Ordering},
        task::{Context, Poll},
        time::Duration,
    };

    use deadpool_redis::redis::{IntoConnectionInfo, cmd};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
        task::JoinSet,
        time::timeout,
    };

    use super::*;
    use crate::redis::{coalesce::BATCH, conn::Request};

    async fn conn(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Conn {
        let info = "redis://server".into_connection_info().expect("an address");
        let config = AsyncConnectionConfig::new().set_pipeline_buffer_size(BATCH);
        coalesced(stream, &info, &config).await.expect("a connection")
    }

    /// Answers every command with `OK`, until `stop` commands have come.
    async fn serve(mut stream: DuplexStream, stop: usize) -> DuplexStream {
        let (mut seen, mut buffer) = (0, vec![0; 65_536]);
        while seen < stop {
            let read = stream.read(&mut buffer).await.expect("commands");
            let commands = buffer[..read].iter().filter(|byte| **byte == b'*').count();
            let answers: String = iter::repeat_n("+OK\r\n", commands).collect();
            stream.write_all(answers.as_bytes()).await.expect("a client");
            seen += commands;
        }
        stream
    }

    /// Counts writes.
    struct Counted(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn many_commands_go_in_few_writes() {
        const CALLERS: usize = 8 * BATCH;
        const EACH: usize = 16;
        let (near, far) = duplex(1 << 20);
        let server = tokio::spawn(serve(far, usize::MAX));
        let writes = Arc::new(AtomicUsize::new(0));
        let conn = conn(Counted(near, Arc::clone(&writes))).await;
        writes.store(0, Ordering::Relaxed);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let mut conn = conn.clone();
            callers.spawn(async move {
                for _ in 0..EACH {
                    let sent = conn.send(Request::Command(&cmd("PING"))).await;
                    assert!(sent.is_ok());
                }
            });
        }
        callers.join_all().await;
        let (commands, writes) = (CALLERS * EACH, writes.load(Ordering::Relaxed));
        assert!(writes * 8 < commands, "{commands} commands in {writes} writes");
        server.abort();
    }

    /// The server has stopped reading, and a write waits for it.
    #[tokio::test(start_paused = true)]
    async fn the_connection_is_closed_with_the_last_who_holds_it() {
        let (near, far) = duplex(4_096);
        let (conn, mut server) = tokio::join!(conn(near), serve(far, 2));
        let large = cmd("SET").arg("key").arg(vec![b'x'; 1 << 20]).clone();
        for _ in 0..2 {
            let mut other = conn.clone();
            let sent = timeout(Duration::from_millis(100), other.send(Request::Command(&large)));
            assert!(sent.await.is_err());
        }
        drop(conn);
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.expect("the end");
        assert!(rest.len() <= 4_096, "{} bytes", rest.len());
    }
}
