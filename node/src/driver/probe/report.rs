//! What the probe found, for people and for programs.

use std::fmt;

use serde_json::{Value, json};

use crate::driver::choice::choose;

use super::{Alignment, Direct, FileSystem, Measured, Probe, Series};

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel      Linux {}", self.kernel)?;
        writeln!(f, "file system {}", self.file_system)?;
        let device = self.device.as_deref().unwrap_or("no disk of its own");
        writeln!(f, "device      {device}: {}", self.cache)?;
        writeln!(f, "direct I/O  {}", self.direct)?;
        match &self.measured {
            Ok(measured) => writeln!(f, "measured    {measured}")?,
            Err(why_not) => writeln!(f, "measured    nothing: {why_not}")?,
        }
        write!(f, "durable by  {} ({})", self.durable.name(), self.why_durable)?;
        self.file_system.warnings().iter().try_for_each(|warning| write!(f, "\nWARNING     {warning}"))
    }
}

impl Probe {
    /// One object.
    pub fn json(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "at_us": self.at_us,
            "path": self.path.display().to_string(),
            "kernel": self.kernel,
            "tick_us": self.tick_us,
            "driver": choose(None, self.io_uring.clone()).ok().map(|choice| choice.kind.name()),
            "io_uring": match &self.io_uring {
                Ok(()) => json!({ "usable": true }),
                Err(e) => json!({
                    "usable": false, "blocked": e.blocked, "why": e.what, "way_out": e.way_out,
                }),
            },
            "file_system": file_system(&self.file_system),
            "device": self.device,
            "write_cache": self.cache.name(),
            "disk_cpu": self.disk_cpu,
            "direct_io": direct(&self.direct),
            "measured": match &self.measured {
                Ok(found) => measured(found),
                Err(why_not) => json!({ "why_not": why_not }),
            },
            "durable": { "primitive": self.durable.name(), "why": self.why_durable },
            "warnings": self.file_system.warnings().iter().map(|warning| json!({
                "kind": warning.kind, "what": warning.what, "way_out": warning.way_out,
            })).collect::<Vec<_>>(),
        })
    }
}

fn file_system(found: &FileSystem) -> Value {
    json!({
        "kind": found.kind,
        "source": found.source,
        "mount_point": found.mount_point,
        "options": found.options,
        "bytes": found.bytes,
        "free_bytes": found.free_bytes,
    })
}

fn direct(found: &Direct) -> Value {
    let (memory, disk) = match found.alignment {
        Alignment::Needs { memory, disk } => (Some(memory), Some(disk)),
        Alignment::Unsaid | Alignment::Refused => (None, None),
    };
    json!({
        "works": found.works,
        "memory_alignment": memory,
        "disk_alignment": disk,
        "why_not": (!found.works).then_some(&found.why_not),
    })
}

fn measured(found: &Measured) -> Value {
    json!({
        "through": found.through,
        "dsync": found.dsync.as_ref().map(series),
        "link": series(&found.link),
    })
}

fn series(found: &Series) -> Value {
    json!({
        "writes": found.writes,
        "p50_us": found.p50.as_nanos() as f64 / 1000.0,
        "p99_us": found.p99.as_nanos() as f64 / 1000.0,
        "at_ticks": found.at_ticks,
    })
}
