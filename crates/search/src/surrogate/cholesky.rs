//! A dense Cholesky factor that grows by a row at a time, small and in plain `f64`.
//!
//! A search adds one observation after another, so the factor of what is known is kept and only a
//! row is computed for each (Golub and Van Loan, Matrix Computations, section 4.2: the row-oriented
//! form). Rows are contiguous: everything is dot products. It does not pivot and repairs nothing:
//! a matrix that is not positive definite is said to be one.

/// The lower factor L of a symmetric positive definite matrix L Lᵀ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cholesky {
    /// Row i begins at i (i + 1) / 2 and has i + 1 entries.
    rows: Vec<f64>,
    size: usize,
}

/// A pivot below this share of its diagonal entry is rounding, not a number.
const SMALLEST_PIVOT: f64 = 1e-13;

/// Where the packed row `index` begins.
pub(super) fn row_start(index: usize) -> usize {
    index * (index + 1) / 2
}

/// The sum of products, in eight running sums that the compiler keeps in vector registers. The
/// order of additions is fixed, so results are the same everywhere.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    let mut sums = [0.0; 8];
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7)) + rest
}

impl Cholesky {
    /// Number of rows.
    pub fn size(&self) -> usize {
        self.size
    }

    /// One row of L up to its diagonal.
    pub fn row(&self, index: usize) -> &[f64] {
        let start = row_start(index);
        &self.rows[start..start + index + 1]
    }

    /// Adds the next row of the matrix, up to and with its diagonal entry. `false`, and nothing
    /// added, where the matrix is then not positive definite or not finite.
    #[must_use]
    pub fn append(&mut self, row: &[f64]) -> bool {
        debug_assert_eq!(row.len(), self.size + 1);
        let start = self.rows.len();
        let (Some(diagonal), true) = (row.last(), row.len() == self.size + 1) else {
            return false;
        };
        self.rows.extend_from_slice(row);
        let (before, new) = self.rows.split_at_mut(start);
        for column in 0..self.size {
            let begin = row_start(column);
            let other = &before[begin..begin + column + 1];
            new[column] = (new[column] - dot(&new[..column], &other[..column])) / other[column];
        }
        let pivot = diagonal - dot(&new[..self.size], &new[..self.size]);
        if !(pivot.is_finite() && pivot > SMALLEST_PIVOT * diagonal) {
            self.rows.truncate(start);
            return false;
        }
        new[self.size] = pivot.sqrt();
        self.size += 1;
        true
    }

    /// Forgets all rows from this one on.
    pub fn truncate(&mut self, size: usize) {
        self.size = self.size.min(size);
        self.rows.truncate(row_start(self.size));
    }

    /// L⁻¹ b, in place.
    pub fn solve_lower(&self, b: &mut [f64]) {
        for index in 0..self.size {
            let row = self.row(index);
            b[index] = (b[index] - dot(&row[..index], &b[..index])) / row[index];
        }
    }

    /// L⁻ᵀ b, in place.
    pub fn solve_upper(&self, b: &mut [f64]) {
        for index in (0..self.size).rev() {
            let row = self.row(index);
            let value = b[index] / row[index];
            b[index] = value;
            for (entry, factor) in b[..index].iter_mut().zip(row) {
                *entry -= value * factor;
            }
        }
    }

    /// The logarithm of the matrix's determinant.
    pub fn log_determinant(&self) -> f64 {
        (0..self.size).map(|i| 2.0 * self.row(i)[i].ln()).sum()
    }

    /// The lower triangle of the matrix's inverse, packed by rows.
    pub fn inverse(&self) -> Vec<f64> {
        let n = self.size;
        // Column j of L⁻¹ from its diagonal down, stored as a row.
        let mut columns: Vec<Vec<f64>> = Vec::with_capacity(n);
        for j in 0..n {
            let mut column = Vec::with_capacity(n - j);
            column.push(1.0 / self.row(j)[j]);
            for i in j + 1..n {
                let row = self.row(i);
                column.push(-dot(&row[j..i], &column) / row[i]);
            }
            columns.push(column);
        }
        let mut inverse = Vec::with_capacity(row_start(n));
        for i in 0..n {
            for j in 0..=i {
                inverse.push(dot(&columns[i], &columns[j][i - j..]));
            }
        }
        inverse
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A Aᵀ + I for a random A, as packed lower rows.
    fn matrix(entries: &[f64], n: usize) -> Vec<Vec<f64>> {
        let at = |i: usize, k: usize| entries[(i * n + k) % entries.len()];
        (0..n)
            .map(|i| {
                (0..n)
                    .map(|j| {
                        let product: f64 = (0..n).map(|k| at(i, k) * at(j, k)).sum();
                        product + f64::from(u8::from(i == j))
                    })
                    .collect()
            })
            .collect()
    }

    fn factor(matrix: &[Vec<f64>]) -> Cholesky {
        let mut factor = Cholesky::default();
        for (i, row) in matrix.iter().enumerate() {
            assert!(factor.append(&row[..=i]));
        }
        factor
    }

    proptest! {
        #[test]
        fn solving_multiplies_back(
            entries in prop::collection::vec(-2.0..2.0f64, 150),
            n in 1usize..12,
        ) {
            let a = matrix(&entries, n);
            let factor = factor(&a);
            let b: Vec<f64> = (0..n).map(|i| entries[i * 7 % 150]).collect();
            let mut x = b.clone();
            factor.solve_lower(&mut x);
            factor.solve_upper(&mut x);
            let inverse = factor.inverse();
            for i in 0..n {
                let back: f64 = (0..n).map(|j| a[i][j] * x[j]).sum();
                prop_assert!((back - b[i]).abs() < 1e-8);
                let by_inverse: f64 = (0..n)
                    .map(|j| inverse[row_start(i.max(j)) + i.min(j)] * b[j])
                    .sum();
                prop_assert!((by_inverse - x[i]).abs() < 1e-8);
            }
        }

        #[test]
        fn rows_taken_off_leave_the_factor_as_it_was(
            entries in prop::collection::vec(-2.0..2.0f64, 150),
        ) {
            let a = matrix(&entries, 9);
            let short = factor(&a[..5]);
            let mut long = factor(&a);
            long.truncate(5);
            prop_assert_eq!(long, short);
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_refused_and_nothing_changes() {
        let mut factor = Cholesky::default();
        assert!(factor.append(&[1.0]));
        let before = factor.clone();
        assert!(!factor.append(&[1.0, 1.0]));
        assert!(!factor.append(&[2.0, 1.0]));
        assert!(!factor.append(&[f64::NAN, 1.0]));
        assert_eq!(factor, before);
        assert_eq!(factor.log_determinant(), 0.0);
    }
}
