//! InfiniBand and RoCE: what turns them off, and what turns parts of them off.

use super::super::finding::Severity;
use super::{DEFAULT_BUFFER, Settings};

impl Settings<'_> {
    pub(super) fn infiniband(&mut self) {
        let net = self.text("NCCL_NET");
        let off = if self.is("NCCL_IB_DISABLE", 1) {
            Some("NCCL_IB_DISABLE")
        } else {
            net.filter(|n| n.eq_ignore_ascii_case("socket"))
                .map(|_| "NCCL_NET")
        };
        if let Some(why) = off {
            for name in self
                .with_prefix("NCCL_IB_")
                .into_iter()
                .filter(|n| *n != "NCCL_IB_DISABLE")
            {
                self.say(
                    Severity::Warning,
                    name,
                    &[why],
                    format!("{why} turns InfiniBand and RoCE off: it has no effect"),
                    format!("remove it, or {why}"),
                );
            }
        }
        if self.is("NCCL_IB_DISABLE", 1) && net.is_some_and(|n| n.eq_ignore_ascii_case("ib")) {
            self.say(
                Severity::Error,
                "NCCL_NET",
                &["NCCL_IB_DISABLE"],
                "asks for IB, which NCCL_IB_DISABLE=1 forbids: communicators fail",
                "remove one of the two",
            );
        }
        if net.is_some_and(|n| n.eq_ignore_ascii_case("ib")) {
            for name in ["NCCL_SOCKET_NTHREADS", "NCCL_NSOCKS_PERTHREAD"] {
                if self.text(name).is_some() {
                    self.say(
                        Severity::Warning,
                        name,
                        &["NCCL_NET"],
                        "belongs to the socket network; NCCL_NET=IB does not use it",
                        "remove it",
                    );
                }
            }
        }
        if self.number("NCCL_IB_GID_INDEX").is_some_and(|i| i >= 0) {
            for name in [
                "NCCL_IB_ADDR_FAMILY",
                "NCCL_IB_ADDR_RANGE",
                "NCCL_IB_ROCE_VERSION_NUM",
            ] {
                if self.text(name).is_some() {
                    self.say(
                        Severity::Warning,
                        name,
                        &["NCCL_IB_GID_INDEX"],
                        "NCCL_IB_GID_INDEX fixes the GID: it has no effect",
                        "remove NCCL_IB_GID_INDEX and let NCCL look for the GID",
                    );
                }
            }
        }
        if self.is("NCCL_IB_SPLIT_DATA_ON_QPS", 1)
            && self.number("NCCL_IB_QPS_PER_CONNECTION").unwrap_or(1) <= 1
        {
            self.say(
                Severity::Note,
                "NCCL_IB_SPLIT_DATA_ON_QPS",
                &["NCCL_IB_QPS_PER_CONNECTION"],
                "with one queue pair there is nothing to split",
                "raise NCCL_IB_QPS_PER_CONNECTION or remove it",
            );
        }
        let buffer = self.number("NCCL_BUFFSIZE").unwrap_or(DEFAULT_BUFFER);
        if self
            .number("NCCL_IB_AR_THRESHOLD")
            .is_some_and(|t| t > buffer)
        {
            self.say(
                Severity::Warning,
                "NCCL_IB_AR_THRESHOLD",
                &["NCCL_BUFFSIZE"],
                "above the buffer size no data uses adaptive routing",
                "lower it, or set NCCL_IB_ADAPTIVE_ROUTING=0 if that is meant",
            );
        }
        if self.is("NCCL_IB_OOO_RQ", 1) {
            if self.text("NCCL_IB_AR_THRESHOLD").is_some() {
                self.say(
                    Severity::Warning,
                    "NCCL_IB_AR_THRESHOLD",
                    &["NCCL_IB_OOO_RQ"],
                    "NCCL_IB_OOO_RQ=1 ignores it",
                    "remove one of the two",
                );
            }
            for name in [
                "NCCL_IB_PREPOST_RECEIVE_WORK_REQUESTS",
                "NCCL_IB_RECEIVER_SIDE_MATCHING_SCHEME",
            ] {
                if self.is(name, 0) {
                    self.say(
                        Severity::Warning,
                        name,
                        &["NCCL_IB_OOO_RQ"],
                        "NCCL_IB_OOO_RQ=1 overrides it with 1",
                        "remove one of the two",
                    );
                }
            }
        }
    }
}
