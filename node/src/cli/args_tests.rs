//! What people type, and what they are told when it is wrong.

use super::*;

#[test]
fn values_are_what_they_look_like_unless_a_type_says_otherwise() {
    let field = |text: &str| field(text).expect("a field").1;
    assert_eq!(field("name:text=007"), Value::from("007"));
    assert_eq!(field("n=5"), Value::from(5));
    assert_eq!(field("n=-5"), Value::from(-5));
    assert_eq!(field("yes=true"), Value::from(true));
    assert_eq!(field("by=BK-88421"), Value::from("BK-88421"));
    assert_eq!(field("note=a=b"), Value::from("a=b"));
    assert_eq!(field("price:decimal=420.00"), Value::Decimal { mantissa: 42_000, scale: 2 });
    assert_eq!(field("born:time=2026-07-14T18:30:00Z"), Value::Time(1_784_053_800_000_000));
    assert_eq!(field("raw:bytes=00ff"), Value::Bytes(vec![0, 255]));
    assert_eq!(field("raw:bytes=b64:AP8="), Value::Bytes(vec![0, 255]));
    assert_eq!(field("tags:set=b,a"), Value::Set([b"a".to_vec(), b"b".to_vec()].into()));
    assert_eq!(field("tags:set="), Value::Set([].into()));
}

#[test]
fn a_wrong_field_is_told_the_right_form() {
    let wrong = [
        ("state", "write FIELD=VALUE or FIELD:TYPE=VALUE, state=held for example"),
        ("=held", "'' is no field's name"),
        ("a b=1", "letters, digits"),
        ("n:int=four", "'four' is no int: write a whole number, -7"),
        ("n:number=4", "'number' is no type: use text, int"),
        ("yes:bool=yes", "write true or false"),
        ("price:decimal=4,50", "write 420.00"),
        ("born:time=yesterday", "write 2026-07-14T18:30:00Z"),
        ("raw:bytes=hello", "write hex, 00ff, or base64"),
        ("raw:bytes=b64:=", "write hex, 00ff, or base64"),
    ];
    for (text, expected) in wrong {
        let why = field(text).expect_err(text);
        assert!(why.contains(expected), "{text}: {why}");
    }
}

#[test]
fn a_field_stands_behind_the_last_dot() {
    let path: FieldPath = "cabin/C.14,int:7.state:text".parse().expect("a path");
    assert_eq!(path.row.to_string(), "cabin/C.14,int:7");
    assert_eq!((path.field.as_str(), path.type_name.as_deref()), ("state", Some("text")));
    let path: FieldPath = "cabin/C14.a%2Eb".parse().expect("a path");
    assert_eq!(path.field, "a.b");
    for wrong in ["cabin/C14", "C14.state", "a/b/c.state", "cabin/C14.", "cabin/x:y.state"] {
        let why = FieldPath::from_str(wrong).expect_err(wrong);
        assert!(why.contains("write TABLE/ROW.FIELD") || why.contains("no field's name"), "{wrong}: {why}");
    }
}

#[test]
fn numbers_are_ints_or_decimals() {
    assert_eq!(number(None, "-7"), Ok(Value::from(-7)));
    assert_eq!(number(None, "4.50"), Ok(Value::Decimal { mantissa: 450, scale: 2 }));
    assert_eq!(number(Some("decimal"), "4"), Ok(Value::Decimal { mantissa: 4, scale: 0 }));
    assert!(number(None, "four").expect_err("no number").contains("a decimal, 4.50"));
    assert!(number(Some("text"), "4").expect_err("no number").contains("use int or decimal"));
}

#[test]
fn durations_have_units() {
    assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
    assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
    for wrong in ["", "5", "s", "1.5s", "-1s", "5 s", "5y", "99999999999999999999s"] {
        assert!(duration(wrong).expect_err(wrong).contains("write 500ms, 30s, 15m, 24h or 7d"));
    }
    assert!(ttl("0s").expect_err("no ttl").contains("1ms to ten years"));
    assert!(ttl("9999d").expect_err("no ttl").contains("1ms to ten years"));
    assert_eq!(ttl("30s").map(Ttl::ms), Ok(30_000));
}

#[test]
fn a_request_key_is_typed_as_it_is_shown() {
    for name in [&b"hold-1"[..], b"it's mine", b"\0\xff", b"bytes:00", b"session:1", "\u{7}".as_bytes()] {
        let typed = RequestName::typed(name);
        assert_eq!(typed.parse(), Ok(RequestName::Caller(name.to_owned())), "{typed}");
    }
    let session = SentKey::session([7; 16], 3, 0).to_string();
    assert_eq!(session.parse(), Ok(RequestName::Session([7; 16], 3)));
    let (long, bytes) = ("k".repeat(65), "00".repeat(65));
    for wrong in ["", "bytes:0", "bytes:", &format!("bytes:{bytes}"), "session:00:1", "session:x", &long] {
        assert!(wrong.parse::<RequestName>().expect_err(wrong).contains("is no request key: write"));
    }
}

#[test]
fn words_are_quoted_for_a_shell_where_they_must() {
    assert_eq!(quoted("HP-2026%2F1,int:7"), "HP-2026%2F1,int:7");
    assert_eq!(quoted("it's $5"), "'it'\\''s $5'");
    assert_eq!(quoted(""), "''");
}

#[test]
fn an_address_has_a_host_and_a_port_that_there_is() {
    for good in ["127.0.0.1:7411", "localhost:1", "node-1.example:65535", "[::1]:7411"] {
        assert_eq!(address(good), Ok(good.to_owned()));
    }
    assert!(addresses("127.0.0.1:7411, [::1]:7412").is_ok());
    let bad = [
        "nonsense",
        "127.0.0.1",
        "127.0.0.1:99999",
        "127.0.0.1:0",
        ":7411",
        "::1:7411",
        "[x]:1",
        "a b:1",
        "",
    ];
    for bad in bad.into_iter().chain(["http://127.0.0.1:7411", "127.0.0.1:7411/"]) {
        let why = address(bad).expect_err(bad);
        assert!(why.contains("HOST:PORT"), "{why}");
    }
    assert!(addresses("127.0.0.1:7411,").is_err());
}
