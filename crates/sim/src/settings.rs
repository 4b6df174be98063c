//! Process-level knobs as the simulator understands them.
//!
//! Only the variables that change what the two models compute; anything else in an environment is
//! an error here, because a simulated run that ignores a knob would call it harmless.

use ccl_core::Environment;
use thiserror::Error;

/// What the process environment changes. `None` and the defaults are untuned NCCL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessSettings {
    /// `NCCL_P2P_DISABLE=1`: GPUs talk through host memory even where they could directly.
    pub p2p_disable: bool,
    /// `NCCL_NVLS_ENABLE=0`: no NVLink SHARP.
    pub nvls_disable: bool,
    /// `NCCL_BUFFSIZE`: bytes of the Simple buffer of one channel and peer (default 4 MiB).
    pub buffer_bytes: Option<u64>,
    /// `NCCL_MIN_NCHANNELS` / `NCCL_MIN_CTAS`.
    pub min_channels: Option<u32>,
    /// `NCCL_MAX_NCHANNELS` / `NCCL_MAX_CTAS`.
    pub max_channels: Option<u32>,
    /// `NCCL_NTHREADS`: threads per channel, LL and Simple.
    pub threads: Option<u32>,
    /// `NCCL_LL128_NTHREADS`: threads per channel, LL128.
    pub ll128_threads: Option<u32>,
    /// Channels the communicator is opened with for explicit choices to use, without a change to
    /// NCCL's own: no variable does that, a patched NCCL such as AutoCCL's does.
    pub opened_channels: Option<u32>,
}

/// Why an environment cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// The simulator does not know what this variable changes.
    #[error("the simulator does not model {name}")]
    NotModelled {
        /// The variable.
        name: String,
    },
    /// A value that is no number of the right kind.
    #[error("{name}={value:?} is not {expected}")]
    Value {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

impl ProcessSettings {
    /// The variables [`Self::from_environment`] understands.
    pub const MODELLED: [&'static str; 9] = [
        "NCCL_P2P_DISABLE",
        "NCCL_NVLS_ENABLE",
        "NCCL_BUFFSIZE",
        "NCCL_MIN_NCHANNELS",
        "NCCL_MAX_NCHANNELS",
        "NCCL_MIN_CTAS",
        "NCCL_MAX_CTAS",
        "NCCL_NTHREADS",
        "NCCL_LL128_NTHREADS",
    ];

    /// Reads the variables the simulator models.
    ///
    /// # Errors
    /// A variable it does not model, or a value that is not of the variable's type.
    pub fn from_environment(environment: &Environment) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for (name, value) in &environment.variables {
            let number = |expected| {
                value
                    .trim()
                    .parse::<u64>()
                    .map_err(|_| SettingsError::Value {
                        name: name.clone(),
                        value: value.clone(),
                        expected,
                    })
            };
            let small =
                |expected| number(expected).map(|n| Some(u32::try_from(n).unwrap_or(u32::MAX)));
            match name.as_str() {
                "NCCL_P2P_DISABLE" => settings.p2p_disable = number("0 or 1")? != 0,
                "NCCL_NVLS_ENABLE" => settings.nvls_disable = number("0, 1 or 2")? == 0,
                "NCCL_BUFFSIZE" => settings.buffer_bytes = Some(number("a size in bytes")?),
                "NCCL_MIN_NCHANNELS" | "NCCL_MIN_CTAS" => {
                    settings.min_channels = small("a channel count")?;
                }
                "NCCL_MAX_NCHANNELS" | "NCCL_MAX_CTAS" => {
                    settings.max_channels = small("a channel count")?;
                }
                "NCCL_NTHREADS" => settings.threads = small("a thread count")?,
                "NCCL_LL128_NTHREADS" => settings.ll128_threads = small("a thread count")?,
                _ => return Err(SettingsError::NotModelled { name: name.clone() }),
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str, value: &str) -> Environment {
        Environment {
            variables: [(name.to_owned(), value.to_owned())].into(),
        }
    }

    #[test]
    fn an_unmodelled_variable_is_an_error_not_a_shrug() {
        let error = ProcessSettings::from_environment(&environment("NCCL_IB_TC", "106"));
        assert_eq!(
            error.unwrap_err().to_string(),
            "the simulator does not model NCCL_IB_TC"
        );
        let error = ProcessSettings::from_environment(&environment("NCCL_BUFFSIZE", "8M"));
        assert!(error.unwrap_err().to_string().contains("a size in bytes"));
    }

    #[test]
    fn every_modelled_variable_changes_something() {
        for name in ProcessSettings::MODELLED {
            let value = if name == "NCCL_NVLS_ENABLE" {
                "0"
            } else {
                "64"
            };
            let settings = ProcessSettings::from_environment(&environment(name, value)).unwrap();
            assert_ne!(settings, ProcessSettings::default(), "{name}");
        }
    }
}
