//! The end of a run: every member's log is read back, as a next process would read it.

use std::collections::BTreeMap;

use seawall::map::Map;
use seawall_node::replica;
use seawall_node::seam::order::{Done, Obeyed};

use super::{Cluster, SHARD};
use crate::check::{LogRecord, Violation, violation};
use crate::world::Left;
use crate::world::finish::{Whole, read_log, rows_of};

/// An operator accepted it: what older epochs acknowledged from this index on may be lost, up to what was stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    pub epoch: u64,
    pub from: u64,
    pub until: u64,
}

impl Cluster {
    /// The map that becomes the newest may accept a loss.
    pub(super) fn note_loss(&mut self, map: &Map) {
        let open = map.replicas(SHARD).and_then(|entry| entry.open_loss);
        let known = self.losses.last().map(|loss| loss.epoch);
        if let Some(open) = open.filter(|open| known != Some(open.epoch.0)) {
            self.counts.add("losses accepted", 1);
            self.losses.push(Loss { epoch: open.epoch.0, from: open.from.0, until: u64::MAX });
        }
    }

    /// The answer to a promotion states what may be lost.
    pub(super) fn obeyed(&mut self, obeyed: &Obeyed) {
        let Ok(done) = obeyed else { return };
        self.counts.add("orders done", 1);
        if let Done::Leads { epoch, loss, .. } = done {
            let until = match loss {
                replica::Loss::Between(_, until) => until.0,
                replica::Loss::Nothing => 0,
                replica::Loss::Unknown => u64::MAX,
            };
            let of_it = self.losses.iter_mut().filter(|loss| loss.epoch == epoch.0);
            of_it.for_each(|loss| loss.until = until);
        }
    }

    pub(super) fn judge(&mut self) -> Result<(), Violation> {
        let Some(leader) = self.leader() else {
            return violation("I8, a healed cluster has a leader", format!("{:?}", self.map));
        };
        let limits = self.shape.node.limits;
        let mut logs = Vec::new();
        for (nth, member) in self.members.iter_mut().enumerate() {
            member.disk.kill();
            if self.scrubs.flip.as_ref().is_some_and(|flip| flip.nth == nth) {
                member.disk.repair(); // that it was found is held against it elsewhere
            }
            match read_log(&mut member.disk, SHARD, limits) {
                // What is damaged may be refused, and counts for nothing.
                _ if self.harm.halted() == Some(nth) => logs.push(None),
                Err(_) if self.harm.is_damaged(nth) => logs.push(None),
                read => logs.push(Some(self.written.whole_log(&read?)?)),
            }
        }
        let Some(Some(before)) = logs.get(leader) else {
            return violation("I8, a healed cluster is led by a whole member", format!("{:?}", self.map));
        };
        one_record_a_position(&logs)?;
        self.all_are_level(leader, before, &logs)?;
        let mut epochs: Vec<u64> = before.iter().map(|record| record.at.epoch).collect();
        epochs.dedup();
        self.counts.add("epochs", epochs.len() as u64);
        let in_sync = self.map.replicas(SHARD).map_or(0, |entry| entry.sync.len());
        self.counts.add("members in sync at the end", in_sync as u64);
        let Self { members, map, counts, trace, crowd, now, losses, .. } = self;
        let note = &mut |line: std::fmt::Arguments<'_>| trace.note(*now, line);
        crowd.judge(Left { losses, disk: &mut members[leader].disk, map, limits, before, counts, note })
    }

    /// I8: everybody has what the leader knew to be committed when the clients were done; I7: and it is the same.
    fn all_are_level(
        &self,
        leader: usize,
        ours: &[Whole],
        logs: &[Option<Vec<Whole>>],
    ) -> Result<(), Violation> {
        for (nth, log) in logs.iter().enumerate() {
            let Some(log) = log else { continue };
            // What a leader wrote last may still be on its way when the run ends.
            let short = ours.len().saturating_sub(log.len());
            if short > 2 {
                let text = format!(
                    "member {nth} has {} records, the leader, {leader}, has {}",
                    log.len(),
                    ours.len()
                );
                return violation("I8, a healed cluster is level before long", text);
            }
            let same = log.iter().zip(ours).take_while(|(theirs, ours)| theirs == ours).count();
            if same < log.len().min(ours.len()) {
                let text = format!("member {nth} and the leader differ from record {} on", same + 1);
                return violation("I7, replicas are the same", text);
            }
        }
        Ok(())
    }
}

/// I6: a position names one record, on whatever disk it stands.
fn one_record_a_position(logs: &[Option<Vec<Whole>>]) -> Result<(), Violation> {
    let mut seen: BTreeMap<_, LogRecord> = BTreeMap::new();
    for (nth, log) in logs.iter().enumerate() {
        for record in log.iter().flatten() {
            let rows = rows_of(record);
            let first = seen.entry(record.at).or_insert_with(|| rows.clone());
            if *first != rows {
                let text = format!("member {nth} has another record at {} than one before it", record.at);
                return violation("I6, a position names one record", text);
            }
        }
    }
    Ok(())
}
