//! HTTP connections, bounded in number, in bytes and in time: strangers knock here.

use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Limits;
use super::admin::{Door, answer};
use super::guest::{Guest, House};
use crate::driver::console;

/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;

/// Serves until `stopping` says so; then what is under way ends, within a bounded time.
pub(super) async fn serve(listener: TcpListener, door: Arc<Door>, stopping: watch::Receiver<bool>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return console::complain(format_args!("the admin port cannot be served: {e}")),
    };
    let limits = door.limits;
    let mut house = House::new(limits.connections);
    let mut stop = stopping.clone();
    loop {
        let accepted = tokio::select! {
            accepted = house.next(&listener) => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, guest, place)) => {
                let (door, stopping) = (door.clone(), stopping.clone());
                tokio::spawn(async move {
                    connection(stream, door, guest, stopping).await;
                    drop(place);
                });
            }
            // Out of descriptors, say: it does not go away by asking again at once.
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    drop(listener);
    // Who is not done by then is cut off.
    let _done_or_late = timeout(limits.drain, house.left_by_all()).await;
}

/// One connection until its client leaves, its time is over or the node stops. A request that is under way then is
/// still answered.
async fn connection(
    stream: TcpStream,
    door: Arc<Door>,
    guest: Arc<Guest>,
    mut stopping: watch::Receiver<bool>,
) {
    let Limits { head, request, connection, .. } = door.limits;
    let asking = guest.clone();
    let service = service_fn(move |request| {
        let (door, guest) = (door.clone(), asking.clone());
        async move {
            guest.asked();
            let answer = answer(request, &door).await;
            guest.answered();
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(HEAD_BYTES);
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
    // A client that breaks off or sends nonsense got its answer from hyper, or is gone.
    tokio::select! {
        _client_is_gone = served.as_mut() => return,
        () = guest.gives_way() => return,
        () = sleep(connection) => {}
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    served.as_mut().graceful_shutdown();
    let _answered_or_late = timeout(request, served).await;
}
