//! Which of the known kinds of sweep a text is, and reading it as that kind.

use std::fmt;

use thiserror::Error;

use super::{
    NcclTestsOptions, Sweep, SweepError, measured, nccl_tests, read_measured_csv, read_nccl_tests,
    read_tuner_example_csv, tuner_example,
};

/// A kind of sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepFormat {
    /// One row per point with machine facts; see [`read_measured_csv`].
    MeasuredCsv,
    /// What `all_reduce_perf` and its siblings print; see [`read_nccl_tests`].
    NcclTests,
    /// The performance CSV of NVIDIA's tuner example; see [`read_tuner_example_csv`].
    TunerExampleCsv,
}

impl SweepFormat {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::MeasuredCsv, Self::NcclTests, Self::TunerExampleCsv];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::MeasuredCsv => "measured-csv",
            Self::NcclTests => "nccl-tests",
            Self::TunerExampleCsv => "tuner-example-csv",
        }
    }

    /// What gives the kind away.
    fn mark(self) -> &'static str {
        match self {
            Self::MeasuredCsv => "a header with gpu, nodes, ranks, collective, bytes, busbw_gbs",
            Self::NcclTests => "a line `# nThread ... minBytes ...`",
            Self::TunerExampleCsv => "a header with collective, size_bytes, algorithm, protocol",
        }
    }

    fn matches(self, text: &str) -> bool {
        let has_header = |columns: &[&str]| {
            text.lines().any(|line| {
                let fields: Vec<_> = line.split(',').map(str::trim).collect();
                columns.iter().all(|c| fields.contains(c))
            })
        };
        match self {
            Self::MeasuredCsv => has_header(&measured::REQUIRED),
            Self::TunerExampleCsv => has_header(&tuner_example::REQUIRED),
            Self::NcclTests => text.lines().any(nccl_tests::is_run_header),
        }
    }
}

impl fmt::Display for SweepFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text whose kind cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnknownFormat {
    /// It looks like none.
    #[error("the text is no known kind of sweep; looked for {looked_for}")]
    None {
        /// What would have given a kind away.
        looked_for: String,
    },
    /// It looks like several.
    #[error("the text looks like {} and like {}", .0[0], .0[1])]
    Several([SweepFormat; 2]),
}

/// Tells the kind of a text.
///
/// # Errors
/// When it looks like none of them, or like more than one.
pub fn detect_format(text: &str) -> Result<SweepFormat, UnknownFormat> {
    let mut matching = SweepFormat::ALL.into_iter().filter(|f| f.matches(text));
    match (matching.next(), matching.next()) {
        (Some(format), None) => Ok(format),
        (Some(first), Some(second)) => Err(UnknownFormat::Several([first, second])),
        (None, _) => Err(UnknownFormat::None {
            looked_for: SweepFormat::ALL
                .map(|f| format!("{} ({f})", f.mark()))
                .join(", "),
        }),
    }
}

/// Reads a text of a known kind. `dataset` names the file where the text does not name itself;
/// `options` matter to nccl-tests only.
///
/// # Errors
/// The first line that cannot be read.
pub fn read_sweep(
    text: &str,
    format: SweepFormat,
    dataset: &str,
    options: &NcclTestsOptions,
) -> Result<Sweep, SweepError> {
    match format {
        SweepFormat::MeasuredCsv => read_measured_csv(text),
        SweepFormat::NcclTests => read_nccl_tests(text, dataset, options),
        SweepFormat::TunerExampleCsv => read_tuner_example_csv(text, dataset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: &str = "gpu,nodes,ranks,collective,bytes,algorithm,busbw_gbs\n";
    const EXAMPLE: &str =
        "collective,size_bytes,algorithm,protocol,channels,nodes,ranks,latency_us\n";
    const TESTS: &str = "# nThread 1 nGpus 8 minBytes 8 maxBytes 128 step: 2(factor)\n";

    #[test]
    fn each_kind_is_told_and_two_at_once_are_refused() {
        assert_eq!(detect_format(MEASURED), Ok(SweepFormat::MeasuredCsv));
        assert_eq!(detect_format(EXAMPLE), Ok(SweepFormat::TunerExampleCsv));
        assert_eq!(detect_format(TESTS), Ok(SweepFormat::NcclTests));
        let both = detect_format(&format!("{MEASURED}{TESTS}")).unwrap_err();
        assert_eq!(
            both.to_string(),
            "the text looks like measured-csv and like nccl-tests"
        );
        assert!(matches!(
            detect_format("hello"),
            Err(UnknownFormat::None { .. })
        ));
    }
}
