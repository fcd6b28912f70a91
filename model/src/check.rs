//! The two questions: does everything hold with all rules, and which execution does a rule prevent.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::cases::Case;
use crate::describe;
use crate::protocol::Protocol;
use crate::witness;

/// A walk through every state of a scope.
#[derive(Debug)]
pub struct Walk {
    pub states: usize,
    pub depth: usize,
    /// The first property that does not hold, with its execution.
    pub broken: Option<Execution>,
    /// What should have been met and was not.
    pub unmet: Vec<&'static str>,
}

#[derive(Debug, Clone)]
pub struct Execution {
    pub steps: Vec<String>,
    /// Every property that the last state breaks.
    pub broken: Vec<&'static str>,
    pub verdict: Vec<String>,
    pub states: usize,
}

/// All states within the scope, breadth first, so that an execution that is found is a shortest one.
pub fn walk(protocol: Protocol) -> Walk {
    let checker = protocol.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries();
    let met = |name: &str| found.contains_key(name);
    let names = protocol.properties().into_iter().map(|it| it.name);
    let unmet = names.filter(|name| name.starts_with("met") && !met(name)).collect();
    let broken = found.into_iter().filter(|(name, _)| !name.starts_with("met"));
    let broken =
        broken.map(|(_, path)| execution(&protocol, path.into_vec(), checker.unique_state_count())).next();
    Walk { states: checker.unique_state_count(), depth: checker.max_depth(), broken, unmet }
}

/// The shortest execution that breaks what the case says, if there is one.
pub fn counterexample(case: &Case) -> Option<Execution> {
    let whole = Protocol::new(case.scope).without(case.clause);
    let protocol = case.also.iter().fold(whole, |protocol, clause| protocol.without(*clause));
    let wanted = HasDiscoveries::AnyOf(BTreeSet::from([case.breaks]));
    let checker = protocol.checker().finish_when(wanted).spawn_bfs().join();
    let path = checker.discovery(case.breaks)?;
    Some(execution(&protocol, path.into_vec(), checker.unique_state_count()))
}

type Step = (crate::state::State, Option<crate::protocol::Action>);

fn execution(protocol: &Protocol, path: Vec<Step>, states: usize) -> Execution {
    let steps = path.windows(2).filter_map(|pair| {
        let [(before, action), (after, _)] = pair else { return None };
        Some(describe::step(before, (*action)?, after))
    });
    let last = path.last().map(|(state, _)| *state);
    Execution {
        steps: steps.collect(),
        broken: last.map(|state| witness::broken(protocol, &state)).unwrap_or_default(),
        verdict: last.map(|state| describe::verdict(protocol, &state)).unwrap_or_default(),
        states,
    }
}
