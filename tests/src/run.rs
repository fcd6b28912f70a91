//! One run of one seed, whatever its plan, and what it came to.

use crate::check::Violation;
use crate::fault::Fired;
use crate::plan::Plan;
use crate::trace::Sink;
use crate::{cluster, one_log, world};

#[derive(Clone, Debug)]
pub struct Run {
    pub seed: u64,
    pub hash: u64,
    pub counts: Counts,
    pub fired: Fired,
    pub failure: Option<Violation>,
}

/// Runs the world of a seed to its end, and checks it.
pub fn run(plan: Plan, seed: u64, sink: Option<Sink>) -> Run {
    match plan {
        Plan::Slice | Plan::Shard => world::run(plan, seed, sink),
        Plan::Log => one_log::run(seed, sink),
        Plan::Cluster => cluster::run(seed, sink),
    }
}

/// How often a run came past places that a plan must reach.
#[derive(Clone, Debug, Default)]
pub struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    pub fn new(names: &[&'static str]) -> Self {
        Self(names.iter().map(|name| (*name, 0)).collect())
    }

    pub fn add(&mut self, name: &'static str, more: u64) {
        let known = self.0.iter_mut().find(|(known, _)| *known == name);
        known.unwrap_or_else(|| panic!("nobody asked to count {name}")).1 += more;
    }

    pub fn count(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().copied()
    }

    pub fn merge(&mut self, other: &Counts) {
        for (name, more) in other.iter() {
            match self.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += more,
                None => self.0.push((name, more)),
            }
        }
    }
}
