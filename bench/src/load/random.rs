//! Chance that is the same in every run: numbers, and which row is wanted next.

use super::options::Dist;

/// xorshift64*: a few instructions a draw, and good enough to choose keys.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Each stream is another sequence.
    pub fn stream(number: u64) -> Random {
        Random(0x9e37_79b9_7f4a_7c15 ^ (number + 1).wrapping_mul(0xd1b5_4a32_d192_ed03) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`: the upper half of a product, without a division.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// From 0 up to, but not including, 1: as many bits as a double has.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Chooses among rows 0 to `keys` - 1.
#[derive(Clone, Debug)]
pub enum Choice {
    Uniform { keys: usize },
    Hot { keys: usize, hot: usize },
    Zipf(Zipf),
}

impl Choice {
    pub fn new(dist: Dist, keys: usize) -> Choice {
        match dist {
            Dist::Uniform => Choice::Uniform { keys },
            Dist::Hot => Choice::Hot { keys, hot: (keys / 100).max(1) },
            Dist::Zipf => Choice::Zipf(Zipf::new(keys)),
        }
    }

    pub fn draw(&self, random: &mut Random) -> usize {
        match self {
            Choice::Uniform { keys } => random.below(*keys),
            Choice::Hot { keys, hot } => {
                let among = if random.below(10) < 9 { *hot } else { *keys };
                random.below(among)
            }
            Choice::Zipf(zipf) => zipf.draw(random),
        }
    }
}

/// What the n-th most wanted row is wanted in proportion to: n to the power of minus this.
const SKEW: f64 = 0.99;

/// Zipf's law by rejection-inversion (Hörmann and Derflinger, 1996): the area under the continuous curve is inverted,
/// and what lies outside of the steps is drawn again, which is rare. It needs no table, however many rows there are.
#[derive(Clone, Debug)]
pub struct Zipf {
    keys: f64,
    /// The area from which is drawn: up to the middle behind the last step, from where the first step begins.
    whole: f64,
    first: f64,
    /// A draw this close below its step is within it for certain.
    sure: f64,
}

impl Zipf {
    fn new(keys: usize) -> Zipf {
        let keys = keys as f64;
        Zipf {
            keys,
            whole: area(keys + 0.5),
            first: area(1.5) - 1.0,
            sure: 2.0 - area_inverse(area(2.5) - height(2.0)),
        }
    }

    fn draw(&self, random: &mut Random) -> usize {
        loop {
            let under = self.whole + random.unit() * (self.first - self.whole);
            let at = area_inverse(under);
            let step = at.round().clamp(1.0, self.keys);
            if step - at <= self.sure || under >= area(step + 0.5) - height(step) {
                return step as usize - 1;
            }
        }
    }
}

fn height(x: f64) -> f64 {
    x.powf(-SKEW)
}

/// An antiderivative of the height.
fn area(x: f64) -> f64 {
    x.powf(1.0 - SKEW) / (1.0 - SKEW)
}

fn area_inverse(area: f64) -> f64 {
    (area * (1.0 - SKEW)).powf(1.0 / (1.0 - SKEW))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 200_000;

    fn counts(dist: Dist, keys: usize) -> Vec<usize> {
        let (choice, mut random, mut counts) = (Choice::new(dist, keys), Random::stream(1), vec![0; keys]);
        (0..DRAWS).for_each(|_| counts[choice.draw(&mut random)] += 1);
        counts
    }

    /// The draws are the same in every run, so the margins are no matter of luck: five standard deviations.
    fn assert_near(seen: usize, probability: f64, what: &str) {
        let expected = DRAWS as f64 * probability;
        let margin = 5.0 * (expected * (1.0 - probability)).sqrt();
        assert!(
            (seen as f64 - expected).abs() <= margin,
            "{what}: {seen}, expected {expected:.0} +- {margin:.0}"
        );
    }

    #[test]
    fn uniform_wants_all_rows_alike() {
        counts(Dist::Uniform, 50).iter().for_each(|count| assert_near(*count, 0.02, "a row"));
    }

    #[test]
    fn zipf_wants_rows_as_its_law_says() {
        for keys in [1, 2, 10, 1000] {
            let counts = counts(Dist::Zipf, keys);
            let total: f64 = (1..=keys).map(|n| height(n as f64)).sum();
            for n in 1..=keys {
                assert_near(counts[n - 1], height(n as f64) / total, &format!("row {n} of {keys}"));
            }
        }
    }

    #[test]
    fn hot_wants_a_hundredth_nine_times_of_ten() {
        let counts = counts(Dist::Hot, 1000);
        // The others want all rows, the hot ones too.
        assert_near(counts[..10].iter().sum(), 0.9 + 0.1 * 0.01, "the hot rows");
        assert_near(counts[10..505].iter().sum(), 0.1 * 0.495, "half of the others");
        assert_eq!(counts_of_few(), DRAWS, "of few rows one is hot");
    }

    fn counts_of_few() -> usize {
        counts(Dist::Hot, 1)[0]
    }
}
