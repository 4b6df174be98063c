//! What the plugin is asked to do, from the environment of the process.

use std::path::PathBuf;

/// What to do in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Apply a policy file.
    Static(PathBuf),
    /// Follow the decision logs in a job directory.
    Live(PathBuf),
    /// Leave everything to NCCL.
    Off(&'static str),
}

impl Mode {
    /// `CCL_AGENT_MODE` (`static`, `live` or `off`), the job directory in `CCL_AGENT_JOB`, and the
    /// policy in `CCL_AGENT_POLICY` or, as NVIDIA's
    /// example has it, `NCCL_TUNER_CONFIG_FILE`. A file that is named means `static`.
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
            (None | Some("" | "static"), None) => {
                Self::Off("no policy: name one in CCL_AGENT_POLICY or NCCL_TUNER_CONFIG_FILE")
            }
            (Some("observe"), _) => Self::Off("this mode is not built yet"),
            (Some(_), _) => Self::Off("CCL_AGENT_MODE is none of static, live, off"),
        }
    }
}

#[cfg(test)]
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
