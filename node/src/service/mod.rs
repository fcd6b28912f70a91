//! The service plane: one unpinned thread for what may be slow. Today that is the admin port.
//!
//! ```text
//! http.rs     connections and their bounds           admin.rs   which question is answered where
//! ask.rs      questions to the workers               limits.rs  the bounds, as configured
//! status.rs   what is said about the node, as JSON   metrics.rs the same for Prometheus
//! data.rs     rows, commits, explanations            inner.rs   the thin client that they go over
//! member.rs   the map, and orders to a member      guard.rs   what a browser is made to send is refused
//! guest.rs    who has a place, and who gives way
//! query.rs    what stands behind a question mark     fuzz.rs    the doors of addresses and queries
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this room is made for sockets, threads and clocks off the hot path"
)]

mod admin;
mod ask;
mod data;
pub(crate) mod fuzz;
mod guard;
mod guest;
mod http;
mod inner;
mod limits;
mod member;
mod metrics;
mod query;
mod status;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;

use crate::driver::mailbox::Post;
use crate::seam::WorkerStatus;

use ask::Workers;
use inner::Inner;
pub use limits::Limits;
pub use status::Facts;

/// The running service plane.
pub struct Service {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Service {
    /// `settled` is called once, when every shard has recovered or given up.
    pub fn start(
        admin: TcpListener,
        post: Arc<Post>,
        facts: Facts,
        limits: Limits,
        settled: impl FnOnce(Vec<WorkerStatus>) + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        admin.set_nonblocking(true)?;
        let (stop, stopping) = watch::channel(false);
        let thread = thread::Builder::new().name("seawall-service".into()).spawn(move || {
            runtime.block_on(async move {
                let workers = Workers::new(post, limits.ask);
                let inner = Inner::new(facts.listen, limits);
                let door = Arc::new(admin::Door { facts, limits, workers: workers.clone(), inner });
                tokio::spawn(watch_start(workers, settled));
                http::serve(admin, door, stopping).await;
            });
            // A call that is under way has lost its node, and ends by itself.
            runtime.shutdown_timeout(limits.drain);
        })?;
        Ok(Self { stop, thread })
    }

    /// What is under way is answered first, within a bounded time.
    pub fn stop(self) {
        self.stop.send_replace(true);
        self.thread.join().expect("the service plane does not panic");
    }
}

async fn watch_start(workers: Workers, settled: impl FnOnce(Vec<WorkerStatus>)) {
    const PAUSE: Duration = Duration::from_millis(5);
    loop {
        if let Some(all) = workers.ask_all().await.into_iter().collect::<Option<Vec<_>>>()
            && all.iter().flat_map(|w| &w.shards).all(|shard| shard.state != "recovering")
        {
            return settled(all);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
