//! Which device function an index in the work queue means.
//!
//! NCCL generates its functions (`src/device/generate.py`, v2.21.5-1): all combinations of collective,
//! reduction, type, algorithm and protocol that exist, signed types folded into unsigned ones where
//! they are the same, sorted by name. The index is the place in that order, the same in every build.

use std::sync::OnceLock;

/// A device function; empty text where it has no such part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    pub collective: &'static str,
    pub reduction: &'static str,
    pub datatype: &'static str,
    pub algorithm: &'static str,
    pub protocol: &'static str,
}

const REDUCTIONS: [&str; 5] = ["Sum", "Prod", "MinMax", "PreMulSum", "SumPostDiv"];
const DATATYPES: [&str; 10] = [
    "i8", "u8", "i32", "u32", "i64", "u64", "f16", "f32", "f64", "bf16",
];
/// In the order of NCCL's ids.
const ALGORITHMS: [&str; 6] = [
    "TREE",
    "RING",
    "COLLNET_DIRECT",
    "COLLNET_CHAIN",
    "NVLS",
    "NVLS_TREE",
];
/// In the order of NCCL's ids.
const PROTOCOLS: [&str; 3] = ["LL", "LL128", "SIMPLE"];
/// In the order of NCCL's ids.
const COLLECTIVES: [&str; 5] = [
    "Broadcast",
    "Reduce",
    "AllGather",
    "ReduceScatter",
    "AllReduce",
];

fn algorithms_of(collective: &str) -> &'static [&'static str] {
    match collective {
        "AllReduce" => &ALGORITHMS,
        "AllGather" | "ReduceScatter" => &["RING", "COLLNET_DIRECT", "NVLS"],
        _ => &["RING"],
    }
}

fn reduces(collective: &str) -> bool {
    !matches!(collective, "Broadcast" | "AllGather")
}

fn is_signed(datatype: &str) -> bool {
    datatype.starts_with('i')
}

fn unsigned(datatype: &'static str) -> &'static str {
    match datatype {
        "i8" => "u8",
        "i32" => "u32",
        "i64" => "u64",
        other => other,
    }
}

impl Function {
    /// Whether NCCL has a function of its own for this.
    fn exists(&self) -> bool {
        let low_latency = matches!(self.protocol, "LL" | "LL128");
        if low_latency && !matches!(self.algorithm, "RING" | "TREE") {
            return false;
        }
        let integer = self.datatype.starts_with(['i', 'u']);
        if self.reduction == "SumPostDiv" && !integer {
            return false;
        }
        !self.algorithm.starts_with("NVLS") || !reduces(self.collective) || self.switch_reduces()
    }

    /// What NVSwitches can reduce.
    fn switch_reduces(&self) -> bool {
        match self.datatype {
            "i8" | "u8" => false,
            "f32" | "f64" => self.reduction == "Sum",
            _ => matches!(self.reduction, "Sum" | "MinMax"),
        }
    }

    /// The function that does the same for unsigned numbers, where that is so.
    fn folded(mut self) -> Self {
        let same = match self.reduction {
            "Sum" | "Prod" | "PreMulSum" => true,
            "MinMax" => !self.algorithm.starts_with("NVLS"),
            _ => false,
        };
        if same && is_signed(self.datatype) {
            self.datatype = unsigned(self.datatype);
        }
        self
    }

    /// The function at an index.
    pub fn at(index: u16) -> Option<Self> {
        all().get(usize::from(index)).copied()
    }

    /// NCCL's id of the collective; `None` for point-to-point.
    pub fn collective_id(&self) -> Option<u32> {
        id(&COLLECTIVES, self.collective)
    }

    /// NCCL's id of the algorithm.
    pub fn algorithm_id(&self) -> Option<u32> {
        id(&ALGORITHMS, self.algorithm)
    }

    /// NCCL's id of the protocol.
    pub fn protocol_id(&self) -> Option<u32> {
        id(&PROTOCOLS, self.protocol)
    }

    /// Bytes of one element; collectives that only copy count bytes.
    pub fn element_bytes(&self) -> u64 {
        match self.datatype {
            "f16" | "bf16" => 2,
            "i32" | "u32" | "f32" => 4,
            "i64" | "u64" | "f64" => 8,
            _ => 1,
        }
    }

    /// The kernel NCCL launches for it: the nearest one that is specialised, which runs any function.
    pub fn kernel(&self) -> String {
        let nearest = if reduces(self.collective) && self.collective != "SendRecv" {
            let algorithm = if self.algorithm == "TREE" {
                "TREE"
            } else {
                "RING"
            };
            Self {
                reduction: "Sum",
                algorithm,
                protocol: "LL",
                ..*self
            }
            .folded()
        } else if self.collective == "SendRecv" {
            *self
        } else {
            Self {
                algorithm: "RING",
                protocol: "LL",
                ..*self
            }
        };
        let parts = [
            nearest.collective,
            nearest.reduction,
            nearest.datatype,
            nearest.algorithm,
            nearest.protocol,
        ];
        let named: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("ncclDevKernel_{}", named.join("_"))
    }
}

fn id(names: &[&str], name: &str) -> Option<u32> {
    let index = names.iter().position(|known| *known == name)?;
    u32::try_from(index).ok()
}

/// All functions in the order of their indices.
fn all() -> &'static [Function] {
    static ALL: OnceLock<Vec<Function>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut functions = vec![Function {
            collective: "SendRecv",
            reduction: "",
            datatype: "",
            algorithm: "",
            protocol: "",
        }];
        for collective in COLLECTIVES {
            let (reductions, datatypes): (&[_], &[_]) = if reduces(collective) {
                (&REDUCTIONS, &DATATYPES)
            } else {
                (&[""], &[""])
            };
            for &reduction in reductions {
                for &datatype in datatypes {
                    for &algorithm in algorithms_of(collective) {
                        functions.extend(PROTOCOLS.map(|protocol| Function {
                            collective,
                            reduction,
                            datatype,
                            algorithm,
                            protocol,
                        }));
                    }
                }
            }
        }
        functions.retain(Function::exists);
        let mut functions: Vec<_> = functions.into_iter().map(Function::folded).collect();
        functions.sort_unstable();
        functions.dedup();
        functions
    })
}

#[cfg(test)]
mod tests;
