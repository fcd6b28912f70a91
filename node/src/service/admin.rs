//! The admin port: plain HTTP and JSON, bounded in connections and in the patience for slow clients.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::ask::Workers;
use super::status::{self, Facts};
use crate::driver::console;
use crate::params::{ADMIN_CONNECTIONS, ADMIN_HEADER_MS};

/// What a request may look at.
pub(super) struct Door {
    pub facts: Facts,
    pub workers: Workers,
}

const PATHS: [&str; 3] = ["/healthz", "/readyz", "/v1/status"];

pub(super) async fn serve(listener: TcpListener, door: Arc<Door>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => return console::complain(format_args!("the admin port cannot be served: {e}")),
    };
    let places = Arc::new(Semaphore::new(ADMIN_CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let door = door.clone();
                tokio::spawn(async move {
                    connection(stream, door).await;
                    drop(place);
                });
            }
            // Out of descriptors, say: it does not go away by asking again at once.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn connection(stream: TcpStream, door: Arc<Door>) {
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(answer(&request, &door).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_millis(ADMIN_HEADER_MS));
    http.max_buf_size(16 << 10);
    // A client that breaks off or sends nonsense got its answer from hyper, or is gone.
    let _client_is_gone = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: &Request<Incoming>, door: &Door) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if PATHS.contains(&path) && request.method() != Method::GET {
        let mut response = json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "use GET" }));
        response.headers_mut().insert(ALLOW, "GET".parse().expect("a plain word"));
        return response;
    }
    match path {
        "/healthz" => json_response(StatusCode::OK, &json!({ "alive": true })),
        "/readyz" => {
            let workers = door.workers.ask_all().await;
            let ready = status::ready(&door.facts, &workers);
            let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            json_response(code, &status::readiness(&door.facts, &workers))
        }
        "/v1/status" => {
            let workers = door.workers.ask_all().await;
            json_response(StatusCode::OK, &status::full(&door.facts, &workers))
        }
        _ => json_response(
            StatusCode::NOT_FOUND,
            &json!({ "error": format!("there is nothing at {path}"), "paths": PATHS }),
        ),
    }
}

fn json_response(code: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{body:#}\n")));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a plain word"));
    response
}
