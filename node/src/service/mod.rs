//! The service plane: one unpinned thread for what may be slow. Today that is the admin port.
//!
//! ```text
//! admin.rs    HTTP: health, readiness, status        ask.rs    questions to the workers, each with a deadline
//! status.rs   what is said about the node, as JSON
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this room is made for sockets, threads and clocks off the hot path"
)]

mod admin;
mod ask;
mod status;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::driver::mailbox::Post;
use crate::seam::WorkerStatus;

use ask::Workers;
pub use status::Facts;

/// The running service plane.
pub struct Service {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Service {
    /// `settled` is called once, when every shard has recovered or given up.
    pub fn start(
        admin: TcpListener,
        post: Arc<Post>,
        facts: Facts,
        settled: impl FnOnce(Vec<WorkerStatus>) + Send + 'static,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        admin.set_nonblocking(true)?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("seawall-service".into()).spawn(move || {
            runtime.block_on(async move {
                let workers = Workers::new(post);
                let door = Arc::new(admin::Door { facts, workers: workers.clone() });
                tokio::spawn(watch_start(workers, settled));
                tokio::spawn(admin::serve(admin, door));
                // An error means that the node dropped its end, which is a stop as well.
                let _either_way = stopped.await;
            });
        })?;
        Ok(Self { stop, thread })
    }

    pub fn stop(self) {
        // The thread may have ended already.
        let _either_way = self.stop.send(());
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
