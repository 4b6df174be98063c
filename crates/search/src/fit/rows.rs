//! From a window to rows of the tuner table. A window may need several: the sweep named an
//! algorithm, and NCCL changes its protocol on the way.

use ccl_core::Choice;

use super::{CurveKey, FittedRow, PairBasis, ProtocolModel};

/// The rows of a window of these sizes (ascending) and choices.
///
/// Between two sizes whose protocol the model gave, the model also says where it changes. Where
/// a log gave it, nobody knows: the sizes between are left to NCCL.
pub(super) fn of(
    key: &CurveKey,
    sizes: &[(u64, (Choice, PairBasis))],
    protocol: ProtocolModel<'_>,
) -> Vec<FittedRow> {
    let mut rows: Vec<FittedRow> = Vec::new();
    for &(bytes, (choice, basis)) in sizes {
        if let Some(row) = rows.last_mut() {
            if row.choice == choice && row.basis == basis {
                row.max_bytes = bytes;
                continue;
            }
            if (row.basis, basis) == (PairBasis::Model, PairBasis::Model) {
                change_over(key, &mut rows, bytes, protocol);
                if let Some(row) = rows.last_mut().filter(|row| row.choice == choice) {
                    row.max_bytes = bytes;
                    continue;
                }
            }
        }
        rows.push(FittedRow {
            min_bytes: bytes,
            max_bytes: bytes,
            choice,
            basis,
        });
    }
    rows
}

/// Extends the last row up to where the model leaves its protocol, then opens the next one, until
/// just below `end`.
fn change_over(key: &CurveKey, rows: &mut Vec<FittedRow>, end: u64, protocol: ProtocolModel<'_>) {
    while let Some(row) = rows.last_mut().filter(|row| row.max_bytes < end) {
        let Choice { algorithm, .. } = row.choice;
        let same = |bytes: u64| protocol(key, algorithm, bytes) == Some(row.choice.protocol);
        // Invariant: the row's protocol at `low`, another one at `high`.
        let (mut low, mut high) = (row.max_bytes, end);
        if same(high) {
            row.max_bytes = end;
            return;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if same(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        row.max_bytes = low;
        let Some(next) = protocol(key, algorithm, high) else {
            return;
        };
        let choice = Choice {
            protocol: next,
            ..row.choice
        };
        rows.push(FittedRow {
            min_bytes: high,
            max_bytes: high,
            choice,
            basis: PairBasis::Model,
        });
    }
}
