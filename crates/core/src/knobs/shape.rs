//! Rules for single variables that a domain cannot express: text with a shape, and values that are
//! legal but dangerous.

use super::check::shown;
use super::finding::{Finding, Place, Rule, Severity};
use super::number::read_c_integer;

/// A legal value that is dangerous or costly.
struct Danger {
    variable: &'static str,
    value: i64,
    severity: Severity,
    reason: &'static str,
    fix: &'static str,
}

/// Sources: the hazards of the entries themselves.
const DANGERS: &[Danger] = &[
    Danger {
        variable: "NCCL_P2P_DISABLE",
        value: 1,
        severity: Severity::Warning,
        reason: "GPUs of a node no longer reach each other directly; a debugging setting that costs bandwidth",
        fix: "remove it, or limit the distance with NCCL_P2P_LEVEL",
    },
    Danger {
        variable: "NCCL_SHM_DISABLE",
        value: 1,
        severity: Severity::Warning,
        reason: "pairs of GPUs without direct access go through the network; a debugging setting",
        fix: "remove it",
    },
    Danger {
        variable: "NCCL_IGNORE_DISABLED_P2P",
        value: 1,
        severity: Severity::Warning,
        reason: "hides a broken NVLink between GPUs that should have one",
        fix: "remove it and look at nvidia-smi topo -p2p n",
    },
    Danger {
        variable: "NCCL_PAT_ENABLE",
        value: 1,
        severity: Severity::Warning,
        reason: "forces PAT on where NCCL considers it unsupported (more than one rank per node)",
        fix: "leave it at 2",
    },
    Danger {
        variable: "NCCL_CHECK_POINTERS",
        value: 1,
        severity: Severity::Note,
        reason: "adds a check to every call",
        fix: "remove it in production",
    },
    Danger {
        variable: "NCCL_GDR_FLUSH_DISABLE",
        value: 1,
        severity: Severity::Warning,
        reason: "received data may be stale on GPUs that need the flush (Ampere and earlier)",
        fix: "remove it",
    },
    Danger {
        variable: "NCCL_MULTI_RANK_GPU_ENABLE",
        value: 1,
        severity: Severity::Note,
        reason: "experimental: ranks that share a GPU can exhaust it and hang",
        fix: "limit each rank with NCCL_MAX_CTAS",
    },
    Danger {
        variable: "NCCL_LEGACY_CUDA_REGISTER",
        value: 1,
        severity: Severity::Warning,
        reason: "registering cudaMalloc buffers can synchronise implicitly and hang",
        fix: "allocate with ncclMemAlloc instead",
    },
];

/// What to say about a value beyond its domain.
pub(super) fn check(variable: &str, value: &str) -> Vec<Finding> {
    let say = |severity, rule, at, reason: String, fix: &str| {
        Finding::new(severity, rule, variable, Place::Value(at), reason, fix)
    };
    let mut findings: Vec<Finding> = DANGERS
        .iter()
        .filter(|d| d.variable == variable && read_c_integer(value).value == d.value)
        .map(|d| say(d.severity, Rule::Hazard, 0, d.reason.to_owned(), d.fix))
        .collect();
    match variable {
        "NCCL_NETDEVS_POLICY" if !is_net_devices_policy(value) => findings.push(say(
            Severity::Error,
            Rule::WrongType,
            0,
            format!("{} is none of AUTO, ALL, MAX:n: NCCL uses AUTO", shown(value)),
            "write AUTO, ALL or MAX: with a number from 1",
        )),
        "NCCL_THREAD_THRESHOLDS" if !is_six_numbers(value) => findings.push(say(
            Severity::Error,
            Rule::WrongType,
            0,
            "needs one to six whole numbers separated by blanks; NCCL stops reading at the first thing that is none".to_owned(),
            "write Tree LL, LL128, Simple, then Ring LL, LL128, Simple",
        )),
        "NCCL_IB_ADDR_RANGE" if !is_prefix(value) => findings.push(say(
            Severity::Error,
            Rule::WrongType,
            0,
            "is no address range: NCCL ignores it".to_owned(),
            "write an address, a slash and the prefix length, as in 10.0.0.0/8",
        )),
        "NCCL_SOCKET_MAGIC" if !is_magic(value) => findings.push(say(
            Severity::Error,
            Rule::WrongType,
            0,
            "is no 64-bit number: NCCL uses its built-in one".to_owned(),
            "write a decimal or 0x number, the same on all ranks",
        )),
        "NCCL_RAS_ADDR" if value.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) => findings.push(say(
            Severity::Error,
            Rule::WrongType,
            0,
            "names no port".to_owned(),
            "write host:port, as in localhost:28028",
        )),
        "NCCL_IB_HCA" => findings.extend(loose_nic(value).map(|(at, name)| say(
            Severity::Note,
            Rule::Hazard,
            at,
            format!("without = in front of the list {name} is a prefix: it also matches {name}0 to {name}9"),
            "start the list with = for exact names",
        ))),
        "NCCL_SOCKET_IFNAME" => findings.extend(unreachable_interface(value).map(|(at, name)| say(
            Severity::Warning,
            Rule::Hazard,
            at,
            format!("other nodes cannot reach {name}: a job on several nodes hangs or fails"),
            "name the interface that the nodes share",
        ))),
        "NCCL_CONF_FILE" | "NCCL_DEBUG_FILE" | "NCCL_TOPO_FILE" | "NCCL_GRAPH_FILE" if value.starts_with('~') => findings.push(say(
            Severity::Error,
            Rule::WrongType,
            0,
            "NCCL does not expand ~".to_owned(),
            "write the whole path",
        )),
        "NCCL_DEBUG_FILE" if !value.contains("%p") && !value.starts_with("/dev/") => findings.push(say(
            Severity::Note,
            Rule::Hazard,
            0,
            "all ranks of a host overwrite one file".to_owned(),
            "add .%h.%p to the name",
        )),
        "NCCL_DEBUG" if value.eq_ignore_ascii_case("TRACE") => findings.push(say(
            Severity::Warning,
            Rule::Hazard,
            0,
            "TRACE logs every call, and only in builds made with TRACE=1".to_owned(),
            "use WARN, or INFO while looking for a fault",
        )),
        "NCCL_DEBUG" if value.eq_ignore_ascii_case("INFO") => findings.push(say(
            Severity::Note,
            Rule::Hazard,
            0,
            "INFO logs from every rank".to_owned(),
            "use WARN in production, or narrow it with NCCL_DEBUG_SUBSYS and NCCL_DEBUG_FILE",
        )),
        "NCCL_WORK_FIFO_BYTES" if !u64::try_from(read_c_integer(value).value).is_ok_and(u64::is_power_of_two) => findings.push(say(
            Severity::Error,
            Rule::OutOfRange,
            0,
            "is no power of two: NCCL warns and uses 1048576".to_owned(),
            "write a power of two",
        )),
        "NCCL_BUFFSIZE" if !u64::try_from(read_c_integer(value).value).is_ok_and(u64::is_power_of_two) => findings.push(say(
            Severity::Warning,
            Rule::Hazard,
            0,
            "is no power of two, which NVIDIA recommends: steps of an eighth may be misaligned".to_owned(),
            "write a power of two such as 4194304",
        )),
        _ => {}
    }
    findings
}

fn is_net_devices_policy(value: &str) -> bool {
    let upper = value.to_ascii_uppercase();
    matches!(upper.as_str(), "AUTO" | "ALL")
        || upper
            .strip_prefix("MAX:")
            .is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 0))
}

fn is_six_numbers(value: &str) -> bool {
    let numbers: Vec<&str> = value.split_whitespace().collect();
    (1..=6).contains(&numbers.len()) && numbers.iter().all(|n| n.parse::<i64>().is_ok())
}

fn is_prefix(value: &str) -> bool {
    value.split_once('/').is_some_and(|(address, length)| {
        let most = match address.parse::<std::net::IpAddr>() {
            Ok(address) => {
                if address.is_ipv4() {
                    32
                } else {
                    128
                }
            }
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

fn is_magic(value: &str) -> bool {
    match value
        .strip_prefix("0x")
        .or_else(|| value.strip_prefix("0X"))
    {
        Some(digits) => u64::from_str_radix(digits, 16).is_ok(),
        None => value.parse::<u64>().is_ok(),
    }
}

/// The first NIC of a prefix list whose name ends in a digit and names no port.
fn loose_nic(value: &str) -> Option<(usize, &str)> {
    let list = value.strip_prefix('^').unwrap_or(value);
    if list.starts_with('=') {
        return None;
    }
    let mut at = value.len() - list.len();
    for name in list.split(',') {
        // Whole names such as mlx5_1; a bare mlx5 is meant as a prefix.
        if name
            .rsplit_once('_')
            .is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        {
            return Some((at, name));
        }
        at += name.len() + 1;
    }
    None
}

/// The first interface of a list that no other node can reach.
fn unreachable_interface(value: &str) -> Option<(usize, &str)> {
    if value.starts_with('^') {
        return None;
    }
    let list = value.strip_prefix('=').unwrap_or(value);
    let mut at = value.len() - list.len();
    for name in list.split(',') {
        if name == "lo" || name.starts_with("docker") || name.starts_with("virbr") {
            return Some((at, name));
        }
        at += name.len() + 1;
    }
    None
}
