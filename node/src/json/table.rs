//! Declarations of tables as documents, both ways. A document may come from JSON or from TOML.

use std::collections::BTreeMap;

use seawall::message::declare::{Declaration, Field, Index, Kind, SumZero, Transitions};
use seawall::{Value, check_name};
use serde_json::{Map, Value as Json, json};

use super::read::{self, Object, Place, Wrong};
use super::{read_value, typed};

const MEMBERS: &[&str] = &[
    "table",
    "version",
    "strict",
    "append_only",
    "default_ttl_ms",
    "fields",
    "indexes",
    "transitions",
    "sum_zero",
];

/// What a document declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    pub table: String,
    /// `None`: the one after whatever there is.
    pub version: Option<u64>,
    pub declaration: Declaration,
}

/// The declaration that a document describes; nothing of the document is passed over.
pub fn read(document: &Json) -> Result<Declared, Wrong> {
    let place = Place::root("declaration");
    let object = Object::of(&place, document)?;
    object.knows(MEMBERS)?;
    let version = object.read_option("version", read::count)?;
    if version == Some(0) {
        return Err(place.member("version").wrong("versions begin with 1; leave it out for the next one"));
    }
    let declaration = Declaration {
        strict: object.flag("strict")?,
        append_only: object.flag("append_only")?,
        default_ttl: object.read_option("default_ttl_ms", read::ttl)?,
        fields: named(&object, "fields", read_field)?,
        indexes: named(&object, "indexes", read_index)?,
        transitions: named(&object, "transitions", read_transitions)?,
        sums: object.list("sum_zero", read_sum)?.into_iter().collect(),
    };
    Ok(Declared { table: object.name("table")?.to_owned(), version, declaration })
}

/// The members of an object, by name.
fn named<T>(
    object: &Object<'_>,
    member: &str,
    read: impl Fn(&Object<'_>) -> Result<T, Wrong>,
) -> Result<BTreeMap<String, T>, Wrong> {
    let all = |place: &Place<'_>, json: &Json| {
        let one = |(name, json): (&str, &Json)| {
            let place = place.member(name);
            check_name(name).map_err(|why| place.wrong(why.to_string()))?;
            Ok((name.to_owned(), read(&Object::of(&place, json)?)?))
        };
        Object::of(place, json)?.iter().map(one).collect()
    };
    Ok(object.read_option(member, all)?.unwrap_or_default())
}

fn read_field(field: &Object<'_>) -> Result<Field, Wrong> {
    field.knows(&["kind", "required"])?;
    let name = field.text("kind")?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let kinds = Kind::ALL.map(Kind::name).join(", ");
        field.place.member("kind").wrong(format!("{name:?} is no kind of value; there are {kinds}"))
    })?;
    Ok(Field { kind, required: field.flag("required")? })
}

fn read_index(index: &Object<'_>) -> Result<Index, Wrong> {
    index.knows(&["fields", "unique", "only"])?;
    let fields = index.list("fields", field_name)?;
    if fields.is_empty() {
        return Err(index.place.member("fields").wrong("an index has at least one field, [\"state\"]"));
    }
    let only = index.read_option("only", |place, json| {
        let only = Object::of(place, json)?;
        only.knows(&["field", "in"])?;
        Ok((only.name("field")?.to_owned(), only.list("in", read_value)?))
    })?;
    Ok(Index { fields, unique: index.flag("unique")?, only })
}

fn field_name(place: &Place<'_>, json: &Json) -> Result<String, Wrong> {
    let name = read::text(place, json)?;
    check_name(name).map_err(|why| place.wrong(format!("{name:?}: {why}")))?;
    Ok(name.to_owned())
}

fn read_transitions(states: &Object<'_>) -> Result<Transitions, Wrong> {
    states.knows(&["initial", "allowed"])?;
    let allowed = states.list("allowed", |place, json| match &read::list(place, json, &read_value)?[..] {
        [from, to] => Ok((from.clone(), to.clone())),
        _ => Err(place.wrong("a transition is a pair, [\"free\", \"held\"]")),
    })?;
    Ok(Transitions { initial: states.list("initial", read_value)?, allowed })
}

fn read_sum(place: &Place<'_>, json: &Json) -> Result<SumZero, Wrong> {
    let sum = Object::of(place, json)?;
    sum.knows(&["field", "per"])?;
    Ok(SumZero { field: sum.name("field")?.to_owned(), per: sum.read_option("per", field_name)? })
}

/// The document of a declaration. What is not promised is left out.
pub fn write(declared: &Declared) -> Json {
    let Declaration { strict, append_only, default_ttl, fields, indexes, transitions, sums } =
        &declared.declaration;
    let mut document = Map::new();
    let mut set = |name: &str, is: bool, value: Json| {
        if is {
            document.insert(name.to_owned(), value);
        }
    };
    set("table", true, json!(declared.table));
    set("version", declared.version.is_some(), json!(declared.version));
    set("strict", *strict, json!(true));
    set("append_only", *append_only, json!(true));
    set("default_ttl_ms", default_ttl.is_some(), json!(default_ttl.map(|ttl| ttl.ms())));
    set("fields", !fields.is_empty(), object(fields, write_field));
    set("indexes", !indexes.is_empty(), object(indexes, write_index));
    set("transitions", !transitions.is_empty(), object(transitions, write_transitions));
    set("sum_zero", !sums.is_empty(), sums.iter().map(write_sum).collect());
    Json::Object(document)
}

fn object<T>(map: &BTreeMap<String, T>, write: impl Fn(&T) -> Json) -> Json {
    map.iter().map(|(name, content)| (name.clone(), write(content))).collect()
}

fn write_field(field: &Field) -> Json {
    match field.required {
        true => json!({ "kind": field.kind.name(), "required": true }),
        false => json!({ "kind": field.kind.name() }),
    }
}

fn write_index(index: &Index) -> Json {
    let mut document = json!({ "fields": index.fields });
    if index.unique {
        document["unique"] = json!(true);
    }
    if let Some((field, values)) = &index.only {
        document["only"] = json!({ "field": field, "in": all(values) });
    }
    document
}

fn write_transitions(states: &Transitions) -> Json {
    let allowed: Vec<Json> =
        states.allowed.iter().map(|(from, to)| json!([typed(from), typed(to)])).collect();
    json!({ "initial": all(&states.initial), "allowed": allowed })
}

fn write_sum(sum: &SumZero) -> Json {
    match &sum.per {
        Some(per) => json!({ "field": sum.field, "per": per }),
        None => json!({ "field": sum.field }),
    }
}

fn all(values: &[Value]) -> Json {
    values.iter().map(typed).collect()
}
