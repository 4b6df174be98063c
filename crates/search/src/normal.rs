//! The normal distribution function.
//!
//! One for everybody but the logarithm of expected improvement, which needs the far tails and has
//! them from a complementary error function of its own.

/// Beyond this many standard deviations the distribution function is 0 or 1 to double precision.
const EDGE: f64 = 8.3;

/// P(Z <= x) of a standard normal Z, to about 1e-15 (Marsaglia, "Evaluating the Normal
/// Distribution", Journal of Statistical Software 2004).
pub(crate) fn cumulative(x: f64) -> f64 {
    if x.abs() >= EDGE || x.is_nan() {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut sum, mut before, mut i) = (x, x, 0.0, 1.0);
    #[allow(clippy::float_cmp)] // the series ends when a term no longer counts
    while sum != before {
        i += 2.0;
        before = sum;
        term *= x * x / i;
        sum += term;
    }
    let density = (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    (0.5 + sum * density).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_tables() {
        for (x, p) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (-1.959_963_984_540_054, 0.025),
            (3.090_232_306_167_813, 0.999),
            (-5.0, 2.866_515_718_791_94e-7),
        ] {
            assert!((cumulative(x) - p).abs() < 1e-14, "{x}");
        }
        assert_eq!((cumulative(40.0), cumulative(-40.0)), (1.0, 0.0));
    }

    #[test]
    fn it_agrees_with_abramowitz_and_stegun() {
        // Abramowitz and Stegun, table 26.1.
        for (x, expected) in [
            (0.0, 0.5),
            (0.5, 0.691_462_461_274_013),
            (1.0, 0.841_344_746_068_543),
            (2.0, 0.977_249_868_051_821),
            (-3.0, 0.001_349_898_031_630),
            (-9.0, 0.0),
        ] {
            assert!((cumulative(x) - expected).abs() < 1e-14, "at {x}");
        }
    }
}
