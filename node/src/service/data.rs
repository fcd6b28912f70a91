//! Rows, commits and explanations by HTTP, with the codes and the reasons that every client gets.

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Request, StatusCode};
use seawall::address::RowPath;
use seawall::client::{About, Error, Report, SentKey};
use seawall::map::ShardId;
use seawall::message::Consistency;
use seawall::refusal::{Code, Refusal};
use seawall::{Key, Outcome, Token, Value};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use super::admin::{Answer, Door, json_response};
use super::query;
use crate::json;

/// A request that was refused before it went to the node's own port, or by the node.
type Refused = Box<Refusal>;

/// `POST /v1/commit`.
pub(super) async fn commit(request: Request<Incoming>, door: &Door) -> Answer {
    let commit = match body(request, door).await.and_then(|body| read_commit(&body)) {
        Ok(commit) => commit,
        Err(refusal) => return refused(&refusal),
    };
    match door.inner.call(move |client| client.commit(&commit)).await {
        Ok(outcome) => json_response(status_of_outcome(&outcome), &json::answer::outcome(&outcome)),
        Err(error) => failed(&error),
    }
}

/// `GET /v1/rows/TABLE/PARTITION/ROW`.
pub(super) async fn row(request: Request<Incoming>, path: &str, door: &Door) -> Answer {
    let (path, consistency) = match read_row(path, request.uri().query()) {
        Ok(read) => read,
        Err(refusal) => return refused(&refusal),
    };
    match door.inner.call(move |client| client.get_with(&path.partition, &path.row, consistency)).await {
        Ok(got) => {
            let code = if got.row.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
            json_response(code, &json::answer::got(&got))
        }
        Err(error) => failed(&error),
    }
}

/// `GET /v1/explain?shard=N`; without a shard, the node.
pub(super) async fn explain(request: Request<Incoming>, door: &Door) -> Answer {
    match read_explain(request.uri().query()) {
        Ok(about) => report(door.inner.call(move |client| client.explain(about)).await),
        Err(refusal) => refused(&refusal),
    }
}

/// `GET /v1/trace?partition=P&key=K`.
pub(super) async fn trace(request: Request<Incoming>, door: &Door) -> Answer {
    let (partition, key, first_sent_us) = match read_trace(request.uri().query()) {
        Ok(read) => read,
        Err(refusal) => return refused(&refusal),
    };
    let traced = door.inner.call(move |client| {
        let now = client.node().map_or(0, |node| node.server_time_us);
        client.trace(partition, &SentKey::caller(key, first_sent_us.unwrap_or(now)))
    });
    report(traced.await)
}

/// All of the body, within its bounds.
async fn body(request: Request<Incoming>, door: &Door) -> Result<Vec<u8>, Refused> {
    let limit = door.limits.body_bytes;
    let announced = request.body().size_hint().lower();
    if announced > limit as u64 {
        return Err(Box::new(Refusal::too_large("http.body", limit, announced)));
    }
    let read = timeout(door.limits.request, Limited::new(request.into_body(), limit).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            Err(Box::new(Refusal::too_large("http.body", limit, limit as u64 + 1)))
        }
        Ok(Err(e)) => Err(wrong("http.body", "a whole body", e.to_string())),
        Err(_) => {
            let ms = door.limits.request.as_millis();
            Err(wrong("http.body", &format!("a whole body within {ms} ms"), "a part of it".into()))
        }
    }
}

fn read_commit(body: &[u8]) -> Result<seawall::Commit, Refused> {
    let document: Json =
        json::parse::parse(body).map_err(|e| wrong("http.json", "one JSON document", e.to_string()))?;
    json::commit::read(&document).map_err(|e| match e.over() {
        Some((limit, len)) => {
            let mut refusal = Refusal::too_large("http.commit", limit, len as u64);
            refusal.reason.observed = e.to_string().into();
            Box::new(refusal)
        }
        None => wrong("http.commit", "a commit as docs/json.md describes it", e.to_string()),
    })
}

pub(super) fn read_row(path: &str, query: Option<&str>) -> Result<(RowPath, Consistency), Refused> {
    let path =
        path.parse().map_err(|why| wrong("http.path", "/v1/rows/TABLE/PARTITION/ROW", format!("{why}")))?;
    let [token, staleness] = query::read(query, ["token", "max_staleness_ms"])
        .map_err(|why| wrong("query", "?token=… or ?max_staleness_ms=…", why))?;
    let consistency = match (token, staleness) {
        (None, None) => Consistency::Linearizable,
        (Some(text), None) => {
            let token: Token =
                text.parse().map_err(|_| wrong("query.token", "a token of an earlier answer", text))?;
            Consistency::Session { token, max_wait_ms: SESSION_WAIT_MS }
        }
        (None, Some(text)) => {
            let ms = text.parse().map_err(|_| wrong("query.max_staleness_ms", "milliseconds", text))?;
            Consistency::MaxStaleness { ms }
        }
        (Some(_), Some(_)) => return Err(wrong("query", "a token or a staleness", "both".into())),
    };
    Ok((path, consistency))
}

pub(super) fn read_explain(query: Option<&str>) -> Result<About, Refused> {
    let [shard] = query::read(query, ["shard"]).map_err(|why| wrong("query", "?shard=1", why))?;
    let Some(text) = shard else { return Ok(About::Node) };
    text.parse().map(|shard| About::Shard(ShardId(shard))).map_err(|_| wrong("query.shard", "a number", text))
}

/// How long a read may wait for what its token names.
const SESSION_WAIT_MS: u32 = 1000;

pub(super) fn read_trace(query: Option<&str>) -> Result<(Key, Vec<u8>, Option<i64>), Refused> {
    const FORM: &str = "?partition=PARTITION&key=KEY, and perhaps &first_sent=TIME";
    let [partition, key, first_sent] =
        query::read(query, ["partition", "key", "first_sent"]).map_err(|why| wrong("query", FORM, why))?;
    let (Some(partition), Some(key)) = (partition, key) else {
        return Err(wrong("query", FORM, "a part of it".into()));
    };
    let partition = partition.parse().map_err(|why| wrong("query.partition", "a key", format!("{why}")))?;
    let key = query::decode(&key).filter(|key| (1..=64).contains(&key.len()));
    let key =
        key.ok_or_else(|| wrong("query.key", "1 to 64 bytes, percent-encoded", "something else".into()))?;
    let time = |text: String| match query::decode(&text).and_then(|text| String::from_utf8(text).ok()) {
        Some(plain) => match Value::parse(Some("time"), &plain) {
            Ok(Value::Time(us)) => Ok(us),
            _ => Err(wrong("query.first_sent", "a time such as 2026-07-14T18:30:00Z", plain)),
        },
        None => Err(wrong("query.first_sent", "a time, percent-encoded", text)),
    };
    Ok((partition, key, first_sent.map(time).transpose()?))
}

fn wrong(rule: &'static str, expected: &str, observed: String) -> Refused {
    let mut refusal = Refusal::bad_frame(rule, expected.to_owned(), observed);
    refusal.reason.hint = "repair the request: docs/http.md has the form of each".into();
    Box::new(refusal)
}

fn report(result: seawall::Result<Report>) -> Answer {
    match result {
        Ok(Report { complete, facts }) => {
            let facts: Vec<Json> = facts
                .into_iter()
                .map(|fact| match fact.value {
                    Ok(value) => json!({ "name": fact.name, "value": value }),
                    Err(why) => json!({ "name": fact.name, "unknown": why }),
                })
                .collect();
            json_response(StatusCode::OK, &json!({ "complete": complete, "facts": facts }))
        }
        Err(error) => failed(&error),
    }
}

/// Nothing was done, and why.
fn failed(error: &Error) -> Answer {
    let code = match error {
        Error::Refused(refusal) => return refused(refusal),
        Error::Unreachable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::NoAnswer { .. } => StatusCode::GATEWAY_TIMEOUT,
        Error::Broken { .. } | Error::Protocol(_) => StatusCode::BAD_GATEWAY,
    };
    json_response(code, &json!({ "outcome": "none", "error": error.to_string() }))
}

fn refused(refusal: &Refusal) -> Answer {
    let said = json!({ "outcome": refusal.outcome.to_string(), "refusal": json::answer::refusal(refusal) });
    let mut answer = json_response(status_of(refusal.code), &said);
    if refusal.retry_after_ms > 0 {
        let seconds = refusal.retry_after_ms.div_ceil(1000);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

fn status_of_outcome(outcome: &Outcome) -> StatusCode {
    match outcome {
        Outcome::Committed(_) => StatusCode::OK,
        Outcome::Rejected(_) => StatusCode::CONFLICT,
        Outcome::Unknown(doubt) if doubt.is_beyond_settling() => StatusCode::CONFLICT,
        Outcome::Unknown(_) => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// What HTTP calls it. The code in the body says more.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::CrossPartition => StatusCode::BAD_REQUEST,
        // A token of another history: it stays so, whoever is asked and however often.
        Code::LineageMismatch | Code::TokenLostHistory => StatusCode::CONFLICT,
        Code::Throttled | Code::Quota => StatusCode::TOO_MANY_REQUESTS,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        other => match other as u16 / 100 {
            2 => StatusCode::CONFLICT,
            7 => StatusCode::FORBIDDEN,
            9 => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        },
    }
}

#[cfg(test)]
mod tests {
    use seawall::client::{Doubt, Unknown};

    use super::*;

    /// RESOLVE ends with EXPIRED: it is no way out, and neither is waiting.
    #[test]
    fn an_expired_key_is_neither_sent_again_nor_resolved() {
        let partition = Key::from("p");
        let key = Some(SentKey::caller("k", 5));
        let expired = Refusal::key_expired(10, 5);
        let doubt = |why| Outcome::Unknown(Unknown { partition: partition.clone(), key: key.clone(), why });
        let outcome = doubt(Doubt::Refusal(expired));
        assert_eq!(status_of_outcome(&outcome), StatusCode::CONFLICT);
        let said = json::answer::outcome(&outcome);
        assert_eq!((&said["outcome"], &said["resolve"]), (&"unknown".into(), &Json::Null), "{said}");
        assert!(!said.to_string().contains("RESOLVE"), "{said}");
        let lost = doubt(Doubt::Connection("reset".to_owned()));
        assert_eq!(status_of_outcome(&lost), StatusCode::GATEWAY_TIMEOUT);
        assert!(json::answer::outcome(&lost)["resolve"].is_object());
    }

    #[test]
    fn every_code_has_a_status_that_blames_whom_it_should() {
        for code in Code::ALL {
            let status = status_of(*code);
            let mine = matches!(*code as u16 / 100, 2 | 6 | 7 | 9) && *code != Code::DeadlineBeforeAppend;
            let mine = mine || matches!(code, Code::LineageMismatch | Code::TokenLostHistory);
            assert_eq!(status.is_client_error(), mine, "{code}: {status}");
            assert!(mine || status == StatusCode::SERVICE_UNAVAILABLE, "{code}: {status}");
        }
        assert_eq!(status_of(Code::Throttled), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(status_of(Code::KeyReused), StatusCode::CONFLICT);
    }
}
