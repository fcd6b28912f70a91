//! Rows and commits by HTTP go the way of every other request: over the thin client to the node's own port. So the
//! core knows nothing of HTTP, and the answers are the same.
//!
//! The client blocks, so each call has a thread of its own while it lasts. Calls are bounded in number and in time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use seawall::Client;
use seawall::client::{Error, Options, Result};
use seawall::refusal::Refusal;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Limits;
use crate::params::RETRY_QUEUE_MS;

pub(super) struct Inner {
    address: String,
    limits: Limits,
    places: Arc<Semaphore>,
    /// Clients that nobody uses right now; at most one for each place.
    idle: Arc<Mutex<Vec<Client>>>,
}

impl Inner {
    pub(super) fn new(listen: SocketAddr, limits: Limits) -> Self {
        let address = from_here(listen).to_string();
        let places = Arc::new(Semaphore::new(limits.calls));
        Self { address, limits, places, idle: Arc::default() }
    }

    /// Calls within the time of a request. A call that nobody waits for any more still ends by itself.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Client) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Limits { calls, request, .. } = self.limits;
        let place = match timeout(request, self.places.clone().acquire_owned()).await {
            Ok(place) => place.expect("the semaphore is never closed"),
            Err(_) => {
                let refusal = Refusal::throttled("the list of calls by HTTP", calls, RETRY_QUEUE_MS);
                return Err(Error::Refused(Box::new(refusal)));
            }
        };
        let options = Options {
            deadline: request,
            client_name: concat!("seawall-http/", env!("CARGO_PKG_VERSION")).to_owned(),
            ..Options::default()
        };
        let (address, idle) = (self.address.clone(), self.idle.clone());
        let thread = tokio::task::spawn_blocking(move || {
            let _place = place;
            let mut client = match lock(&idle).pop() {
                Some(client) => client,
                None => Client::connect_with(address, options)?,
            };
            let result = call(&mut client);
            lock(&idle).push(client);
            result
        });
        thread.await.expect("a call does not panic")
    }
}

fn lock(idle: &Mutex<Vec<Client>>) -> std::sync::MutexGuard<'_, Vec<Client>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where this machine reaches what listens there.
fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
