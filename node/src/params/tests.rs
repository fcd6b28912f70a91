//! What each row of the table must be, and that the log's own numbers are those of the table.

use super::*;
use seawall_wal::LogLimits;

#[test]
fn each_row_is_a_sentence_about_a_number_in_its_range() {
    let mut keys = Vec::new();
    for row in PARAMETERS {
        assert!(row.effect.starts_with(' ') && row.effect.trim_end().ends_with('.'), "{}", row.name);
        if let Some(Place { key, least, most }) = row.place {
            assert!((least..=most).contains(&row.default) && least < most, "{key}");
            assert!(row.effect.matches(['.', ':', ';']).count() > 1, "{key}: what does moving it do?");
            keys.push(key);
        }
    }
    let places = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), places, "a key names one parameter");
}

/// The log has its numbers where it can be tested alone; here they have their names.
#[test]
fn the_log_and_the_table_agree() {
    let LogLimits {
        buffer_bytes,
        batch_bytes,
        writes_in_flight,
        small_slot_bytes,
        slot_bytes,
        spares,
        fold,
        fold_changes,
        checkpoints,
        tail_bytes,
    } = LogLimits::default();
    assert_eq!((buffer_bytes, batch_bytes), (LOG_BUFFER_BYTES, LOG_BATCH_BYTES));
    assert_eq!((writes_in_flight, spares, tail_bytes), (LOG_WRITES, LOG_SPARES, LOG_TAIL_BYTES));
    assert_eq!((small_slot_bytes, slot_bytes), (LOG_SMALL_SEGMENT_BYTES, LOG_SEGMENT_BYTES));
    assert_eq!((fold.least_bytes, fold.most_segments), (CHECKPOINT_AFTER_BYTES, CHECKPOINT_SEGMENTS));
    assert_eq!((fold_changes, checkpoints), (CHECKPOINT_CHANGES, CHECKPOINTS));
}
