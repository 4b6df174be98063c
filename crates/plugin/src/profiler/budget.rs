//! How many collectives are recorded when nobody says how many: all, as long as that takes no more than
//! a quarter of a percent of the time that goes by.
//!
//! What a record costs is counted by its events at prices that were measured. Time earns credit, records
//! spend it, and credit is kept for a while, so that the burst of an iteration that the GPU works on
//! for long is recorded whole. Only who enqueues without a pause for seconds is thinned out, to every second,
//! fourth, eighth collective. Those are nested (`is_sampled`): ranks that thin out differently still record
//! what the thinnest does.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Of so many nanoseconds one may be spent.
const SHARE: u64 = 400;
/// Most credit, nanoseconds: some ten thousand records.
const MOST_CREDIT_NS: i64 = 10_000_000;
/// Collectives between two looks at the clock.
const PERIOD: u64 = 64;
/// Of so many nanoseconds of credit one may go in a period.
const RESERVE: u64 = 16;
/// Thinnest: one collective in 2^16.
const MOST_ONE_IN: u64 = 1 << 16;

/// Prices, nanoseconds (doc/reference/plugin-cost.md).
const COLLECTIVE_NS: u64 = 350;
const KERNEL_NS: u64 = 50;
const TRANSFER_NS: u64 = 200;

/// On a cache line of its own: each collective reads it, and each record writes beside it.
#[derive(Debug)]
#[repr(align(64))]
struct Apart(AtomicU64);

/// The credit of a process.
#[derive(Debug)]
pub struct Budget {
    since_ns: AtomicU64,
    credit_ns: AtomicI64,
    /// What a record costs of late.
    price_ns: AtomicU64,
    one_in: Apart,
}

impl Budget {
    /// With full credit.
    pub fn new(now_ns: u64) -> Self {
        Self {
            since_ns: AtomicU64::new(now_ns),
            credit_ns: AtomicI64::new(MOST_CREDIT_NS),
            price_ns: AtomicU64::new(COLLECTIVE_NS),
            one_in: Apart(AtomicU64::new(1)),
        }
    }

    /// The collective with this number of its communicator is enqueued: one in how many is to be recorded.
    /// The clock is read now and then.
    pub fn one_in(&self, number: u64, now_ns: impl FnOnce() -> u64) -> u32 {
        if number % PERIOD == PERIOD - 1 {
            self.settle(now_ns());
        }
        u32::try_from(self.one_in.0.load(Relaxed)).unwrap_or(1)
    }

    /// A record was made, of so many kernel channels and transfers.
    pub fn spend(&self, kernels: u64, transfers: u64) {
        let cost = kernels
            .saturating_mul(KERNEL_NS)
            .saturating_add(transfers.saturating_mul(TRANSFER_NS))
            .saturating_add(COLLECTIVE_NS)
            .min(MOST_CREDIT_NS.unsigned_abs());
        self.credit_ns.fetch_sub(cost.cast_signed(), Relaxed);
        let before = self.price_ns.load(Relaxed);
        self.price_ns.store((before * 7 + cost) / 8, Relaxed);
    }

    /// Threads that settle at once may lose each other's change; the next period makes up for it.
    fn settle(&self, now_ns: u64) {
        let elapsed_ns = now_ns.saturating_sub(self.since_ns.swap(now_ns, Relaxed));
        let earned_ns = (elapsed_ns / SHARE).min(MOST_CREDIT_NS.unsigned_abs());
        let before = self.credit_ns.load(Relaxed);
        let credit = before.saturating_add(earned_ns.cast_signed());
        let credit = credit.clamp(-MOST_CREDIT_NS, MOST_CREDIT_NS);
        self.credit_ns.store(credit, Relaxed);
        let reserve_ns = u64::try_from(credit).unwrap_or(0) / RESERVE;
        let allowed_ns = (earned_ns + reserve_ns).max(1);
        let wanted_ns = PERIOD * self.price_ns.load(Relaxed);
        let one_in = wanted_ns.div_ceil(allowed_ns).min(MOST_ONE_IN);
        self.one_in.0.store(one_in.next_power_of_two(), Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod tests {
    use super::*;
    use crate::profiler::communicator::is_sampled;

    /// Enqueues collectives, of 24 channels each, and says how many were recorded. `pause_ns` after each
    /// `burst` of them, `gap_ns` between them.
    fn run(collectives: u64, gap_ns: u64, burst: u64, pause_ns: u64) -> (u64, u64) {
        let budget = Budget::new(0);
        let (mut now_ns, mut recorded) = (0, 0);
        for sequence in 0..collectives {
            let one_in = budget.one_in(sequence, || now_ns);
            if is_sampled(sequence, one_in) {
                budget.spend(24, 0);
                recorded += 1;
            }
            now_ns += gap_ns;
            if sequence % burst == burst - 1 {
                now_ns += pause_ns;
            }
        }
        (recorded, now_ns)
    }

    #[test]
    fn a_training_job_is_recorded_whole() {
        // A thousand calls in ten milliseconds, and then the GPU works for a second.
        let (recorded, _) = run(100_000, 10_000, 1000, 1_000_000_000);
        assert_eq!(recorded, 100_000);
    }

    #[test]
    fn who_never_pauses_is_thinned_out_to_the_share() {
        for gap_ns in [1_000, 10_000, 50_000] {
            let (recorded, elapsed_ns) = run(2_000_000, gap_ns, 1, 0);
            let price_ns = COLLECTIVE_NS + 24 * KERNEL_NS;
            let spent_ns = (recorded * price_ns).saturating_sub(MOST_CREDIT_NS.unsigned_abs());
            let share = spent_ns as f64 / elapsed_ns as f64;
            assert!(share <= 1.05 / SHARE as f64, "{gap_ns}: {share}");
            // And not to nothing: powers of two leave at most half of it unused.
            assert!(share >= 0.45 / SHARE as f64, "{gap_ns}: {share}");
        }
    }

    #[test]
    fn a_lull_brings_everything_back() {
        let budget = Budget::new(0);
        let mut last = 0;
        for sequence in 0..1_000_000 {
            last = budget.one_in(sequence, || sequence * 10_000);
            if is_sampled(sequence, last) {
                budget.spend(24, 0);
            }
        }
        assert!(last > 1);
        let later_ns = 10_000_000_000 + 3_000_000_000;
        assert_eq!(budget.one_in(PERIOD - 1, || later_ns), 1);
    }
}
