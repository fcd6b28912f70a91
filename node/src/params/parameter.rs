//! What a row of the table of named numbers says.

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Bytes,
    Milliseconds,
    Microseconds,
    PartsPerMillion,
}

impl Unit {
    /// Behind a number.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Count => "",
            Unit::Bytes => "bytes",
            Unit::Milliseconds => "ms",
            Unit::Microseconds => "us",
            Unit::PartsPerMillion => "ppm",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name of the constant.
    pub name: &'static str,
    pub default: u64,
    pub unit: Unit,
    /// Where it is set, and within which range; `None`: it is fixed.
    pub place: Option<Place>,
    /// What it is, and what moving it does.
    pub effect: &'static str,
}

/// A number that may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// As it is called in the configuration file, with its table: `admin.connections`.
    pub key: &'static str,
    pub least: u64,
    pub most: u64,
}
