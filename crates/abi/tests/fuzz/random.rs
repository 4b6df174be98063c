//! What the fuzzers share: numbers that look random and come again, and how many cases to run.
//!
//! A plain loop over seeds: ten million cases take minutes, not hours. `CCL_FUZZ_CASES` sets how
//! many (20,000 without it), `CCL_FUZZ_FIRST` the first seed. A case that fails says its seed; a
//! fuzzer that keeps something from case to case has to run up to it again.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug, Default)]
pub struct Random(u64);

impl Random {
    /// Any number.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below another that is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.word() % limit
    }

    /// An index below a length that is not 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.index(all.len())]
    }

    /// A number at which code breaks: small, large, around a power of two, or any.
    pub fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => self.below(4),
            1 => self.below(100),
            2 => u64::MAX - self.below(4),
            3 => u64::MAX,
            4 | 5 => {
                let power = 1u64 << self.below(64);
                power.wrapping_add(self.below(3)).wrapping_sub(1)
            }
            6 => self.below(1 << 30),
            _ => self.word(),
        }
    }
}

/// Names the case that was at hand when a test failed.
struct Case(u64);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was the case of seed {}", self.0);
        }
    }
}

/// Runs the cases; how many there were.
pub fn cases(mut each: impl FnMut(&mut Random)) -> u64 {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap());
    let first = number("CCL_FUZZ_FIRST").unwrap_or(0);
    let count = number("CCL_FUZZ_CASES").unwrap_or(20_000);
    for seed in first..first + count {
        let case = Case(seed);
        // Neighbouring seeds must not give shifted copies of one sequence.
        let mut random = Random(seed);
        let mut random = Random(random.word());
        each(&mut random);
        drop(case);
    }
    count
}
