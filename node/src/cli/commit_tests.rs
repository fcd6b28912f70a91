//! The arguments of `seawall commit`, and what people are told when they are wrong.

use clap::Parser;
use seawall::row;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    commit: CommitVerb,
}

/// What the words mean, or what a person is told.
fn typed(words: &[&str]) -> Result<Commit, String> {
    let line = Line::try_parse_from(["commit"].iter().chain(words)).map_err(|why| why.to_string())?;
    line.commit.typed().and_then(|commit| line.commit.once.apply(commit))
}

#[test]
fn the_arguments_are_the_commit() {
    let words = [
        "HP%202026,int:7",
        "--key",
        "hold-1",
        "--check",
        "cabin/C14.state",
        "=",
        "free",
        "--check",
        "cabin/C14.price:decimal",
        "<=",
        "-420.00",
        "--check",
        "cabin/C14.until",
        ">",
        "@now",
        "--check",
        "total/held.count",
        "<",
        "@total/held.limit",
        "--check",
        "cabin/C14.class",
        "in",
        "a,b",
        "--exists",
        "cabin/C14",
        "--absent",
        "cabin/C15",
        "--unchanged",
        "cabin/C14=3:142",
        "--set",
        "cabin/C14.state=held",
        "--set",
        "note/n.text=a=b",
        "--set",
        "cabin/C14.by:text=007",
        "--add",
        "total/held.count=-1,max=@total/held,x.limit,min=0",
        "--add",
        "total/held.sum=4.50",
        "--delete",
        "cabin/C16",
        "--event",
        "cabin-held=C14",
    ];
    let (cabin, total) = (row("cabin", "C14"), row("total", "held"));
    let meant = Commit::new(("HP 2026", 7))
        .key("hold-1")
        .check(cabin.field("state").eq("free"))
        .check(cabin.field("price").le(Value::Decimal { mantissa: -42_000, scale: 2 }))
        .check(cabin.field("until").gt(seawall::now()))
        .check(total.field("count").lt(total.field("limit")))
        .check(cabin.field("class").is_in(["a", "b"]))
        .check(cabin.exists())
        .check(row("cabin", "C15").absent())
        .check(cabin.version().eq(Position::new(3, 142)))
        .merge(&cabin, [("state", "held"), ("by", "007")])
        .merge(&row("note", "n"), [("text", "a=b")])
        .add(&total, "count", -1, (Edge::from(0), Edge::from(row("total", ("held", "x")).field("limit"))))
        .add(&total, "sum", Value::Decimal { mantissa: 450, scale: 2 }, ..)
        .delete(&row("cabin", "C16"))
        .event("cabin-held", "C14");
    assert_eq!(typed(&words), Ok(meant));
}

#[test]
fn wrong_arguments_are_told_the_right_form() {
    let set = ["--set", "cabin/C14.state=held"];
    let wrong: &[(&[&str], &str)] = &[
        (&[], "required arguments were not provided"),
        (&["P"], "add --set, --add, --delete or --event"),
        (&["P", "-f", "x.json"], "cannot be used with"),
        (&["-f", "x.json", "--set", "cabin/C14.state=held"], "cannot be used with"),
        (&["P", "--set", "cabin/C14"], "write TABLE/ROW.FIELD=VALUE, cabin/C14.state=held for example"),
        (&["P", "--set", "C14.state=held"], "write TABLE/ROW.FIELD, cabin/C14.state for example"),
        (&["P", "--set", "cabin/C14.n:int=x"], "write a whole number"),
        (&["P", set[0], set[1], set[0], set[1]], "cabin/C14.state is set twice"),
        (&["P", set[0], set[1], "--check", "cabin/C14.state"], "3 values required"),
        (&["P", set[0], set[1], "--check", "cabin/C14.state", "==", "free"], "write '=', '!='"),
        (
            &["P", set[0], set[1], "--check", "state", "=", "free"],
            "--check state = free: 'state' is no field",
        ),
        (&["P", set[0], set[1], "--check", "a/b.c", "=", "@later"], "'later' is no field"),
        (&["P", set[0], set[1], "--check", "a/b.c:int", "in", "1,x"], "'x' is no int"),
        (&["P", set[0], set[1], "--exists", "C14"], "write TABLE/ROW, cabin/C14 for example"),
        (&["P", set[0], set[1], "--unchanged", "cabin/C14"], "write TABLE/ROW=VERSION"),
        (&["P", set[0], set[1], "--unchanged", "cabin/C14=7"], "write EPOCH:INDEX"),
        (&["P", "--add", "total/held.count"], "write TABLE/ROW.FIELD=DELTA"),
        (&["P", "--add", "total/held.count=one"], "'one' is no number"),
        (&["P", "--add", "total/held.count=1,max=many"], "a bound is a number or @TABLE/ROW.FIELD"),
        (&["P", "--add", "total/held.count=1,max=1,max=2"], "',max=' is given twice"),
        (&["P", "--event", "cabin-held"], "write TOPIC=PAYLOAD"),
        (&["P", "--event", "cabin held=C14"], "'cabin held' is no topic"),
        (&["P", set[0], set[1], "--first-sent", "2026-07-14T18:30:00Z"], "--key"),
        (&["P", set[0], set[1], "--key", "k", "--first-sent", "now"], "write 2026-07-14T18:30:00Z"),
        (&["P", set[0], set[1], "--key", ""], "write text of 1 to 64 bytes"),
        (
            &["P", set[0], set[1], "--key", "session:07070707070707070707070707070707:3"],
            "choose a key of your own",
        ),
    ];
    for (words, expected) in wrong {
        let why = typed(words).expect_err(expected);
        assert!(why.contains(expected), "{words:?}: {why}");
    }
}
