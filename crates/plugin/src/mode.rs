//! What the plugin is asked to do, from the environment of the process.

use std::path::PathBuf;

/// What to do in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Apply a policy file.
    Static(PathBuf),
    /// Follow the decision logs in a job directory.
    Live(PathBuf),
    /// Decide nothing; collectives are recorded in a job directory.
    Observe(PathBuf),
    /// Leave everything to NCCL.
    Off(&'static str),
}

/// How much of each collective is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What NCCL chose, not how long it took.
    Collectives,
    /// And the kernels on the GPU.
    Kernels,
    /// And every network transfer.
    Transfers,
}

/// What the profiler is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Where the ring goes.
    pub job: PathBuf,
    /// How much.
    pub depth: Depth,
    /// One collective in this many; `None`: as many as cost little (`profiler::budget`).
    pub one_in: Option<u32>,
    /// The durations come from a simulation, and are marked so.
    pub is_simulated: bool,
}

impl Mode {
    /// `CCL_AGENT_MODE` (`static`, `live`, `observe` or `off`), the job directory in
    /// `CCL_AGENT_JOB`, and the policy in `CCL_AGENT_POLICY` or, as NVIDIA's example has it,
    /// `NCCL_TUNER_CONFIG_FILE`. A file that is named means `static`; a directory alone, `observe`.
    pub fn from(variable: impl Fn(&str) -> Option<String>) -> Self {
        let file = variable("CCL_AGENT_POLICY")
            .or_else(|| variable("NCCL_TUNER_CONFIG_FILE"))
            .filter(|name| !name.is_empty())
            .map(PathBuf::from);
        let job = variable("CCL_AGENT_JOB")
            .filter(|name| !name.is_empty())
            .map(PathBuf::from);
        match (variable("CCL_AGENT_MODE").as_deref(), file) {
            (Some("live"), _) => match job {
                Some(job) => Self::Live(job),
                None => Self::Off("live, but CCL_AGENT_JOB names no directory"),
            },
            (Some("off"), _) => Self::Off("switched off by CCL_AGENT_MODE"),
            (None | Some("" | "static"), Some(file)) => Self::Static(file),
            (Some("observe"), _) => match job {
                Some(job) => Self::Observe(job),
                None => Self::Off("observe, but CCL_AGENT_JOB names no directory"),
            },
            (None | Some("" | "static"), None) => match job {
                Some(job) if variable("CCL_AGENT_MODE").is_none_or(|mode| mode.is_empty()) => {
                    Self::Observe(job)
                }
                _ => Self::Off("no policy: name one in CCL_AGENT_POLICY or NCCL_TUNER_CONFIG_FILE"),
            },
            (Some(_), _) => Self::Off("CCL_AGENT_MODE is none of static, live, observe, off"),
        }
    }

    /// What to record, wherever a job directory is named and the mode is not `off`: everything, and of so
    /// many collectives as cost little. `CCL_AGENT_DEPTH` (`collectives`, `kernels`, `transfers`) asks for
    /// less, and `CCL_AGENT_SAMPLE` for one in exactly so many; what cannot be read of them means nothing
    /// is recorded.
    pub fn recording(variable: impl Fn(&str) -> Option<String>) -> Option<Recording> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        if variable("CCL_AGENT_MODE").as_deref() == Some("off") {
            return None;
        }
        let depth = match variable("CCL_AGENT_DEPTH").as_deref() {
            None | Some("transfers") => Depth::Transfers,
            Some("kernels") => Depth::Kernels,
            Some("collectives") => Depth::Collectives,
            Some(_) => return None,
        };
        let one_in = match variable("CCL_AGENT_SAMPLE") {
            None => None,
            Some(text) => Some(text.parse().ok().filter(|n| *n > 0)?),
        };
        Some(Recording {
            job: PathBuf::from(variable("CCL_AGENT_JOB")?),
            depth,
            one_in,
            is_simulated: variable("CCL_AGENT_SIMULATED").as_deref() == Some("1"),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mode(variables: &[(&str, &str)]) -> Mode {
        Mode::from(|name| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_job_directory_is_recorded_in_unless_it_is_off() {
        let recording = |variables: &[(&str, &str)]| {
            Mode::recording(|name| {
                let found = variables.iter().find(|(n, _)| *n == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let job = ("CCL_AGENT_JOB", "d");
        assert_eq!(mode(&[job]), Mode::Observe(PathBuf::from("d")));
        let all = recording(&[job]).unwrap();
        assert_eq!(
            (all.depth, all.one_in, all.is_simulated),
            (Depth::Transfers, None, false)
        );
        let less = [
            job,
            ("CCL_AGENT_DEPTH", "kernels"),
            ("CCL_AGENT_SAMPLE", "10"),
        ];
        let less = recording(&less).unwrap();
        assert_eq!((less.depth, less.one_in), (Depth::Kernels, Some(10)));
        for nothing in [
            vec![],
            vec![job, ("CCL_AGENT_MODE", "off")],
            vec![job, ("CCL_AGENT_DEPTH", "abyss")],
            vec![job, ("CCL_AGENT_SAMPLE", "0")],
        ] {
            assert_eq!(recording(&nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_named_file_is_applied_and_any_doubt_is_off() {
        let file = |name: &str| Mode::Static(PathBuf::from(name));
        assert_eq!(mode(&[("NCCL_TUNER_CONFIG_FILE", "a")]), file("a"));
        let live = [("CCL_AGENT_MODE", "live"), ("CCL_AGENT_JOB", "d")];
        assert_eq!(mode(&live), Mode::Live(PathBuf::from("d")));
        let both = [("NCCL_TUNER_CONFIG_FILE", "a"), ("CCL_AGENT_POLICY", "b")];
        assert_eq!(mode(&both), file("b"));
        for off in [
            vec![],
            vec![("CCL_AGENT_POLICY", "")],
            vec![("CCL_AGENT_POLICY", "a"), ("CCL_AGENT_MODE", "off")],
            vec![("CCL_AGENT_POLICY", "a"), ("CCL_AGENT_MODE", "turbo")],
            vec![("CCL_AGENT_POLICY", "a"), ("CCL_AGENT_MODE", "live")],
        ] {
            assert!(matches!(mode(&off), Mode::Off(_)), "{off:?}");
        }
    }
}
