//! Outages that end by themselves: what an operator can ask for over the network, where nobody
//! could ask a closed listener to open again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

use crate::sandbox::Inner;
use crate::server::{Handler, Server};

/// The answer that an outage will come leaves before its connection is closed.
const HEAD_START: Duration = Duration::from_millis(200);

/// Where outages are asked for.
#[derive(Debug)]
pub(crate) struct Outages {
    authority: UnboundedSender<Duration>,
    scanner: UnboundedSender<Duration>,
}

/// What was asked of each server, for the tasks that close and open them.
#[derive(Debug)]
pub(crate) struct Asked {
    authority: UnboundedReceiver<Duration>,
    scanner: UnboundedReceiver<Duration>,
}

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Authority,
    Scanner,
}

impl Outages {
    pub(crate) fn new() -> (Self, Asked) {
        let (authority, authority_asked) = unbounded_channel();
        let (scanner, scanner_asked) = unbounded_channel();
        (Self { authority, scanner }, Asked { authority: authority_asked, scanner: scanner_asked })
    }

    /// Closes a server soon, for that long. A server that is closed already stays so for that long
    /// from now.
    pub(crate) fn ask(&self, side: Side, length: Duration) {
        let sender = match side {
            Side::Authority => &self.authority,
            Side::Scanner => &self.scanner,
        };
        // An error means that the sandbox is ending.
        let _ = sender.send(length);
    }
}

/// Serves what is asked until the sandbox ends; the tasks do not keep it alive.
pub(crate) fn spawn(asked: Asked, inner: &Arc<Inner>) {
    tokio::spawn(serve(asked.authority, Arc::downgrade(inner), |inner| &inner.authority));
    tokio::spawn(serve(asked.scanner, Arc::downgrade(inner), |inner| &inner.scanner));
}

async fn serve<H: Handler>(
    mut asked: UnboundedReceiver<Duration>,
    inner: Weak<Inner>,
    server: impl Fn(&Inner) -> &Server<H>,
) {
    while let Some(length) = asked.recv().await {
        sleep(HEAD_START).await;
        let Some(running) = inner.upgrade() else { return };
        server(&running).offline().await;
        drop(running);
        let mut end = Instant::now() + length;
        loop {
            tokio::select! {
                () = sleep_until(end) => break,
                longer = asked.recv() => match longer {
                    Some(length) => end = Instant::now() + length,
                    None => return,
                },
            }
        }
        let Some(running) = inner.upgrade() else { return };
        if let Err(error) = server(&running).online().await {
            tracing::error!(error = &error as &dyn std::error::Error, "a server did not come back");
        }
    }
}
