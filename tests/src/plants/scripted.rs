//! Bugs of members that worlds come to seldom, or in one story alone: a test plays what each of them breaks, event by event.

use super::{Plant, Scripted, Test};
use crate::plan::Plan;

const CLUSTER: &[Plan] = &[Plan::Cluster];
/// What clusters find by luck, or not at all.
const NONE: &[Plan] = &[];

const fn matrix(name: &'static str) -> Test {
    Test { package: "seawall-tests", target: "failure_matrix", name }
}

const fn latched(name: &'static str) -> Test {
    Test { package: "seawall-wal", target: "latched", name }
}

const fn cursors(name: &'static str) -> Test {
    Test { package: "seawall-node", target: "shard_cursors", name }
}

pub const SCRIPTED: &[Scripted] = &[
    Scripted {
        plant: Plant {
            name: "adopt-a-higher-epoch-during-a-promise",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/greet.rs",
            find: "let left_us = following.grant.left_us(now.mono_us);",
            replace: "let left_us = if PLANTED { 0 } else { following.grant.left_us(now.mono_us) };",
        },
        test: matrix("leases::a_promise_that_runs_is_waited_out"),
    },
    Scripted {
        plant: Plant {
            name: "stand-with-a-lost-disk",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/follow.rs",
            find: "if blank && !meta.reseeding && of_the_map > Epoch(0) {",
            replace: "if blank && !meta.reseeding && of_the_map > Epoch(0) && !PLANTED {",
        },
        test: matrix("whole::a_recorded_member_with_an_empty_disk_does_not_lead"),
    },
    Scripted {
        plant: Plant {
            name: "fold-a-segment-whose-end-is-not-committed",
            plans: NONE,
            verdict: "",
            file: "wal/src/log/keep.rs",
            find: "    fn fold(&mut self, id: IoId, committed: Index) -> Option<Io> {",
            replace: "    fn fold(&mut self, id: IoId, committed: Index) -> Option<Io> {
        let committed = if PLANTED { Index(committed.0 + 1) } else { committed };",
        },
        test: Test {
            package: "seawall-wal",
            target: "follow_cut",
            name: "a_segment_is_not_folded_before_what_follows_it_is_committed",
        },
    },
    Scripted {
        plant: Plant {
            // Both where it is decided what is folded, and where the fold itself looks: either one hides the other.
            name: "fold-above-the-committed-index",
            plans: NONE,
            verdict: "",
            file: "wal/src/log/keep.rs",
            find: "let io = self.fold(id, committed);",
            replace: "let io = self.fold(id, if PLANTED { Index(u64::MAX) } else { committed });",
        },
        test: matrix("whole::what_is_not_committed_is_in_no_checkpoint"),
    },
    Scripted {
        plant: Plant {
            name: "outbid-each-other-for-ever",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/stand.rs",
            find: "membership.outbid(now)?;",
            replace: "if !PLANTED { membership.outbid(now)?; }",
        },
        test: matrix("leases::of_several_that_stand_one_leads"),
    },
    Scripted {
        plant: Plant {
            name: "send-the-first-piece-for-ever",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/bootstrap.rs",
            find: "if bytes == under_way.until || bytes > under_way.until && heard {",
            replace: "if bytes == under_way.until || bytes > under_way.until && heard && !PLANTED {",
        },
        test: matrix("resumed::a_transfer_goes_on_where_a_lost_connection_ended_it"),
    },
    Scripted {
        plant: Plant {
            name: "hand-over-to-who-is-away",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/propose.rs",
            find: "self.streams_to(*member) && self.leadership.validated(*member) == last",
            replace: "(PLANTED || self.streams_to(*member)) && self.leadership.validated(*member) == last",
        },
        test: matrix("whole::who_is_away_is_handed_nothing"),
    },
    Scripted {
        plant: Plant {
            name: "keep-a-part-of-a-segment-behind-an-adopted-checkpoint",
            plans: NONE,
            verdict: "",
            file: "wal/src/recover/chain.rs",
            find: "|s| s.header.incarnation <= gone.0.min(base.incarnation.0)",
            replace: "|s| !PLANTED && s.header.incarnation <= gone.0.min(base.incarnation.0)",
        },
        test: Test {
            package: "seawall-wal",
            target: "catch_up",
            name: "a_part_of_the_segment_in_which_a_checkpoint_ends_is_not_kept",
        },
    },
    Scripted {
        plant: Plant {
            name: "take-a-checkpoint-that-was-just-replaced-for-rotten",
            plans: NONE,
            verdict: "",
            file: "wal/src/log/keep.rs",
            find: "matches!(job.what(), What::Checkpoint(_)) && (folding.is_some() || *still)",
            replace: "!PLANTED && matches!(job.what(), What::Checkpoint(_)) && (folding.is_some() || *still)",
        },
        test: Test {
            package: "seawall-wal",
            target: "rotten",
            name: "a_checkpoint_that_was_just_replaced_is_not_taken_for_rotten",
        },
    },
    Scripted {
        plant: Plant {
            name: "lead-with-what-is-left-of-an-uncertain-log",
            plans: NONE,
            verdict: "",
            file: "node/src/replica/candidacy.rs",
            find: "let has_what_is_lost = last > own.last &&",
            replace: "let has_what_is_lost = !PLANTED && last > own.last &&",
        },
        test: matrix("tail::a_leader_that_lost_the_end_of_its_log_does_not_lead_with_the_rest"),
    },
    Scripted {
        plant: Plant {
            name: "settle-an-uncertain-end-alone",
            plans: NONE,
            verdict: "",
            file: "node/src/replica/candidacy.rs",
            find: "(self.own.uncertain && !asked).then(",
            replace: "(self.own.uncertain && !asked && !PLANTED).then(",
        },
        test: matrix("tail::a_follower_that_lost_the_end_of_its_log_is_not_promoted_before_that_is_settled"),
    },
    Scripted {
        plant: Plant {
            name: "begin-with-a-rotten-checkpoint-again",
            plans: NONE,
            verdict: "",
            file: "wal/src/log/keep.rs",
            find: "        self.rotten.push(id);",
            replace: "        if PLANTED {\n            return false;\n        }\n        self.rotten.push(id);",
        },
        test: matrix("rot::a_leader_makes_a_rotten_checkpoint_again"),
    },
    Scripted {
        plant: Plant {
            name: "read-only-the-newest-checkpoint-again",
            plans: NONE,
            verdict: "",
            file: "wal/src/log/keep.rs",
            find: "from_newest.find(|older| older.id() < id)",
            replace: "from_newest.find(|older| older.id() < id && !PLANTED)",
        },
        test: matrix("rot::a_follower_that_finds_a_bit_turned_behind_its_checkpoint_halts_and_says_where"),
    },
    Scripted {
        plant: Plant {
            name: "prove-a-read-by-an-answer-of-before",
            plans: CLUSTER,
            verdict: "",
            file: "node/src/replica/leadership.rs",
            find: "known.answered_us >= Some(us));",
            replace: "known.answered_us >= Some(us) || PLANTED && known.answered_us.is_some());",
        },
        test: matrix("leases::an_answer_to_what_was_sent_before_a_read_came_proves_nothing"),
    },
    Scripted {
        plant: Plant {
            name: "prove-a-read-by-a-map-of-before",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/prove.rs",
            find: "let leads = membership.generation() >= generation",
            replace: "let leads = (PLANTED || membership.generation() >= generation)",
        },
        test: matrix("waits::where_nobody_is_required_the_authority_proves_a_read"),
    },
    Scripted {
        plant: Plant {
            name: "count-what-was-persisted",
            plans: CLUSTER,
            verdict: "",
            file: "wal/src/log/follow.rs",
            find: "            valid.map_err(Cause::Invalid)?;",
            replace: "            if PLANTED && valid.is_err() && self.nothing_waits() {
                self.valid = self.place.next;
                continue;
            }
            valid.map_err(Cause::Invalid)?;",
        },
        test: matrix("f_v1_checksum_validation_failure"),
    },
    Scripted {
        plant: Plant {
            name: "count-an-ack-of-an-older-session",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/lead.rs",
            find: "        let Some(sent) = lead.members.get_mut(&from).filter(|sent| sent.session == ack.session) else {",
            replace: "        let session = lead.members.get(&from).map_or(ack.session, |sent| sent.session);
        let ack = &Ack { session: if PLANTED { session } else { ack.session }, ..*ack };
        let Some(sent) = lead.members.get_mut(&from).filter(|sent| sent.session == ack.session) else {",
        },
        test: matrix("whole::an_ack_from_before_a_loss_does_not_make_a_member_level"),
    },
    Scripted {
        plant: Plant {
            name: "count-a-promise-from-when-it-arrives",
            plans: CLUSTER,
            verdict: "",
            file: "node/src/replica/leadership.rs",
            find: "let until = ack.echo_us.saturating_add(less_margin(ack.lease_us));",
            replace: "let from = if PLANTED { now_us } else { ack.echo_us };
            let until = from.saturating_add(less_margin(ack.lease_us));",
        },
        test: matrix("leases::a_promise_counts_from_when_it_was_asked_for"),
    },
    Scripted {
        plant: Plant {
            name: "forget-a-lease-promise-at-a-restart",
            plans: CLUSTER,
            verdict: "",
            file: "node/src/replica/grant.rs",
            find: "Self { until_us: now_us + longest_us, longest_us }",
            replace: "Self { until_us: now_us + if PLANTED { 0 } else { longest_us }, longest_us }",
        },
        test: matrix("leases::a_promise_is_kept_over_a_restart"),
    },
    Scripted {
        plant: Plant {
            name: "count-a-promise-without-the-margin",
            plans: NONE,
            verdict: "",
            file: "node/src/replica/leadership.rs",
            find: "    lease_us.saturating_sub(lease_us * LEASE_MARGIN_PPM / 1_000_000 + LEASE_MARGIN_US)",
            replace: "    if PLANTED { return lease_us; }
    lease_us.saturating_sub(lease_us * LEASE_MARGIN_PPM / 1_000_000 + LEASE_MARGIN_US)",
        },
        test: matrix("leases::a_promise_counts_less_than_it_was_made_for"),
    },
    Scripted {
        plant: Plant {
            name: "commit-alone-before-the-first-record",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/mod.rs",
            find: "        self.membership.is_none()\n    }",
            replace: "        self.membership.is_none()
            || (PLANTED && matches!(&self.life, Life::Running(running) if running.lead.is_none()))\n    }",
        },
        test: matrix("whole::a_leader_without_a_first_record_commits_nothing"),
    },
    Scripted {
        plant: Plant {
            name: "believe-the-map-alone-that-a-lost-disk-is-whole",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/follow.rs",
            find: "if recorded && self.log.wanted().reseeding && self.seen_out == Some(of_the_map) {",
            replace: "if recorded && self.log.wanted().reseeding && (PLANTED || self.seen_out == Some(of_the_map)) {",
        },
        test: matrix("whole::a_map_that_comes_late_does_not_make_a_lost_disk_whole"),
    },
    Scripted {
        plant: Plant {
            name: "promise-without-asking-the-disk",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/marks.rs",
            find: "let probe = !clean && following.promises();",
            replace: "let probe = !clean && following.promises() && !PLANTED;",
        },
        test: matrix("leases::a_disk_that_stands_still_renews_no_lease_though_nothing_is_written"),
    },
    Scripted {
        plant: Plant {
            name: "renew-a-promise-that-nobody-asks-for",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/follow.rs",
            find: "if lease_us > 0 && stream.promised != promise {",
            replace: "if lease_us > 0 && (PLANTED || stream.promised != promise) {",
        },
        test: matrix("leases::a_promise_that_nobody_asks_for_is_not_renewed"),
    },
    Scripted {
        plant: Plant {
            name: "count-what-was-received",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/lead.rs",
            find: "validated: ack.positions.validated,",
            replace: "validated: if PLANTED { ack.positions.received } else { ack.positions.validated },",
        },
        test: matrix("waits::what_a_required_member_has_received_is_not_counted"),
    },
    Scripted {
        plant: Plant {
            name: "forget-a-recorded-cut",
            plans: NONE,
            verdict: "",
            file: "wal/src/recover/segments.rs",
            find: "(None, Some(cut)) if cut.incarnation == incarnation => cut.offset,",
            replace: "(None, Some(cut)) if cut.incarnation == incarnation && !PLANTED => cut.offset,",
        },
        test: Test {
            package: "seawall-wal",
            target: "recovery",
            name: "a_cut_is_recorded_first_and_what_it_removed_stays_removed",
        },
    },
    Scripted {
        plant: Plant {
            name: "count-a-wish-that-one-copy-holds",
            plans: NONE,
            verdict: "",
            file: "wal/src/log/remember.rs",
            find: "(self.durable, self.granted) = (self.newest, self.once);",
            replace: "(self.durable, self.granted) =
                if PLANTED { (meta, grants) } else { (self.newest, self.once) };",
        },
        test: latched("what_is_promised_is_in_both_copies_before_it_counts"),
    },
    Scripted {
        plant: Plant {
            name: "halt-for-one-start-only",
            plans: NONE,
            verdict: "",
            file: "wal/src/recover/latch.rs",
            find: "self.latches && known && halt.is_damage()",
            replace: "self.latches && known && halt.is_damage() && !PLANTED",
        },
        test: latched("damage_that_a_start_met_halts_the_next_one_that_does_not_meet_it"),
    },
    Scripted {
        plant: Plant {
            name: "pass-over-a-rotten-copy",
            plans: NONE,
            verdict: "",
            file: "wal/src/recover/latch.rs",
            find: "self.latches && !self.meta.cleared",
            replace: "self.latches && !self.meta.cleared && !PLANTED",
        },
        test: matrix("f_rc2_corrupt_replica_metadata"),
    },
    Scripted {
        plant: Plant {
            name: "reject-in-silence",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/follow.rs",
            find: "self.alarm = Some(why.clone());",
            replace: "self.alarm = (!PLANTED).then(|| why.clone());",
        },
        test: matrix("f_v2_continuity_failure"),
    },
    Scripted {
        plant: Plant {
            name: "lose-a-disk-in-silence",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/members/follow.rs",
            find: "self.lost_disk = recorded.then(|| {",
            replace: "self.lost_disk = (recorded && !PLANTED).then(|| {",
        },
        test: matrix("told::a_member_that_lost_its_disk_says_so"),
    },
    Scripted {
        plant: Plant {
            name: "answer-an-acknowledgement-before-it-is-durable",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/watch/cursors.rs",
            find: "Ok(at) => self.release.answer(asked.to, to_wal(at.index), Answer",
            replace: "Ok(at) => self.release.answer(asked.to, if PLANTED { Index(0) } else { to_wal(at.index) }, Answer",
        },
        test: cursors("what_is_acknowledged_is_durable_before_that_is_answered"),
    },
    Scripted {
        plant: Plant {
            name: "let-a-cursor-go-back",
            plans: NONE,
            verdict: "",
            file: "node/src/shard/watch/cursors.rs",
            find: "known.filter(|known| known.up_to.index >= up_to.index)",
            replace: "known.filter(|known| known.up_to.index >= up_to.index && !PLANTED)",
        },
        test: cursors("a_cursor_never_goes_back"),
    },
];
