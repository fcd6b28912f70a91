//! Text in columns, and text that a terminal must not take for orders.

/// What was stored may say anything: a terminal that obeyed it would show what was never there. Letters that are not
/// shown, or that turn others around, are written as in a string of a program.
pub(super) fn plain(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same for text that has lines of its own.
pub(super) fn plain_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if stays(c) => plain.push(c),
            '\n' => plain.push_str("\\n"),
            '\r' => plain.push_str("\\r"),
            '\t' => plain.push_str("\\t"),
            '\0'..='\x1f' | '\x7f' => plain.push_str(&format!("\\x{:02x}", u32::from(c))),
            '\u{80}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                plain.extend(c.escape_unicode());
            }
            _ => plain.push(c),
        }
    }
    plain
}

/// Lines of cells, each column as wide as its widest cell; the last one is left as it is.
pub(super) fn lines(table: &[Vec<String>]) -> String {
    let table: Vec<Vec<String>> =
        table.iter().map(|line| line.iter().map(|cell| plain(cell)).collect()).collect();
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        table.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The same, for a name and what is said about it.
pub(super) fn pairs<N: Into<String>, T: Into<String>>(pairs: impl IntoIterator<Item = (N, T)>) -> String {
    lines(&pairs.into_iter().map(|(name, text)| vec![name.into(), text.into()]).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_not_done() {
        let table = [vec!["a\x1b[2J".to_owned(), "x".to_owned()], vec!["b".to_owned(), "y\nz".to_owned()]];
        assert_eq!(lines(&table), "a\\x1b[2J  x\nb         y\\nz");
        assert_eq!(plain("\r\t\x7f\u{9b}\u{202e}"), "\\r\\t\\x7f\\u{9b}\\u{202e}");
        assert_eq!(plain_lines("one\ntwo\x07"), "one\ntwo\\x07");
        assert_eq!(plain("Gr\u{fc}\u{df}e, \u{4f60}\u{597d}"), "Gr\u{fc}\u{df}e, \u{4f60}\u{597d}");
    }
}
