//! Chance that is the same in every run.

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
}
