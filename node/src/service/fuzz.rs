//! The doors of what stands in the address of a request to the admin port; `crate::fuzz` lists them. Its bodies are
//! documents, whose doors are there.

use super::data::{read_explain, read_row, read_trace};
use super::query;

/// What stands behind `/v1/rows/`, with what stands behind its question mark.
pub(crate) fn row_path(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    if let Ok((path, _)) = read_row(path, query) {
        assert_eq!(path.to_string().parse(), Ok(path), "a path has one text");
    }
}

/// What stands behind the question mark of every other request.
pub(crate) fn query(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let _ = read_explain(Some(text));
    if let Ok((partition, key, _)) = read_trace(Some(text)) {
        assert_eq!(partition.to_string().parse(), Ok(partition));
        let written: String = key.iter().map(|byte| format!("%{byte:02X}")).collect();
        assert_eq!(query::decode(&written), Some(key));
    }
}
