//! A configuration in the forms that clusters take: pure text, no files.
//!
//! Only the CSVs and JSON hold a policy; environment files cannot, and say so in a comment
//! instead of losing it silently. JSON alone holds everything.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use thiserror::Error;

use crate::{Configuration, ParseNameError, TunerCsvError, write_policy_csv, write_tuner_csv};

/// A form to export to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// NCCL's tuner CSV; the policy only.
    NcclTunerCsv,
    /// The policy file of this project's plugin, which holds chunk sizes as well; the policy only.
    PolicyCsv,
    /// `NAME=value` lines as `docker --env-file` and `systemd` read them; no quoting.
    Env,
    /// NCCL's configuration file (`NCCL_CONF_FILE`, `~/.nccl.conf`, `/etc/nccl.conf`).
    NcclConf,
    /// A Kubernetes `ConfigMap` that holds the variables and the tuner CSV.
    ConfigMap,
    /// The whole configuration.
    Json,
}

impl ExportFormat {
    /// All forms.
    pub const ALL: [Self; 6] = [
        Self::NcclTunerCsv,
        Self::PolicyCsv,
        Self::Env,
        Self::NcclConf,
        Self::ConfigMap,
        Self::Json,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::NcclTunerCsv => "nccl-tuner-csv",
            Self::PolicyCsv => "policy-csv",
            Self::Env => "env",
            Self::NcclConf => "nccl-conf",
            Self::ConfigMap => "configmap",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ExportFormat {
    type Err = ParseNameError;
    fn from_str(given: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|f| f.name() == given)
            .ok_or_else(|| ParseNameError {
                what: "export format",
                given: given.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

/// Why a configuration has no such form.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExportError {
    /// The policy cannot be a tuner CSV.
    #[error(transparent)]
    TunerCsv(#[from] TunerCsvError),
    /// The CSV would lose the environment.
    #[error("a tuner CSV holds no variables, and the configuration sets {0}")]
    Variables(String),
    /// A variable that no line can hold.
    #[error("{name} cannot stand in a file of `NAME=value` lines: {what}")]
    Variable {
        /// The variable.
        name: String,
        /// What is wrong with name or value.
        what: &'static str,
    },
    /// A name that Kubernetes refuses.
    #[error(
        "{0:?} is no name for a ConfigMap: lower-case letters, digits, `-` and `.`, at most 253"
    )]
    Name(String),
}

/// NCCL copies at most 1,023 bytes of a value from its configuration file (`setEnvFile` in
/// `src/misc/param.cc`) and drops the rest.
const LONGEST_VALUE: usize = 1023;

/// The key of the tuner CSV in a `ConfigMap`.
const CSV_KEY: &str = "nccl-tuner.csv";

/// Renders a configuration. `name` is the `ConfigMap`'s name; the other forms ignore it.
///
/// # Errors
/// When the form cannot hold the configuration without losing or changing something.
pub fn export(
    configuration: &Configuration,
    format: ExportFormat,
    name: &str,
) -> Result<String, ExportError> {
    let variables = &configuration.environment.variables;
    match format {
        ExportFormat::NcclTunerCsv | ExportFormat::PolicyCsv => {
            if !variables.is_empty() {
                let names: Vec<_> = variables.keys().map(String::as_str).collect();
                return Err(ExportError::Variables(names.join(", ")));
            }
            Ok(if format == ExportFormat::PolicyCsv {
                write_policy_csv(&configuration.policy, &[])?
            } else {
                write_tuner_csv(&configuration.policy, &[])?
            })
        }
        ExportFormat::Env | ExportFormat::NcclConf => lines(configuration),
        ExportFormat::ConfigMap => config_map(configuration, name),
        ExportFormat::Json => {
            let mut text = serde_json::to_string_pretty(configuration).unwrap_or_default();
            text.push('\n');
            Ok(text)
        }
    }
}

/// Both kinds of `NAME=value` file: the same lines mean the same to docker and to NCCL.
fn lines(configuration: &Configuration) -> Result<String, ExportError> {
    let mut text = String::new();
    let rules = configuration.policy.rules.len();
    if rules > 0 {
        // No `=` here: NCCL before 2.26 does not know comments in its configuration file.
        let _ = writeln!(
            text,
            "# Not in this file: the per-call policy ({rules} rules). Export it with the format \
             nccl-tuner-csv and name that file in NCCL_TUNER_CONFIG_FILE."
        );
    }
    for (name, value) in &configuration.environment.variables {
        check_variable(name, value)?;
        let _ = writeln!(text, "{name}={value}");
    }
    Ok(text)
}

fn check_variable(name: &str, value: &str) -> Result<(), ExportError> {
    let error = |what| {
        Err(ExportError::Variable {
            name: name.to_owned(),
            what,
        })
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(plain) || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return error("a name is letters, digits and `_`");
    }
    if value.chars().any(char::is_control) {
        return error("the value holds a control character");
    }
    if value.len() > LONGEST_VALUE {
        return error("the value is longer than the 1,023 bytes NCCL keeps");
    }
    if value.trim() != value {
        return error("the value starts or ends with a space, which readers treat differently");
    }
    Ok(())
}

fn config_map(configuration: &Configuration, name: &str) -> Result<String, ExportError> {
    let label = |part: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        !part.is_empty()
            && part.bytes().all(|b| inner(b) || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(ExportError::Name(name.to_owned()));
    }
    let mut text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"{name}\"\n");
    let csv = if configuration.policy.rules.is_empty() {
        None
    } else {
        Some(write_tuner_csv(&configuration.policy, &[])?)
    };
    if csv.is_some() {
        let _ = writeln!(
            text,
            "# Mount {CSV_KEY} and name its path in NCCL_TUNER_CONFIG_FILE; take the variables \
             with envFrom."
        );
    }
    if csv.is_none() && configuration.environment.variables.is_empty() {
        text.push_str("data: {}\n");
        return Ok(text);
    }
    text.push_str("data:\n");
    for (name, value) in &configuration.environment.variables {
        check_variable(name, value)?;
        // Quoted, because YAML would read 1, yes and 0x10 as something else than text. What
        // check_variable lets through needs no other escapes than these two.
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(text, "  {name}: \"{quoted}\"");
    }
    if let Some(csv) = csv {
        let _ = writeln!(text, "  {CSV_KEY}: |");
        for line in csv.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Choice, Collective, CommShape, Environment, Policy, Protocol, Rule};

    fn configuration() -> Configuration {
        let variables = [
            ("NCCL_BUFFSIZE", "8388608"),
            ("NCCL_TOPO_FILE", "/a \"b\"\\c"),
        ];
        Configuration {
            environment: Environment {
                variables: variables.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
            },
            policy: Policy {
                rules: vec![Rule {
                    shape: CommShape::new(8, 1),
                    collective: Collective::AllReduce,
                    min_bytes: 4 << 20,
                    max_bytes: 128 << 20,
                    choice: Choice::new(Algorithm::Ring, Protocol::Simple),
                }],
            },
        }
    }

    #[test]
    fn environment_files_say_what_they_cannot_hold() {
        let text = export(&configuration(), ExportFormat::Env, "").unwrap();
        assert_eq!(
            text,
            "# Not in this file: the per-call policy (1 rules). Export it with the format \
             nccl-tuner-csv and name that file in NCCL_TUNER_CONFIG_FILE.\n\
             NCCL_BUFFSIZE=8388608\nNCCL_TOPO_FILE=/a \"b\"\\c\n"
        );
        assert_eq!(
            export(&configuration(), ExportFormat::NcclConf, ""),
            Ok(text)
        );
    }

    #[test]
    fn a_config_map_holds_variables_and_table() {
        let text = export(&configuration(), ExportFormat::ConfigMap, "nccl-tuned").unwrap();
        assert_eq!(
            text,
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \"nccl-tuned\"\n\
             # Mount nccl-tuner.csv and name its path in NCCL_TUNER_CONFIG_FILE; take the variables \
             with envFrom.\ndata:\n  NCCL_BUFFSIZE: \"8388608\"\n  NCCL_TOPO_FILE: \"/a \\\"b\\\"\\\\c\"\n  \
             nccl-tuner.csv: |\n    \
             # collective_type,min_bytes,max_bytes,algorithm,protocol,channels,nNodes,nRanks,numPipeOps,regBuff\n    \
             allreduce,4194304,134217728,ring,simple,-1,1,8,-1,-1\n"
        );
        for name in ["", "A", "a_b", "-a", "a..b"] {
            let error = export(&configuration(), ExportFormat::ConfigMap, name);
            assert_eq!(error, Err(ExportError::Name(name.to_owned())), "{name}");
        }
    }

    #[test]
    fn nothing_is_lost_silently() {
        let error = export(&configuration(), ExportFormat::NcclTunerCsv, "").unwrap_err();
        assert!(matches!(error, ExportError::Variables(_)));
        let mut odd = configuration();
        odd.environment
            .variables
            .insert("NCCL_X".to_owned(), "a\nb".to_owned());
        for format in [
            ExportFormat::Env,
            ExportFormat::NcclConf,
            ExportFormat::ConfigMap,
        ] {
            assert!(matches!(
                export(&odd, format, "x"),
                Err(ExportError::Variable { .. })
            ));
        }
    }

    #[test]
    fn json_reads_back() {
        let text = export(&configuration(), ExportFormat::Json, "").unwrap();
        let back: Configuration = serde_json::from_str(&text).unwrap();
        assert_eq!(back, configuration());
    }

    #[test]
    fn formats_have_the_names_of_the_contract() {
        for format in ExportFormat::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert!("yaml".parse::<ExportFormat>().is_err());
    }
}
