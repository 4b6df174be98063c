//! NVLink SHARP, and the lists of algorithms and protocols: whether what is asked for is on, and
//! whether anything is left.

use super::super::choice_list::{FUNCTIONS, read};
use super::super::finding::Severity;
use super::Settings;
use crate::{Algorithm, Protocol};

impl Settings<'_> {
    pub(super) fn nvlink(&mut self) {
        if self.is("NCCL_NVLS_ENABLE", 0) {
            for name in self
                .with_prefix("NCCL_NVLS")
                .into_iter()
                .filter(|n| *n != "NCCL_NVLS_ENABLE")
            {
                self.say(
                    Severity::Warning,
                    name,
                    &["NCCL_NVLS_ENABLE"],
                    "NCCL_NVLS_ENABLE=0 turns NVLS off: it has no effect",
                    "remove one of the two",
                );
            }
        }
        if self.is("NCCL_NVLS_ENABLE", 1) && self.is("NCCL_MULTI_RANK_GPU_ENABLE", 1) {
            self.say(
                Severity::Error,
                "NCCL_NVLS_ENABLE",
                &["NCCL_MULTI_RANK_GPU_ENABLE"],
                "NVLS does not work with several ranks on one GPU: communicators fail",
                "set NCCL_NVLS_ENABLE=2",
            );
        }
        if self.is("NCCL_CUMEM_ENABLE", 0) {
            for name in ["NCCL_MNNVL_ENABLE", "NCCL_WIN_ENABLE"] {
                if self.is(name, 1) {
                    self.say(
                        Severity::Error,
                        name,
                        &["NCCL_CUMEM_ENABLE"],
                        "needs NCCL_CUMEM_ENABLE, which is 0",
                        "remove NCCL_CUMEM_ENABLE=0",
                    );
                }
            }
        }
    }

    // Whether the two lists together leave a way for each function (src/graph/tuning.cc).
    pub(super) fn choices(&mut self) {
        let version = self.context.version();
        let algorithms = self
            .text("NCCL_ALGO")
            .map(|t| read::<Algorithm>("NCCL_ALGO", t, version));
        let protocols = self
            .text("NCCL_PROTO")
            .map(|t| read::<Protocol>("NCCL_PROTO", t, version));
        if let Some(list) = &algorithms {
            let named = |wanted: fn(Algorithm) -> bool| {
                (0..FUNCTIONS.len()).any(|f| {
                    list.touched[f]
                        && !list.only_excludes
                        && !list.enabled[f].is_empty()
                        && list.enabled[f].iter().copied().all(wanted)
                })
            };
            let nvls = named(|a| matches!(a, Algorithm::Nvls | Algorithm::NvlsTree));
            let collnet =
                named(|a| matches!(a, Algorithm::CollNetDirect | Algorithm::CollNetChain));
            if nvls && self.is("NCCL_NVLS_ENABLE", 0) {
                self.say(
                    Severity::Error,
                    "NCCL_ALGO",
                    &["NCCL_NVLS_ENABLE"],
                    "asks for NVLS alone, which NCCL_NVLS_ENABLE=0 turns off",
                    "remove one of the two",
                );
            }
            if collnet && self.number("NCCL_COLLNET_ENABLE").unwrap_or(0) != 1 {
                self.say(Severity::Warning, "NCCL_ALGO", &["NCCL_COLLNET_ENABLE"], "asks for CollNet alone, which is off unless NCCL_COLLNET_ENABLE=1 or the application turns it on", "set NCCL_COLLNET_ENABLE=1");
            }
        }
        if let (Some(algorithms), Some(protocols)) = (&algorithms, &protocols)
            && algorithms.findings.is_empty()
            && protocols.findings.is_empty()
        {
            for (index, function) in FUNCTIONS.into_iter().enumerate() {
                let serving: Vec<Algorithm> = algorithms.enabled[index]
                    .iter()
                    .copied()
                    .filter(|a| a.serves(function))
                    .collect();
                let speaks = |a: &Algorithm| protocols.enabled[index].iter().any(|p| a.speaks(*p));
                if !serving.is_empty()
                    && !protocols.enabled[index].is_empty()
                    && !serving.iter().any(speaks)
                {
                    self.say(
                        Severity::Error,
                        "NCCL_PROTO",
                        &["NCCL_ALGO"],
                        format!("no algorithm left by NCCL_ALGO for {function} speaks a protocol left by NCCL_PROTO: such calls fail"),
                        "leave Simple in, or Ring",
                    );
                    break;
                }
            }
        }
        let policy = self
            .text("NCCL_CTA_POLICY")
            .is_some_and(|p| p.to_ascii_uppercase().contains("EFFICIENCY") || p == "1");
        if policy {
            for name in ["NCCL_ALGO", "NCCL_PROTO", "NCCL_TUNER_PLUGIN"] {
                if self.text(name).is_some_and(|v| v != "none") {
                    self.say(
                        Severity::Warning,
                        "NCCL_CTA_POLICY",
                        &[name],
                        format!("{name} turns the EFFICIENCY policy off"),
                        format!("remove {name} or the policy"),
                    );
                    break;
                }
            }
        }
    }
}
