//! The admin port: which question is answered where, and how answers look.

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::ask::Workers;
use super::inner::Inner;
use super::status::{self, Facts};
use super::{Limits, data, guard, member, metrics};
use crate::driver::console;

/// What a request may look at.
pub(super) struct Door {
    pub facts: Facts,
    pub limits: Limits,
    pub workers: Workers,
    pub inner: Inner,
}

/// What is served, and by which method.
const ROUTES: &[(&str, Method)] = &[
    ("/healthz", Method::GET),
    ("/readyz", Method::GET),
    ("/metrics", Method::GET),
    ("/v1/status", Method::GET),
    ("/v1/explain", Method::GET),
    ("/v1/trace", Method::GET),
    ("/v1/commit", Method::POST),
    ("/v1/clock/accept", Method::POST),
    ("/v1/map", Method::GET),
    ("/v1/order", Method::POST),
    ("/v1/audit", Method::GET),
    (ROWS, Method::GET),
];

/// What stands behind it is the row.
const ROWS: &str = "/v1/rows/";

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) async fn answer(request: Request<Incoming>, door: &Door) -> Answer {
    if let Some(why) = guard::refusal(&request, door.facts.admin) {
        return json_response(StatusCode::FORBIDDEN, &json!({ "error": why }));
    }
    let path = request.uri().path().to_owned();
    let is_at = |route: &str| route == path || (route == ROWS && path.starts_with(ROWS));
    let Some((route, method)) = ROUTES.iter().find(|(route, _)| is_at(route)) else {
        return nothing_at(&path);
    };
    // HEAD is GET, and hyper leaves the body out.
    let asks = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    if asks != method {
        let said = json!({ "error": format!("{route} takes {method} and not {}", request.method()) });
        let mut response = json_response(StatusCode::METHOD_NOT_ALLOWED, &said);
        let allowed = if method == Method::GET { "GET, HEAD" } else { "POST" };
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        return response;
    }
    match *route {
        "/healthz" => json_response(StatusCode::OK, &json!({ "alive": true })),
        "/metrics" => {
            let text = metrics::text(&door.facts, door.workers.ask_all().await);
            response(StatusCode::OK, metrics::CONTENT_TYPE, text)
        }
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
        "/v1/explain" => data::explain(request, door).await,
        "/v1/trace" => data::trace(request, door).await,
        "/v1/commit" => data::commit(request, door).await,
        "/v1/clock/accept" => accept_clock(door).await,
        "/v1/map" => member::map(door),
        "/v1/audit" => audit(door),
        "/v1/order" => member::order(&request, door).await,
        _ => data::row(request, path.strip_prefix(ROWS).unwrap_or_default(), door).await,
    }
}

/// Who ended halts and had logs put aside. A line that a crash cut short is given as it is.
fn audit(door: &Door) -> Answer {
    let read = match std::fs::read_to_string(&door.facts.audit) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    };
    match read {
        Ok(text) => {
            let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| Value::from(line));
            json_response(StatusCode::OK, &json!({ "lines": text.lines().map(line).collect::<Vec<_>>() }))
        }
        Err(e) => {
            let why = format!("{}: {e}", door.facts.audit.display());
            json_response(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": why }))
        }
    }
}

/// It is said on the console, too: whoever reads there later wonders why times jumped.
async fn accept_clock(door: &Door) -> Answer {
    let shards: Vec<u32> = door.workers.accept_clock().await.into_iter().map(|shard| shard.0).collect();
    console::complain(format_args!("an operator accepted the wall clock as it is, for shards {shards:?}"));
    json_response(StatusCode::OK, &json!({ "accepted_by_shards": shards }))
}

fn nothing_at(path: &str) -> Answer {
    let paths: Vec<String> = ROUTES.iter().map(|(route, method)| format!("{method} {route}")).collect();
    let said = json!({ "error": format!("there is nothing at {path}"), "paths": paths });
    json_response(StatusCode::NOT_FOUND, &said)
}

pub(super) fn json_response(code: StatusCode, body: &Value) -> Answer {
    response(code, "application/json", format!("{body:#}\n"))
}

pub(super) fn response(code: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
