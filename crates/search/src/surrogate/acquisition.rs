//! Log expected improvement, without the underflow that makes most of a space look alike.
//!
//! Expected improvement is σ h(z) with h(z) = φ(z) + z Φ(z) and z standard deviations below the
//! best; some ten deviations off it is 0 in floating point, its logarithm is not (Ament et al.
//! 2023, Unexpected Improvements to Expected Improvement, eq. 9). It chooses no candidates.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::Posterior;

/// From here on down h is its asymptotic series; the next term is 15 z⁻⁴, below rounding.
const ASYMPTOTIC: f64 = -1e3;

/// The logarithm of the improvement to be expected of a point over `best`: of E[max(best - y, 0)],
/// all in logarithms of times. Minus infinity where nothing is uncertain and nothing is gained.
pub fn log_expected_improvement(posterior: Posterior, best: f64) -> f64 {
    let gain = best - posterior.mean;
    let deviation = posterior.variance.sqrt();
    if deviation > 0.0 {
        deviation.ln() + log_improvement_factor(gain / deviation)
    } else {
        gain.max(0.0).ln()
    }
}

/// ln(φ(z) + z Φ(z)).
pub fn log_improvement_factor(z: f64) -> f64 {
    let log_density = -0.5 * z * z - 0.5 * (2.0 * PI).ln();
    if z > -1.0 {
        let cumulative = 0.5 * complementary_error(-z * FRAC_1_SQRT_2);
        (log_density.exp() + z * cumulative).ln()
    } else if z > ASYMPTOTIC {
        // h = φ (1 - |z| M), M the ratio of Mills, Φ(z) / φ(z).
        let mills = (0.5 * PI).sqrt() * scaled_complementary_error(-z * FRAC_1_SQRT_2);
        log_density + (z * mills).ln_1p()
    } else {
        let square = z * z;
        log_density - square.ln() + (-3.0 / square).ln_1p()
    }
}

/// erfc(x) for any x.
fn complementary_error(x: f64) -> f64 {
    if x.abs() <= SMALL {
        1.0 - small_error(x)
    } else if x > 0.0 {
        (-x * x).exp() * scaled_complementary_error(x)
    } else {
        2.0 - (-x * x).exp() * scaled_complementary_error(-x)
    }
}

/// Up to here Cody approximates erf, beyond it erfc.
const SMALL: f64 = 0.46875;

/// exp(x²) erfc(x) for x ≥ 0, to about 16 digits (Cody 1969, Rational Chebyshev approximations for
/// the error function, Mathematics of Computation 23; coefficients as in SPECFUN's CALERF).
fn scaled_complementary_error(x: f64) -> f64 {
    const C: [f64; 9] = [
        2.153_115_354_744_038_5e-8,
        5.641_884_969_886_701e-1,
        8.883_149_794_388_376,
        6.611_919_063_714_163e1,
        2.986_351_381_974_001e2,
        8.819_522_212_417_69e2,
        1.712_047_612_634_070_6e3,
        2.051_078_377_826_071_5e3,
        1.230_339_354_797_997_2e3,
    ];
    const D: [f64; 9] = [
        1.0,
        1.574_492_611_070_983_5e1,
        1.176_939_508_913_125e2,
        5.371_811_018_620_099e2,
        1.621_389_574_566_690_2e3,
        3.290_799_235_733_459_6e3,
        4.362_619_090_143_247e3,
        3.439_367_674_143_721_6e3,
        1.230_339_354_803_749_4e3,
    ];
    const P: [f64; 6] = [
        1.631_538_713_730_209_8e-2,
        3.053_266_349_612_323_4e-1,
        3.603_448_999_498_044_4e-1,
        1.257_817_261_112_292_5e-1,
        1.608_378_514_874_228e-2,
        6.587_491_615_298_378e-4,
    ];
    const Q: [f64; 6] = [
        1.0,
        2.568_520_192_289_822,
        1.872_952_849_923_460_5,
        5.279_051_029_514_284e-1,
        6.051_834_131_244_132e-2,
        2.335_204_976_268_691_8e-3,
    ];
    if x <= SMALL {
        (x * x).exp() * (1.0 - small_error(x))
    } else if x <= 4.0 {
        polynomial(&C, x) / polynomial(&D, x)
    } else {
        let inverse_square = 1.0 / (x * x);
        let tail = inverse_square * polynomial(&P, inverse_square) / polynomial(&Q, inverse_square);
        (1.0 / PI.sqrt() - tail) / x
    }
}

/// erf(x) for |x| ≤ 0.46875 (Cody 1969).
fn small_error(x: f64) -> f64 {
    const A: [f64; 5] = [
        1.857_777_061_846_031_5e-1,
        3.161_123_743_870_565_6,
        1.138_641_541_510_501_6e2,
        3.774_852_376_853_02e2,
        3.209_377_589_138_469_5e3,
    ];
    const B: [f64; 5] = [
        1.0,
        2.360_129_095_234_412_1e1,
        2.440_246_379_344_441_7e2,
        1.282_616_526_077_372_3e3,
        2.844_236_833_439_171e3,
    ];
    let square = x * x;
    x * polynomial(&A, square) / polynomial(&B, square)
}

/// By Horner, highest power first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: f64, expected: f64, relative: f64) {
        let error = (found - expected).abs() / expected.abs();
        assert!(error < relative, "{found} is not {expected}");
    }

    /// References by mpmath with 60 digits.
    #[test]
    fn the_factor_has_its_digits_from_one_end_to_the_other() {
        for (z, expected) in [
            (-1e6, -500_000_000_028.55),
            (-1000.5, -500_514.860_451_838_24),
            (-999.0, -499_015.232_451_096_5),
            (-100.0, -5_010.129_578_800_25),
            (-30.0, -457.724_653_760_598),
            (-5.7, -20.728_847_422_913_99),
            (-1.0001, -2.485_311_456_445_883),
            (-0.999, -2.483_217_115_447_585_4),
            (-0.1, -1.047_153_314_072_846),
            (0.0, -0.918_938_533_204_672_7),
            (0.3, -0.567_817_153_677_937),
            (2.0, 0.697_383_545_788_228_3),
            (1000.0, 6.907_755_278_982_137),
        ] {
            close(log_improvement_factor(z), expected, 1e-11);
        }
    }

    #[test]
    fn the_complementary_error_function_is_accurate() {
        for (x, expected) in [
            (0.2, 0.777_297_410_789_521_5),
            (0.468_75, 0.507_386_526_782_062),
            (1.0, 0.157_299_207_050_285_13),
            (3.9, 3.479_224_859_723_177e-8),
            (4.1, 6.700_027_654_084_918e-9),
            (-0.3, 1.328_626_759_459_127_4),
            (-2.0, 1.995_322_265_018_952_7),
        ] {
            close(complementary_error(x), expected, 1e-13);
        }
        close(
            scaled_complementary_error(100.0),
            0.005_641_613_782_989_433,
            1e-14,
        );
    }

    proptest! {
        #[test]
        fn more_to_gain_and_less_certain_are_both_worth_more(
            mean in -5.0..5.0f64,
            deviation in 1e-6..2.0f64,
            better in 1e-3..1.0f64,
        ) {
            let at = |mean: f64, deviation: f64| {
                let posterior = Posterior { mean, variance: deviation * deviation };
                log_expected_improvement(posterior, 0.0)
            };
            prop_assert!(at(mean, deviation).is_finite());
            prop_assert!(at(mean - better, deviation) > at(mean, deviation));
            let wider = at(mean, deviation * (1.0 + better));
            prop_assert!(wider >= at(mean, deviation) - 1e-12);
        }
    }

    #[test]
    fn without_uncertainty_it_is_the_gain() {
        let sure = |mean| Posterior {
            mean,
            variance: 0.0,
        };
        assert_eq!(log_expected_improvement(sure(-2.0), 0.0), 2.0_f64.ln());
        assert_eq!(log_expected_improvement(sure(1.0), 0.0), f64::NEG_INFINITY);
    }
}
