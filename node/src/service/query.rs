//! What stands behind the question mark of a request.

/// The value of each name that is known; what is not known is an error, and so is a name that stands there twice.
pub(super) fn read<const N: usize>(
    query: Option<&str>,
    known: [&str; N],
) -> Result<[Option<String>; N], String> {
    let mut values = [const { None }; N];
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = known.iter().position(|known| *known == name).and_then(|at| values.get_mut(at));
        let place =
            place.ok_or_else(|| format!("{name:?} is not known here; known: {}", known.join(", ")))?;
        if place.replace(value.to_owned()).is_some() {
            return Err(format!("{name:?} stands there twice"));
        }
    }
    Ok(values)
}

/// Percent-encoded bytes. `None`: a percent sign without its two digits.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'%' { digit(bytes.next())? << 4 | digit(bytes.next())? } else { byte });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named() {
        let read = |query| read(query, ["shard", "key"]);
        assert_eq!(read(None), Ok([None, None]));
        assert_eq!(read(Some("key=a%2Fb&&shard=2")), Ok([Some("2".into()), Some("a%2Fb".into())]));
        assert!(read(Some("chard=2")).is_err_and(|why| why.contains("chard") && why.contains("shard, key")));
        assert!(read(Some("key=1&key=2")).is_err_and(|why| why.contains("twice")));
        assert_eq!(decode("a%2Fb+%ff"), Some(b"a/b+\xff".to_vec()));
        assert_eq!((decode("%2"), decode("%zz"), decode("%")), (None, None, None));
    }
}
