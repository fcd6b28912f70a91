//! Sorts by bytes that lie far away, as the keys of changes do: in the segments that were folded.
//!
//! Each key is looked at a few times, one behind the other, so that the machine can fetch many at once; a comparison looks
//! at what was fetched. Where keys are alike for long, as those of one table are, that costs one look, not one for each
//! comparison.

/// Fewer are sorted without further ado.
const FEW: usize = 12;
/// Bytes of a key in its rank.
const RANKED: usize = 7;

/// Stable.
pub(super) fn by_bytes<'k, T>(items: &mut [T], bytes: &impl Fn(&T) -> &'k [u8]) {
    behind(items, 0, bytes);
}

/// The same for items that are known to be alike for `skip` bytes.
fn behind<'k, T>(items: &mut [T], skip: usize, bytes: &impl Fn(&T) -> &'k [u8]) {
    if items.len() <= FEW {
        return items.sort_by(|a, b| bytes(a)[skip..].cmp(&bytes(b)[skip..]));
    }
    let first = bytes(&items[0]);
    let alike = items
        .iter()
        .fold(first.len(), |alike, item| skip + common(&first[skip..alike], &bytes(item)[skip..]));
    let rank = |item: &T| rank(&bytes(item)[alike..]);
    items.sort_by_cached_key(rank);
    for same in items.chunk_by_mut(|a, b| rank(a) == rank(b)) {
        if goes_on(rank(&same[0])) {
            behind(same, alike + RANKED, bytes);
        }
    }
}

/// How many bytes at their fronts are the same.
fn common(a: &[u8], b: &[u8]) -> usize {
    if b.starts_with(a) {
        return a.len();
    }
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Sorts as the bytes do, as far as it goes: the first of them, and how many there are, up to one more than that.
fn rank(bytes: &[u8]) -> u64 {
    let begin = bytes.first_chunk().copied().unwrap_or_else(|| {
        let mut begin = [0; RANKED + 1];
        begin.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte);
        begin
    });
    u64::from_be_bytes(begin) & !0xff | bytes.len().min(RANKED + 1) as u64
}

/// Whether those of this rank may differ further behind.
fn goes_on(rank: u64) -> bool {
    rank & 0xff > RANKED as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same numbers for every run.
    fn numbers() -> impl FnMut(usize) -> usize {
        let mut state = 7u64;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        }
    }

    #[test]
    fn it_sorts_as_the_bytes_do_and_leaves_equals_in_their_order() {
        let mut number = numbers();
        for round in 0..300 {
            let fronts: Vec<Vec<u8>> =
                (0..=round % 4).map(|_| (0..number(30)).map(|_| number(3) as u8).collect()).collect();
            let items: Vec<(Vec<u8>, usize)> = (0..number(400))
                .map(|nth| {
                    let mut key = fronts[number(fronts.len())].clone();
                    key.extend((0..number(12)).map(|_| [0, 0, 1, 255][number(4)]));
                    (key, nth)
                })
                .collect();
            let mut wanted = items.clone();
            wanted.sort(); // by the key, and then in their order
            let mut sorted: Vec<&(Vec<u8>, usize)> = items.iter().collect();
            by_bytes(&mut sorted, &|item| item.0.as_slice());
            assert!(sorted.iter().copied().eq(&wanted), "{round}");
        }
    }

    #[test]
    fn a_rank_sorts_as_the_bytes_do() {
        let keys: [&[u8]; 9] =
            [b"", b"\0", b"\0\0", b"a", b"a\0", b"abcdefg", b"abcdefg\0", b"abcdefgh", b"abcdefh"];
        for (a, b) in keys.iter().flat_map(|a| keys.iter().map(move |b| (a, b))) {
            let order = rank(a).cmp(&rank(b));
            assert!(order == a.cmp(b) || order.is_eq() && goes_on(rank(a)), "{a:?} {b:?}");
        }
    }
}
