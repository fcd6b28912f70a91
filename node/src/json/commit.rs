//! Commits as JSON, both ways: `seawall commit -f`, and whoever else takes commits as documents.
//!
//! Writing goes over every check and operation that there is, so a new one cannot be forgotten here; what is written
//! is read back as the same commit.

use seawall::limits::REQUEST_KEY_MAX;
use seawall::message::check::{Check, Compare};
use seawall::message::commit::decode_commit;
use seawall::message::condition::{Condition, Edge, Edges, FieldRef, Side};
use seawall::message::op::Op;
use seawall::message::request_key::KeyName;
use seawall::message::term::{Bound, FieldAt, RowAt, Term};
use seawall::row::Row;
use seawall::value::{Value, ValueRef};
use seawall::{Commit, Refusal, key, now};
use serde_json::{Map, Value as Json, json};

use super::read::{self, Object, Place, Wrong};
use super::{read_bytes, read_value, text_or_bytes, typed};

const MEMBERS: &[&str] =
    &["partition", "key", "first_sent", "durable_on", "return_rows", "checks", "operations"];
const CHECKS: &str = "exists, absent, compare, state_in, lease_held";
const OPERATIONS: &str = "put, merge, delete, add, max, min, set_add, set_remove, append, lease_acquire, \
                          lease_renew, lease_release, event";

/// The commit that a document describes; nothing of the document is passed over.
pub fn read(document: &Json) -> Result<Commit, Wrong> {
    let place = Place::root("commit");
    let object = Object::of(&place, document)?;
    object.knows(MEMBERS)?;
    let mut commit = Commit::new(object.read("partition", read::key)?);
    if let Some(key) = object.read_option("key", read_request_key)? {
        commit = commit.key(key);
    }
    if let Some(us) = object.read_option("first_sent", time)? {
        if object.get("key").is_none() {
            return Err(place.member("first_sent").wrong("stands beside a key alone; add \"key\": \"…\""));
        }
        commit = commit.first_sent(us);
    }
    if let Some(members) = object.read_option("durable_on", read::count)? {
        let members = u8::try_from(members)
            .map_err(|_| place.member("durable_on").wrong("expected at most 255 members"))?;
        commit = commit.durable_on(members);
    }
    if object.flag("return_rows")? {
        commit = commit.returning_rows();
    }
    commit = object.list("checks", read_check)?.into_iter().fold(commit, Commit::check);
    let operations = place.member("operations");
    match object.need("operations")? {
        Json::Array(items) if !items.is_empty() => {
            items.iter().enumerate().try_fold(commit, |commit, (nth, json)| {
                read_operation(commit, &Object::of(&operations.item(nth), json)?)
            })
        }
        _ => Err(operations.wrong("expected a list of at least one operation, [{\"op\": \"put\", …}]")),
    }
}

fn read_request_key(place: &Place<'_>, json: &Json) -> Result<Vec<u8>, Wrong> {
    match read_bytes(place, json)? {
        key if key.is_empty() => {
            Err(place.wrong("a key has 1 to 64 bytes: name the commit, or leave the key out"))
        }
        key if key.len() > REQUEST_KEY_MAX => Err(place.too_long(REQUEST_KEY_MAX, key.len())),
        key => Ok(key),
    }
}

/// Microseconds, or RFC 3339 in UTC.
fn time(place: &Place<'_>, json: &Json) -> Result<i64, Wrong> {
    if let Some(us) = json.as_i64() {
        return Ok(us);
    }
    match Value::parse(Some("time"), read::text(place, json)?) {
        Ok(Value::Time(us)) => Ok(us),
        _ => Err(place.wrong(format!("{json} is no time: write \"2026-07-14T18:30:00Z\""))),
    }
}

fn read_check(place: &Place<'_>, json: &Json) -> Result<Condition, Wrong> {
    let check = Object::of(place, json)?;
    let row = || check.read("row", read::row_ref);
    Ok(match check.text("check")? {
        "exists" => {
            check.knows(&["check", "row"])?;
            row()?.exists()
        }
        "absent" => {
            check.knows(&["check", "row"])?;
            row()?.absent()
        }
        "compare" => {
            check.knows(&["check", "left", "is", "right"])?;
            let sign = check.text("is")?;
            let compare = compare_of(sign).ok_or_else(|| {
                place.member("is").wrong(format!("{sign:?} is no comparison: write =, !=, <, <=, > or >="))
            })?;
            condition(check.read("left", read_side)?, compare, check.read("right", read_side)?)
        }
        "state_in" => {
            check.knows(&["check", "row", "field", "values"])?;
            row()?.field(check.name("field")?).is_in(check.list("values", read_value)?)
        }
        "lease_held" => {
            check.knows(&["check", "row", "token"])?;
            row()?.lease_held(check.read("token", read::position)?)
        }
        other => return Err(place.wrong(format!("{other:?} is no check; there are {CHECKS}"))),
    })
}

/// The comparison of a sign.
pub fn compare_of(sign: &str) -> Option<Compare> {
    Compare::ALL.into_iter().find(|compare| compare.sign() == sign)
}

/// `left compare right`.
pub fn condition(left: Side, compare: Compare, right: Side) -> Condition {
    match compare {
        Compare::Eq => left.eq(right),
        Compare::Ne => left.ne(right),
        Compare::Lt => left.lt(right),
        Compare::Le => left.le(right),
        Compare::Gt => left.gt(right),
        Compare::Ge => left.ge(right),
    }
}

/// A value, a field, a version, a position, or now.
fn read_side(place: &Place<'_>, json: &Json) -> Result<Side, Wrong> {
    let Json::Object(members) = json else { return read_value(place, json).map(Side::from) };
    let object = Object::of(place, json)?;
    if members.contains_key("row") {
        return read_field(place, json).map(Side::from);
    }
    match object.only() {
        Some(("version", row)) => Ok(read::row_ref(&place.member("version"), row)?.version()),
        Some(("position", position)) => read::position(&place.member("position"), position).map(Side::from),
        Some(("now", Json::Bool(true))) => Ok(now()),
        _ => read_value(place, json).map(Side::from),
    }
}

fn read_field(place: &Place<'_>, json: &Json) -> Result<FieldRef, Wrong> {
    let object = Object::of(place, json)?;
    object.knows(&["row", "field"])?;
    Ok(object.read("row", read::row_ref)?.field(object.name("field")?))
}

fn read_edge(place: &Place<'_>, json: &Json) -> Result<Edge, Wrong> {
    match json {
        Json::Object(members) if members.contains_key("row") => read_field(place, json).map(Edge::from),
        _ => read_value(place, json).map(Edge::from),
    }
}

/// The fields of a row.
pub fn read_fields(place: &Place<'_>, json: &Json) -> Result<Row, Wrong> {
    let object = Object::of(place, json)?;
    object
        .iter()
        .map(|(name, value)| {
            let place = place.member(name);
            seawall::check_name(name).map_err(|why| place.wrong(why.to_string()))?;
            Ok((name.to_owned(), read_value(&place, value)?))
        })
        .collect()
}

fn read_operation(commit: Commit, op: &Object<'_>) -> Result<Commit, Wrong> {
    let name = op.text("op")?;
    let row = || op.read("row", read::row_ref);
    let fields = || op.read("fields", read_fields);
    let ttl = || op.read("ttl_ms", read::ttl);
    let token = || op.read("token", read::position);
    Ok(match name {
        "put" => {
            op.knows(&["op", "row", "fields", "ttl_ms"])?;
            match op.read_option("ttl_ms", read::ttl)? {
                Some(ttl) => commit.put_for(&row()?, fields()?, ttl),
                None => commit.put(&row()?, fields()?),
            }
        }
        "merge" => {
            op.knows(&["op", "row", "fields"])?;
            let (row, fields) = (row()?, fields()?);
            if fields.is_empty() {
                return Err(op
                    .place
                    .wrong("merge sets at least one field: \"fields\": {\"state\": \"held\"}"));
            }
            commit.merge(&row, fields)
        }
        "delete" => {
            op.knows(&["op", "row"])?;
            commit.delete(&row()?)
        }
        "add" => {
            op.knows(&["op", "row", "field", "delta", "min", "max"])?;
            let (min, max) = (op.read_option("min", read_edge)?, op.read_option("max", read_edge)?);
            commit.add(&row()?, op.name("field")?, op.read("delta", read_value)?, within(min, max))
        }
        "max" | "min" => {
            op.knows(&["op", "row", "field", "value"])?;
            let (row, field, value) = (row()?, op.name("field")?, op.read("value", read_value)?);
            if name == "max" { commit.max(&row, field, value) } else { commit.min(&row, field, value) }
        }
        "set_add" | "set_remove" => {
            op.knows(&["op", "row", "field", "members"])?;
            let (row, field, members) = (row()?, op.name("field")?, op.list("members", read_bytes)?);
            match name {
                "set_add" => commit.set_add(&row, field, members),
                _ => commit.set_remove(&row, field, members),
            }
        }
        "append" => {
            op.knows(&["op", "stream", "fields"])?;
            commit.append(&op.read("stream", read::row_ref)?, fields()?)
        }
        "lease_acquire" => {
            op.knows(&["op", "row", "ttl_ms"])?;
            commit.lease_acquire(&row()?, ttl()?)
        }
        "lease_renew" => {
            op.knows(&["op", "row", "token", "ttl_ms"])?;
            commit.lease_renew(&row()?, token()?, ttl()?)
        }
        "lease_release" => {
            op.knows(&["op", "row", "token"])?;
            commit.lease_release(&row()?, token()?)
        }
        "event" => {
            op.knows(&["op", "topic", "payload"])?;
            commit.event(op.name("topic")?, op.read("payload", read_bytes)?)
        }
        other => return Err(op.place.wrong(format!("{other:?} is no operation; there are {OPERATIONS}"))),
    })
}

/// Between a floor and a ceiling, either of which may be missing.
pub fn within(min: Option<Edge>, max: Option<Edge>) -> Edges {
    match (min, max) {
        (None, None) => (..).into(),
        (Some(min), None) => (min..).into(),
        (None, Some(max)) => (..=max).into(),
        (Some(min), Some(max)) => (min, max).into(),
    }
}

/// The document of a commit; one that no node would read is refused. A session's key belongs to one client and is not
/// written.
pub fn write(commit: &Commit) -> Result<Json, Refusal> {
    let mut payload = Vec::new();
    commit.encode(&mut payload);
    let request = decode_commit(&payload)?;
    let mut document = Map::new();
    document.insert("partition".into(), json!(key::display(request.partition).to_string()));
    if let Some((KeyName::Caller(name), born)) = request.request_key.map(|key| (key.name, key.first_sent_us))
    {
        document.insert("key".into(), text_or_bytes(name));
        if !commit.lacks_first_sent() {
            document.insert("first_sent".into(), json!(Value::Time(born).to_string()));
        }
    }
    if request.min_durability != 0 {
        document.insert("durable_on".into(), json!(request.min_durability));
    }
    if request.return_rows {
        document.insert("return_rows".into(), json!(true));
    }
    if !request.checks.is_empty() {
        document.insert("checks".into(), request.checks.iter().map(|check| write_check(&check)).collect());
    }
    document.insert("operations".into(), request.ops.iter().map(|op| write_operation(&op)).collect());
    Ok(Json::Object(document))
}

fn write_check(check: &Check<'_>) -> Json {
    let name = check.name().to_lowercase();
    match check {
        Check::Exists(row) | Check::Absent(row) => json!({ "check": name, "row": at(*row) }),
        Check::Compare { op, left, right } => {
            json!({ "check": name, "left": side(left), "is": op.sign(), "right": side(right) })
        }
        Check::StateIn { field, states } => {
            let values: Vec<Json> = states.iter().map(literal).collect();
            json!({ "check": name, "row": at(field.row), "field": field.name, "values": values })
        }
        Check::LeaseHeld { row, token } => {
            json!({ "check": name, "row": at(*row), "token": token.to_string() })
        }
    }
}

fn write_operation(op: &Op<'_>) -> Json {
    let mut document = Map::new();
    let mut set = |name: &str, value: Json| document.insert(name.to_owned(), value);
    set("op", json!(op.name().to_lowercase()));
    if let Some((row, _)) = op.touches() {
        set("row", json!(at(row)));
    }
    match op {
        Op::Put { row, ttl, .. } => {
            set("fields", fields(row));
            if let Some(ttl) = ttl {
                set("ttl_ms", json!(ttl.ms()));
            }
        }
        Op::Merge { fields: row, .. } => {
            set("fields", fields(row));
        }
        Op::Delete { .. } => {}
        Op::Add { field, delta, floor, ceiling, .. } => {
            set("field", json!(field));
            set("delta", literal(*delta));
            for (name, bound) in [("min", floor), ("max", ceiling)] {
                if let Some(bound) = bound {
                    set(name, edge(bound));
                }
            }
        }
        Op::Max { field, value, .. } | Op::Min { field, value, .. } => {
            set("field", json!(field));
            set("value", literal(*value));
        }
        Op::SetAdd { field, members, .. } | Op::SetRemove { field, members, .. } => {
            set("field", json!(field));
            set("members", members.map(text_or_bytes).collect());
        }
        Op::Append { stream, row } => {
            set("stream", json!(at(*stream)));
            set("fields", fields(row));
        }
        Op::LeaseAcquire { ttl, .. } => {
            set("ttl_ms", json!(ttl.ms()));
        }
        Op::LeaseRenew { token, ttl, .. } => {
            set("token", json!(token.to_string()));
            set("ttl_ms", json!(ttl.ms()));
        }
        Op::LeaseRelease { token, .. } => {
            set("token", json!(token.to_string()));
        }
        Op::Event { topic, payload } => {
            set("topic", json!(topic));
            set("payload", text_or_bytes(payload));
        }
    }
    Json::Object(document)
}

fn at(row: RowAt<'_>) -> String {
    format!("{}/{}", row.table, key::display(row.key))
}

fn field(field: FieldAt<'_>) -> Json {
    json!({ "row": at(field.row), "field": field.name })
}

fn literal(value: ValueRef<'_>) -> Json {
    typed(&value.to_value())
}

fn fields(row: &[u8]) -> Json {
    let row = Row::decode(row).expect("the row of a commit that was checked");
    row.iter().map(|(name, value)| (name.to_owned(), typed(value))).collect()
}

fn side(term: &Term<'_>) -> Json {
    match term {
        Term::Literal(value) => literal(*value),
        Term::Field(at) => field(*at),
        Term::Version(row) => json!({ "version": at(*row) }),
        Term::Position(position) => json!({ "position": position.to_string() }),
        Term::Now => json!({ "now": true }),
    }
}

fn edge(bound: &Bound<'_>) -> Json {
    match bound {
        Bound::Literal(value) => literal(*value),
        Bound::Field(at) => field(*at),
    }
}
