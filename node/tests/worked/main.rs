//! Whole systems on one node: what each of them promises is checked at every index of its log, for a crash at every
//! step; and each checker is shown a bug that it must see.

mod auction;
mod cabin;
mod dispatch;
mod history;
mod issuer;
mod ledger;
mod payment;
mod saga;
#[path = "../support/mod.rs"]
mod support;
mod swipe;
mod world;

/// Fields of several kinds: `fields!["amount" => 5, "state" => "live"]`.
macro_rules! fields {
    ($($name:literal => $value:expr),* $(,)?) => { [$(($name, seawall::Value::from($value))),*] };
}
pub(crate) use fields;
