//! What a run is asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use seawall::limits::{COMMIT_MAX, COMMITS_MAX};

use crate::parse::{count, positive, seconds, some_seconds};

/// What the requests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// COMMIT of one PUT of a row with one field of bytes.
    Put,
    /// COMMIT under a request key of the connection's session: a check of the field, and a MERGE of a new value.
    Conditional,
    /// COMMIT of one ADD with a ceiling, always to the same row.
    HotAdd,
    /// Linearizable GET of a row.
    Get,
    /// Linearizable SCAN: the first 100 rows of a prefix.
    Scan,
    /// 50 % get, 30 % conditional, 10 % put, 10 % scan.
    Mixed,
}

/// How rows are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dist {
    /// All alike.
    Uniform,
    /// Few often, many rarely: the n-th most wanted row in proportion to 1 / n^0.99.
    Zipf,
    /// Nine of ten requests want the first hundredth of the rows.
    Hot,
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
    #[arg(long, value_name = "C", default_value = "64", value_parser = count::<1, 16_384>)]
    pub connections: usize,
    /// Requests that each connection has under way; with --rate, at most so many.
    #[arg(long, value_name = "P", default_value = "1", value_parser = count::<1, 65_536>)]
    pub pipeline: usize,
    /// Commits in each request: COMMIT_MANY. Each is answered and counted by itself.
    #[arg(long, value_name = "N", default_value = "1", value_parser = count::<1, COMMITS_MAX>)]
    pub many: usize,
    /// Open loop: so many operations a second are due, evenly, however fast they are answered; a latency counts from
    /// when its request was due. Without it, a request is sent when one is answered.
    #[arg(long, value_name = "R", value_parser = positive)]
    pub rate: Option<f64>,
    /// Threads to deal the connections out to.
    #[arg(long, value_name = "T", default_value = "1", value_parser = count::<1, 256>)]
    pub threads: usize,
    /// Length of the measured window.
    #[arg(long, value_name = "S", value_parser = some_seconds)]
    pub seconds: Duration,
    /// Load before the measured window begins.
    #[arg(long, value_name = "W", default_value = "1", value_parser = seconds)]
    pub warmup: Duration,
    /// Bytes of the field that is written; the first 8 are the number of its row.
    #[arg(long, value_name = "B", default_value = "128", value_parser = count::<8, 60_000>)]
    pub value_bytes: usize,
    /// Rows to choose from; spread over 256 partitions.
    #[arg(long, value_name = "N", default_value = "100000", value_parser = count::<1, 100_000_000>)]
    pub keys: usize,
    /// How rows are chosen.
    #[arg(long, value_enum, default_value = "uniform")]
    pub dist: Dist,
    /// Do not put every row before a load that reads or checks rows. A row that is not there is then no error.
    #[arg(long)]
    pub no_fill: bool,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Also a page with charts, which needs no network to be read.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl Options {
    /// What no single option can know; the text is for the person who wrote them.
    pub fn check(&self) -> Result<(), String> {
        let commits = matches!(self.workload, Workload::Put | Workload::Conditional | Workload::HotAdd);
        if self.many > 1 && !commits {
            return Err(format!(
                "--many is for commits: put, conditional or hot-add, not {}",
                self.workload.name()
            ));
        }
        let bytes = self.many * (self.value_bytes + COMMIT_OVERHEAD);
        if self.many > 1 && bytes > COMMIT_MAX {
            return Err(format!(
                "a COMMIT_MANY holds {COMMIT_MAX} bytes, and --many {} with --value-bytes {} need about {bytes}: take \
                 fewer or smaller ones",
                self.many, self.value_bytes
            ));
        }
        Ok(())
    }

    /// Whether every row is put before the load begins.
    pub fn fills(&self) -> bool {
        let wants_rows = match self.workload {
            Workload::Conditional | Workload::Get | Workload::Scan | Workload::Mixed => true,
            Workload::Put | Workload::HotAdd => false,
        };
        wants_rows && !self.no_fill
    }
}

/// What a commit of this load is longer than its value, at most.
pub const COMMIT_OVERHEAD: usize = 200;

impl Workload {
    pub const ALL: [Workload; 6] = [
        Workload::Put,
        Workload::Conditional,
        Workload::HotAdd,
        Workload::Get,
        Workload::Scan,
        Workload::Mixed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Workload::Put => "put",
            Workload::Conditional => "conditional",
            Workload::HotAdd => "hot-add",
            Workload::Get => "get",
            Workload::Scan => "scan",
            Workload::Mixed => "mixed",
        }
    }
}

impl Dist {
    pub fn name(self) -> &'static str {
        match self {
            Dist::Uniform => "uniform",
            Dist::Zipf => "zipf",
            Dist::Hot => "hot",
        }
    }
}

#[cfg(test)]
pub mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    /// The options of a command line.
    pub fn parsed(line: &str) -> Result<Options, String> {
        let words = std::iter::once("load").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.options.check().map(|()| line.options)
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let options = parsed("--workload mixed --seconds 0.5").unwrap();
        assert_eq!((options.connections, options.pipeline, options.many), (64, 1, 1));
        assert_eq!((options.value_bytes, options.keys, options.dist), (128, 100_000, Dist::Uniform));
        assert_eq!((options.rate, options.seconds), (None, Duration::from_millis(500)));
        assert!(options.fills());
        assert!(!parsed("--workload mixed --seconds 1 --no-fill").unwrap().fills());
    }

    #[test]
    fn every_workload_and_distribution_has_the_name_that_it_is_asked_for_by() {
        for workload in Workload::ALL {
            let options = parsed(&format!("--workload {} --seconds 1", workload.name())).unwrap();
            assert_eq!(options.workload, workload);
        }
        for dist in [Dist::Uniform, Dist::Zipf, Dist::Hot] {
            let options = parsed(&format!("--workload get --seconds 1 --dist {}", dist.name())).unwrap();
            assert_eq!(options.dist, dist);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        for (line, complaint) in [
            ("--workload sing --seconds 1", "hot-add"),
            ("--workload put", "--seconds"),
            ("--workload put --seconds 1 --rate 0", "above 0"),
            ("--workload put --seconds 0", "above 0"),
            ("--workload put --seconds 1 --rate nan", "above 0"),
            ("--workload put --seconds 1 --value-bytes 7", "from 8"),
            ("--workload put --seconds 1 --many 1025", "from 1 to 1024"),
            ("--workload scan --seconds 1 --many 2", "--many is for commits"),
            ("--workload mixed --seconds 1 --many 2", "--many is for commits"),
            ("--workload put --seconds 1 --many 1000 --value-bytes 2000", "fewer or smaller"),
        ] {
            let said = parsed(line).expect_err(line);
            assert!(said.contains(complaint), "{line}: {said}");
        }
    }
}
