//! Lines as NVIDIA's NCCL Inspector writes them, so that what reads those reads ours.
//!
//! Fields and their meaning: `plugins/profiler/inspector/inspector_json.cc` of NCCL 2.30, output format
//! v4.0, without the verbose event trace. `rec_mechanism` says that we wrote it, and simulated
//! durations carry `"simulated": true`.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ccl_abi::shared::Timing;
use serde::Serialize;
use serde_json::json;

use super::rings::Seen;

#[derive(Serialize)]
struct Line {
    header: Header,
    metadata: serde_json::Value,
    coll_perf: CollPerf,
}

#[derive(Serialize)]
struct Header {
    id: String,
    comm_name: &'static str,
    rank: u32,
    n_ranks: u32,
    nnodes: u32,
}

#[derive(Serialize)]
struct CollPerf {
    coll: String,
    coll_sn: u64,
    coll_msg_size_bytes: u64,
    coll_exec_time_us: u64,
    coll_timing_source: &'static str,
    coll_algobw_gbs: f64,
    coll_busbw_gbs: f64,
}

/// A folder of such files, one per process.
#[derive(Debug)]
pub struct InspectorFiles {
    folder: PathBuf,
    host: String,
    files: BTreeMap<u32, BufWriter<File>>,
}

impl InspectorFiles {
    /// Files in a folder, which is made.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Ok(Self {
            folder: folder.to_owned(),
            host: host.trim().to_owned(),
            files: BTreeMap::new(),
        })
    }

    /// Adds one collective of one rank.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, seen: &Seen) -> io::Result<()> {
        let file = match self.files.entry(seen.pid) {
            std::collections::btree_map::Entry::Occupied(file) => file.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                let name = format!("{}-pid{}.jsonl", self.host, seen.pid);
                let path = self.folder.join(name);
                let file = OpenOptions::new().append(true).create(true).open(path)?;
                vacant.insert(BufWriter::new(file))
            }
        };
        serde_json::to_writer(&mut *file, &line(seen, &self.host))?;
        file.write_all(b"\n")
    }

    /// Puts on disk what was written.
    ///
    /// # Errors
    /// What the file system says.
    pub fn flush(&mut self) -> io::Result<()> {
        self.files.values_mut().try_for_each(BufWriter::flush)
    }
}

fn line(seen: &Seen, host: &str) -> Line {
    let record = &seen.record;
    // The message of the inspector is what the caller counts; its bandwidth is over the whole.
    let message = record.count * u64::from(record.element_bytes);
    #[allow(clippy::cast_precision_loss)] // bandwidths
    let algobw = match record.duration_ns {
        0 => 0.0,
        ns => seen.bytes() as f64 / ns as f64,
    };
    let mut metadata = json!({
        "inspector_output_format_version": "v4.0",
        "git_rev": concat!("ccl-agent ", env!("CARGO_PKG_VERSION")),
        "rec_mechanism": "ccl-agent observe",
        "dump_timestamp_us": seen.enqueued_us,
        "hostname": host,
        "pid": seen.pid,
    });
    if seen.is_simulated {
        metadata["simulated"] = json!(true);
    }
    let member = seen.member;
    Line {
        header: Header {
            id: format!("0x{:x}", member.map_or(0, |m| m.id)),
            comm_name: "unknown",
            rank: member.map_or(0, |m| m.rank),
            n_ranks: seen.ranks(),
            nnodes: member.map_or(1, |m| m.nodes).max(1),
        },
        metadata,
        coll_perf: CollPerf {
            coll: seen.collective.to_string(),
            coll_sn: record.sequence,
            coll_msg_size_bytes: message,
            coll_exec_time_us: record.duration_ns / 1000,
            coll_timing_source: match record.timing {
                Timing::Device => "kernel_gpu",
                Timing::Proxy => "kernel_cpu",
                Timing::Enqueue => "collective_cpu",
            },
            coll_algobw_gbs: algobw,
            coll_busbw_gbs: algobw * seen.collective.bus_factor(seen.ranks()),
        },
    }
}
