//! The bounds of the service plane.

use std::time::Duration;

use crate::config::Settings;

/// As they were configured.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections: usize,
    pub calls: usize,
    pub body_bytes: usize,
    pub head: Duration,
    pub request: Duration,
    pub connection: Duration,
    pub ask: Duration,
    pub drain: Duration,
}

impl Limits {
    pub fn of(settings: &Settings) -> Self {
        let ms = |key| Duration::from_millis(settings.number(key));
        let count = |key| usize::try_from(settings.number(key)).expect("its range is small");
        Self {
            connections: count("admin.connections"),
            calls: count("admin.calls"),
            body_bytes: count("admin.body_bytes"),
            head: ms("admin.head_ms"),
            request: ms("admin.request_ms"),
            connection: ms("admin.connection_ms"),
            ask: ms("admin.ask_ms"),
            drain: ms("admin.drain_ms"),
        }
    }
}
