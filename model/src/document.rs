//! The executions as they stand in `docs/replication.md`, between two marks each.

use std::fmt::Write;

use crate::cases::{CASES, Case};
use crate::check::Execution;
use crate::describe;

fn begin(case: &Case) -> String {
    format!("<!-- without {:?} -->\n", case.clause)
}

const END: &str = "<!-- end -->\n";

/// One execution as Markdown.
pub fn block(case: &Case, execution: &Execution) -> String {
    let also: String = case.also.iter().map(|clause| format!(" and `{clause:?}`")).collect();
    let set = describe::names(case.scope.sync);
    let beginning = format!("recorded are {set}, `min_in_sync` is {}", case.scope.min_in_sync);
    let (clause, law) = (case.clause, case.law);
    let mut text = format!("\n**`{clause:?}`** {law} Without it{also} ({beginning}):\n\n");
    for (nth, step) in execution.steps.iter().enumerate() {
        writeln!(text, "{}. {step}.", nth + 1).expect("a string takes everything");
    }
    writeln!(text, "\n{}.\n", execution.verdict.join("; ")).expect("a string takes everything");
    text
}

/// What stands in the document for a case.
pub fn written<'a>(document: &'a str, case: &Case) -> Option<&'a str> {
    let (_, behind) = document.split_once(&begin(case))?;
    behind.split_once(END).map(|(block, _)| block)
}

/// The document with every execution in its place.
pub fn filled(document: &str, execution: impl Fn(&Case) -> Execution) -> String {
    let mut text = document.to_owned();
    for case in CASES {
        let Some((before, behind)) = text.split_once(&begin(case)) else { continue };
        let Some((_, after)) = behind.split_once(END) else { continue };
        text = format!("{before}{}{}{END}{after}", begin(case), block(case, &execution(case)));
    }
    text
}
