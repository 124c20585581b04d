//! Outages that end by themselves. An operator asks for them over the network, and could not ask a
//! closed listener to open again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

use crate::server::{Handler, Server};

/// The answer to the request for an outage is sent before its connection is closed.
const HEAD_START: Duration = Duration::from_millis(200);

/// Takes requests for outages.
#[derive(Debug)]
pub(crate) struct Outages {
    authority: UnboundedSender<Duration>,
    scanner: UnboundedSender<Duration>,
}

/// The lengths of the outages that were asked for, for the tasks that make them.
#[derive(Debug)]
pub(crate) struct OutageRequests {
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
    pub(crate) fn new() -> (Self, OutageRequests) {
        let (authority, authority_requests) = unbounded_channel();
        let (scanner, scanner_requests) = unbounded_channel();
        (
            Self { authority, scanner },
            OutageRequests { authority: authority_requests, scanner: scanner_requests },
        )
    }

    /// Closes a server soon, for this long. A server that is closed already stays closed for this long
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

/// Makes the outages that are asked for, until the servers end. The tasks do not keep them alive.
pub(crate) fn spawn<A: Handler, S: Handler>(
    requests: OutageRequests,
    authority: &Arc<Server<A>>,
    scanner: &Arc<Server<S>>,
) {
    tokio::spawn(serve(requests.authority, Arc::downgrade(authority)));
    tokio::spawn(serve(requests.scanner, Arc::downgrade(scanner)));
}

async fn serve<H: Handler>(mut requests: UnboundedReceiver<Duration>, server: Weak<Server<H>>) {
    while let Some(length) = requests.recv().await {
        sleep(HEAD_START).await;
        let Some(running) = server.upgrade() else { return };
        running.offline().await;
        drop(running);
        let mut end = Instant::now() + length;
        loop {
            tokio::select! {
                () = sleep_until(end) => break,
                longer = requests.recv() => match longer {
                    Some(length) => end = Instant::now() + length,
                    None => return,
                },
            }
        }
        let Some(running) = server.upgrade() else { return };
        if let Err(error) = running.online().await {
            tracing::error!(error = &error as &dyn std::error::Error, "a server did not come back");
        }
    }
}
