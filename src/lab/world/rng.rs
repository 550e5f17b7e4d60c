//! Chance that can be repeated: SplitMix64 (Steele, Lea, Flood 2014), which passes BigCrush and needs
//! three lines.

use std::time::Duration;

/// A stream of numbers from a seed.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The stream of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly from 0 up to, but not including, 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit into the mantissa")]
    pub const fn share(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub const fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.share() < probability
    }

    /// Exponentially distributed with this mean: the waiting time for something without memory.
    pub fn exponential(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.share()).ln())
    }

    /// Evenly between two durations.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + to.saturating_sub(from).mul_f64(self.share())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_of_seed_0_are_the_published_ones() {
        let mut rng = Rng::new(0);
        assert_eq!(rng.number(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.number(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn chances_are_what_they_say() {
        let mut rng = Rng::new(7);
        let hits = (0..100_000).filter(|_| rng.chance(0.3)).count();
        assert!((29_000..31_000).contains(&hits), "{hits}");
        let mean = Duration::from_millis(30);
        let sum: Duration = (0..10_000).map(|_| rng.exponential(mean)).sum();
        assert!((28..32).contains(&(sum / 10_000).as_millis()), "{sum:?}");
    }
}
