//! When the gateway stops: Ctrl-C, SIGTERM, and how long open requests are waited for.

use std::time::Duration;

use tokio::{signal, time::timeout};

/// The longest that open requests are waited for: a client that never sends the rest of its own
/// must not keep the gateway.
const PATIENCE: Duration = Duration::from_secs(25);

/// Returns at Ctrl-C or SIGTERM. Open requests are finished then; whoever asks a second time does
/// not want to wait for them.
pub(crate) async fn asked_for() {
    once().await;
    tracing::info!("stopping: open requests are finished first; ask again to stop at once");
    tokio::spawn(async {
        if timeout(PATIENCE, once()).await.is_err() {
            tracing::warn!("stopped: some requests did not finish in {PATIENCE:?}");
        }
        std::process::exit(1);
    });
}

async fn once() {
    let interrupt = async {
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut terminate) => drop(terminate.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
