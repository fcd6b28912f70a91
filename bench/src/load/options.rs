//! What a run is asked for.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::parse::{count, seconds};

/// What the requests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// COMMIT of one PUT of a row with one field of bytes.
    Put,
    /// Linearizable GET of a row of the same table.
    Get,
}

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the node listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7411")]
    pub connect: String,
    /// What to ask for.
    #[arg(long, value_enum)]
    pub workload: Workload,
    /// Connections to keep open.
    #[arg(long, value_name = "C", value_parser = count::<1, 16_384>)]
    pub connections: usize,
    /// Requests that each connection keeps under way.
    #[arg(long, value_name = "P", value_parser = count::<1, 65_536>)]
    pub pipeline: usize,
    /// Threads to deal the connections out to.
    #[arg(long, value_name = "T", default_value = "1", value_parser = count::<1, 256>)]
    pub threads: usize,
    /// Length of the measured window.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub seconds: Duration,
    /// Load before the measured window begins.
    #[arg(long, value_name = "W", default_value = "1", value_parser = seconds)]
    pub warmup: Duration,
    /// Bytes of the field that a put writes.
    #[arg(long, value_name = "B", default_value = "128", value_parser = count::<0, 60_000>)]
    pub value_bytes: usize,
    /// Rows to choose from, uniformly; spread over 256 partitions.
    #[arg(long, value_name = "N", default_value = "100000", value_parser = count::<1, 100_000_000>)]
    pub keys: usize,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Workload::Put => "put",
            Workload::Get => "get",
        }
    }
}
