//! The failure matrix: each row of it is brought about, at every point where it speaks of a crash, and what comes of it is
//! held against the row: the outcome, and the explanation that is given.
//!
//! Real workers on disks in memory, without a process, a clock or a thread: the same every time.
#![forbid(unsafe_code)]

mod application;
mod client;
mod document;
mod duo;
mod forbidden;
mod forgery;
mod leases;
mod leaving;
mod lonely;
mod observed;
mod primary;
mod principles;
mod reads;
mod receiver;
mod recovery;
mod resumed;
mod rot;
mod snapshot;
#[path = "../../../wal/tests/support/mod.rs"]
mod support;
mod tail;
mod told;
mod validation;
#[path = "../../../wal/tests/support/volatile.rs"]
mod volatile;
mod waits;
mod whole;

use std::sync::OnceLock;

/// What came of a row: as the test saw it, for `docs/failure-matrix.md`.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub condition: &'static str,
    /// Places at which a process ended, or at which something was bent, each with each thing that the disk may keep.
    pub points: usize,
    pub outcome: &'static str,
    /// Word by word as it was given, once: where by whom it was given, and the text.
    pub explanations: Vec<(&'static str, String)>,
}

pub struct Row {
    pub name: &'static str,
    pub title: &'static str,
    pub seen: fn() -> &'static Seen,
}

macro_rules! rows {
    ($($name:literal $title:literal $test:ident = $run:path;)*) => {
        pub const ROWS: &[Row] = &[$(Row { name: $name, title: $title, seen: || {
            static SEEN: OnceLock<Seen> = OnceLock::new();
            SEEN.get_or_init($run)
        }}),*];
        $(#[test]
        fn $test() {
            let row = ROWS.iter().find(|row| row.name == $name).expect("it stands in the table");
            let seen = (row.seen)();
            assert!(seen.points > 0 && !seen.explanations.is_empty(), "{seen:?}");
            assert!(stringify!($test).starts_with(&$name.to_lowercase().replace('-', "_")));
        })*
    };
}

rows! {
    "F-P1" "Primary crash before WAL fsync" f_p1_primary_crash_before_wal_fsync = primary::before_fsync;
    "F-P2" "Primary crash after WAL fsync" f_p2_primary_crash_after_wal_fsync = primary::after_fsync;
    "F-R1" "Receiver crash before WAL persist" f_r1_receiver_crash_before_wal_persist = receiver::before_persist;
    "F-R2" "Receiver crash after WAL persist" f_r2_receiver_crash_after_wal_persist = receiver::after_persist;
    "F-V1" "Checksum validation failure" f_v1_checksum_validation_failure = validation::checksum;
    "F-V2" "Continuity failure (gap or overlap)" f_v2_continuity_failure = validation::continuity;
    "F-A1" "Crash during WAL application" f_a1_crash_during_wal_application = application::during_apply;
    "F-A2" "Crash after WAL apply before metadata persist" f_a2_crash_after_wal_apply_before_metadata_persist = application::before_metadata;
    "F-S1" "Crash during snapshot transfer" f_s1_crash_during_snapshot_transfer = snapshot::during_transfer;
    "F-S2" "Crash after snapshot transfer before validation" f_s2_crash_after_snapshot_transfer_before_validation = snapshot::before_validation;
    "F-S3" "Snapshot/WAL boundary mismatch" f_s3_snapshot_wal_boundary_mismatch = snapshot::boundary;
    "F-RC1" "Crash during replica recovery" f_rc1_crash_during_replica_recovery = recovery::crash_again;
    "F-RC2" "Corrupt replica metadata" f_rc2_corrupt_replica_metadata = recovery::corrupt_metadata;
    "F-RS1" "Read requested while unsafe" f_rs1_read_requested_while_unsafe = reads::while_unsafe;
    "F-RS2" "State change during read evaluation" f_rs2_state_change_during_read_evaluation = reads::during_evaluation;
    "F-O1" "DX endpoint during failure" f_o1_dx_endpoint_during_failure = observed::during_failure;
}

/// The sixteen rows, by their names and no other way.
const MATRIX: [&str; 16] = [
    "F-P1", "F-P2", "F-R1", "F-R2", "F-V1", "F-V2", "F-A1", "F-A2", "F-S1", "F-S2", "F-S3", "F-RC1", "F-RC2",
    "F-RS1", "F-RS2", "F-O1",
];

#[test]
fn every_row_of_the_matrix_has_a_test() {
    let tested: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    assert_eq!(tested, MATRIX);
}

impl Seen {
    /// The first text of each kind stands for all.
    pub fn explains(&mut self, by: &'static str, text: &str) {
        if self.explanations.iter().all(|(known, _)| *known != by) {
            self.explanations.push((by, text.to_owned()));
        }
    }
}
