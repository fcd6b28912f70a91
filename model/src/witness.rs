//! The properties: what holds in every state, and what must be reached or a check would show nothing.

use stateright::Property;

use crate::log::Kind;
use crate::protocol::Protocol;
use crate::state::{Leader, MEMBERS, Member, Role, State};

pub const I1: &str = "I1";
pub const I2: &str = "I2";
pub const I6: &str = "I6";
pub const NONE_MEANS_NONE: &str = "none means none";
pub const TOKENS: &str = "R21";
pub const NOBODY_HALTS: &str = "nobody halts";

pub(crate) fn properties() -> Vec<Property<Protocol>> {
    vec![
        Property::always(I1, Protocol::keeps_acknowledged),
        Property::always(I2, Protocol::reads_are_fresh),
        Property::always(I6, Protocol::one_epoch_commits),
        Property::always(NONE_MEANS_NONE, Protocol::none_means_none),
        Property::always(TOKENS, Protocol::tokens_are_judged_rightly),
        Property::always(NOBODY_HALTS, Protocol::nobody_halts),
    ]
}

/// A leader of an epoch that serves.
fn serving(state: &State) -> impl Iterator<Item = (Member, &Leader)> {
    let leaders = (0..MEMBERS).filter_map(|member| Some((member, state.leader(member)?)));
    leaders.filter(|(_, leader)| leader.committed >= leader.start)
}
