//! The normal distribution function.

/// Beyond this many standard deviations the distribution function is 0 or 1 to double precision.
const EDGE: f64 = 8.3;

/// P(Z <= x) of a standard normal Z, to about 1e-15 (Marsaglia, "Evaluating the Normal
/// Distribution", Journal of Statistical Software 2004).
pub(super) fn distribution(x: f64) -> f64 {
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
            assert!((distribution(x) - p).abs() < 1e-14, "{x}");
        }
        assert_eq!((distribution(40.0), distribution(-40.0)), (1.0, 0.0));
    }
}
