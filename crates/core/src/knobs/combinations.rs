//! Settings that contradict, cancel or endanger each other.
//!
//! Each rule looks at the whole environment and points at the variable to change. Values are taken
//! as NCCL reads them; a variable that this NCCL does not have takes part in no rule.

mod choices;
mod infiniband;

use super::check::CheckContext;
use super::finding::{Finding, Place, Rule, Severity};
use super::{catalogue, read_c_integer};
use crate::Environment;

/// `MAX_SOCKETS`, src/transport/net_socket.cc.
const MAX_SOCKETS: i64 = 64;
/// `NCCL_STEPS`, src/include/device.h: a buffer is used in this many steps.
const STEPS: i64 = 8;
/// `DEFAULT_BUFFSIZE`, src/init.cc.
const DEFAULT_BUFFER: i64 = 4 << 20;

/// The environment as NCCL sees it.
struct Settings<'a> {
    environment: &'a Environment,
    context: &'a CheckContext,
    findings: Vec<Finding>,
}

/// Everything to say about variables together.
pub(super) fn check(environment: &Environment, context: &CheckContext) -> Vec<Finding> {
    let mut settings = Settings {
        environment,
        context,
        findings: Vec::new(),
    };
    settings.channels();
    settings.sockets();
    settings.chunks();
    settings.transports();
    settings.infiniband();
    settings.nvlink();
    settings.choices();
    settings.launch();
    settings.findings
}

impl<'a> Settings<'a> {
    /// The value of a variable that is set, not empty, and there in this NCCL.
    fn text(&self, name: &str) -> Option<&'a str> {
        let known = catalogue::find(name).is_some_and(|k| k.exists_in(self.context.version()));
        self.environment
            .get(name)
            .filter(|v| known && !v.is_empty())
    }

    /// The same as a number, unless it is the one that means "NCCL decides".
    fn number(&self, name: &str) -> Option<i64> {
        let read = read_c_integer(self.text(name)?).value;
        let automatic = catalogue::find(name).and_then(|k| k.automatic);
        (automatic != Some(read)).then_some(read)
    }

    fn is(&self, name: &str, value: i64) -> bool {
        self.number(name) == Some(value)
    }

    fn say(
        &mut self,
        severity: Severity,
        variable: &str,
        related: &[&str],
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let finding = Finding::new(
            severity,
            Rule::Combination,
            variable,
            Place::Value(0),
            reason,
            fix,
        );
        self.findings.push(finding.related(related));
    }

    /// The variables of a prefix that are set, in order.
    fn with_prefix(&self, prefix: &str) -> Vec<&'a str> {
        let names = self.environment.variables.keys().map(String::as_str);
        names
            .filter(|n| n.starts_with(prefix) && self.text(n).is_some())
            .collect()
    }

    // src/graph/connect.cc: the higher minimum and the lower maximum count, the maximum first.
    fn channels(&mut self) {
        const MINIMA: [&str; 3] = ["NCCL_MIN_CTAS", "NCCL_MIN_NCHANNELS", "NCCL_MIN_NRINGS"];
        const MAXIMA: [&str; 3] = ["NCCL_MAX_CTAS", "NCCL_MAX_NCHANNELS", "NCCL_MAX_NRINGS"];
        let set = |names: [&'static str; 3]| {
            names
                .map(|n| Some((self.number(n)?, n)))
                .into_iter()
                .flatten()
        };
        let least = set(MINIMA).max_by_key(|(n, _)| *n);
        let most = set(MAXIMA).min_by_key(|(n, _)| *n);
        if let (Some((least, minimum)), Some((most, maximum))) = (least, most)
            && least > most
        {
            self.say(
                Severity::Error,
                minimum,
                &[maximum],
                format!("{minimum}={least} is above {maximum}={most}"),
                format!("raise {maximum} or lower {minimum}"),
            );
        }
        let (least, most) = (
            self.number("NCCL_MIN_P2P_NCHANNELS"),
            self.number("NCCL_MAX_P2P_NCHANNELS"),
        );
        if let (Some(least), Some(most)) = (least, most)
            && least > most
        {
            self.say(
                Severity::Error,
                "NCCL_MIN_P2P_NCHANNELS",
                &["NCCL_MAX_P2P_NCHANNELS"],
                format!("the minimum {least} is above the maximum {most}; the minimum wins"),
                "raise NCCL_MAX_P2P_NCHANNELS or lower NCCL_MIN_P2P_NCHANNELS",
            );
        }
    }

    fn sockets(&mut self) {
        const THREADS: &str = "NCCL_SOCKET_NTHREADS";
        const PER_THREAD: &str = "NCCL_NSOCKS_PERTHREAD";
        let Some(per_thread) = self.number(PER_THREAD) else {
            return;
        };
        match self.number(THREADS) {
            Some(threads) if threads.saturating_mul(per_thread) > MAX_SOCKETS => {
                let most = MAX_SOCKETS / threads.max(1);
                self.say(
                    Severity::Error,
                    PER_THREAD,
                    &[THREADS],
                    format!("{THREADS} x {PER_THREAD} = {} is above {MAX_SOCKETS} sockets: NCCL uses {most} per thread", threads.saturating_mul(per_thread)),
                    format!("write at most {most}, or fewer threads"),
                );
            }
            None => self.say(
                Severity::Note,
                PER_THREAD,
                &[THREADS],
                format!("without {THREADS} there are helper threads on AWS and Google Cloud only; elsewhere it has no effect"),
                format!("set {THREADS} as well"),
            ),
            Some(_) => {}
        }
    }

    // src/init.cc (computeBuffSizes), src/enqueue.cc (calcCollChunking, addP2pToPlan).
    fn chunks(&mut self) {
        let buffer = self.number("NCCL_BUFFSIZE").unwrap_or(DEFAULT_BUFFER);
        let step = buffer / STEPS;
        let clamped = [
            "NCCL_P2P_NET_CHUNKSIZE",
            "NCCL_P2P_PCI_CHUNKSIZE",
            "NCCL_P2P_NVL_CHUNKSIZE",
            "NCCL_NVLS_CHUNKSIZE",
        ];
        for name in clamped.into_iter().chain(["NCCL_CHUNK_SIZE"]) {
            let Some(chunk) = self.number(name).filter(|c| *c > step) else {
                continue;
            };
            let needed = chunk.saturating_mul(STEPS);
            let (severity, consequence) = if name == "NCCL_CHUNK_SIZE" {
                (
                    Severity::Error,
                    "NCCL does not clamp this one: data in flight is overwritten",
                )
            } else {
                (Severity::Error, "NCCL uses the eighth")
            };
            self.say(
                severity,
                name,
                &["NCCL_BUFFSIZE"],
                format!("{chunk} is above an eighth of the buffer ({buffer} / {STEPS} = {step}): {consequence}"),
                format!("write at most {step}, or raise NCCL_BUFFSIZE to {needed}"),
            );
        }
    }

    fn transports(&mut self) {
        if self.is("NCCL_P2P_DISABLE", 1) {
            if self.text("NCCL_P2P_LEVEL").is_some() {
                self.say(
                    Severity::Warning,
                    "NCCL_P2P_LEVEL",
                    &["NCCL_P2P_DISABLE"],
                    "NCCL_P2P_DISABLE=1 overrides it",
                    "remove one of the two",
                );
            }
            if self.is("NCCL_SHM_DISABLE", 1) {
                let related = ["NCCL_P2P_DISABLE"];
                if self.is("NCCL_NET_DISABLE_INTRA", 1) {
                    self.say(Severity::Error, "NCCL_SHM_DISABLE", &related, "with P2P, SHM and the network inside a node all disabled, GPUs of a node cannot reach each other", "enable one of them");
                } else {
                    self.say(Severity::Warning, "NCCL_SHM_DISABLE", &related, "with P2P disabled as well, all traffic inside a node goes through the network", "enable one of them; fine for functional tests only");
                }
            }
        }
        if self.is("NCCL_PXN_DISABLE", 1)
            && self.number("NCCL_P2P_PXN_LEVEL").is_some_and(|l| l > 0)
        {
            self.say(
                Severity::Warning,
                "NCCL_P2P_PXN_LEVEL",
                &["NCCL_PXN_DISABLE"],
                "NCCL_PXN_DISABLE=1 overrides it",
                "remove one of the two",
            );
        }
        if self.text("NCCL_CONF_FILE").is_some()
            && self.text("NCCL_ENV_PLUGIN").is_some_and(|p| p != "none")
        {
            self.say(
                Severity::Note,
                "NCCL_ENV_PLUGIN",
                &["NCCL_CONF_FILE"],
                "the plugin answers for every variable, those of the file included",
                "make sure that is meant",
            );
        }
    }

    fn launch(&mut self) {
        if self.is("NCCL_GRAPH_STREAM_ORDERING", 0) && self.is("NCCL_GRAPH_MIXING_SUPPORT", 1) {
            self.say(
                Severity::Error,
                "NCCL_GRAPH_STREAM_ORDERING",
                &["NCCL_GRAPH_MIXING_SUPPORT"],
                "0 is not supported together with graph mixing",
                "set NCCL_GRAPH_MIXING_SUPPORT=0 or keep the ordering",
            );
        }
        if self.text("NCCL_OOB_NET_IFNAME").is_some() && !self.is("NCCL_OOB_NET_ENABLE", 1) {
            self.say(
                Severity::Warning,
                "NCCL_OOB_NET_IFNAME",
                &["NCCL_OOB_NET_ENABLE"],
                "has no effect unless NCCL_OOB_NET_ENABLE=1",
                "set NCCL_OOB_NET_ENABLE=1 or remove it",
            );
        }
        for name in ["NCCL_DEBUG_SUBSYS", "NCCL_DEBUG_FILE"] {
            if self.text(name).is_some() && self.text("NCCL_DEBUG").is_none() {
                self.say(
                    Severity::Note,
                    name,
                    &["NCCL_DEBUG"],
                    "logs nothing without NCCL_DEBUG",
                    "set NCCL_DEBUG as well",
                );
            }
        }
        let gdrcopy = self
            .with_prefix("NCCL_GDRCOPY_")
            .into_iter()
            .filter(|n| *n != "NCCL_GDRCOPY_ENABLE");
        for name in gdrcopy {
            if !self.is("NCCL_GDRCOPY_ENABLE", 1) {
                self.say(
                    Severity::Note,
                    name,
                    &["NCCL_GDRCOPY_ENABLE"],
                    "has no effect unless NCCL_GDRCOPY_ENABLE=1",
                    "set NCCL_GDRCOPY_ENABLE=1 or remove it",
                );
            }
        }
    }
}
