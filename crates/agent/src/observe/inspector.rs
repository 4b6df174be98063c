//! Lines as NVIDIA's NCCL Inspector writes them, so that what reads those reads ours.
//!
//! Fields, their meaning and the files' names: output format v4.0, the one of NCCL 2.28 to 2.30
//! (`inspector.cc` and `inspector_json.cc` in `ext-profiler/inspector`, later
//! `plugins/profiler/inspector`), without the verbose event trace. What differs: `rec_mechanism` says
//! that we wrote it, `dump_timestamp_us` is when the collective was enqueued, the names of communicators
//! are unknown, and simulated durations carry `"simulated": true`.
//!
//! A line always has a bandwidth, so what has none gets no line: collectives of which only the enqueuing
//! or a part was seen, and those of NCCL before 2.27, which does not say how many ranks there are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use ccl_abi::shared::Timing;
use serde::Serialize;
use serde_json::json;

use super::seen::Seen;

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
    /// Open between two flushes only: processes come and go.
    files: BTreeMap<u32, BufWriter<File>>,
    left_out: u64,
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
            left_out: 0,
        })
    }

    /// Adds one collective of one rank.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, seen: &Seen) -> io::Result<()> {
        let Some(line) = line(seen, &self.host) else {
            self.left_out = self.left_out.saturating_add(1);
            return Ok(());
        };
        let file = match self.files.entry(seen.pid) {
            Entry::Occupied(file) => file.into_mut(),
            Entry::Vacant(vacant) => {
                let name = format!("{}-pid{}.log", self.host, seen.pid);
                let path = self.folder.join(name);
                let file = OpenOptions::new().append(true).create(true).open(path)?;
                vacant.insert(BufWriter::new(file))
            }
        };
        serde_json::to_writer(&mut *file, &line)?;
        file.write_all(b"\n")
    }

    /// Puts into the files what was written.
    ///
    /// # Errors
    /// What the file system says.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut files = std::mem::take(&mut self.files);
        files.values_mut().try_for_each(BufWriter::flush)
    }

    /// Collectives that got no line.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

fn line(seen: &Seen, host: &str) -> Option<Line> {
    let record = &seen.record;
    let (member, ranks) = (seen.member?, seen.ranks()?);
    let coll_timing_source = match record.timing {
        Timing::Device => "kernel_gpu",
        Timing::Proxy => "kernel_cpu",
        Timing::Enqueue => return None,
    };
    if !record.is_complete {
        return None;
    }
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
    Some(Line {
        header: Header {
            id: format!("0x{:x}", member.id),
            comm_name: "unknown",
            rank: member.rank,
            n_ranks: ranks,
            nnodes: member.nodes,
        },
        metadata,
        coll_perf: CollPerf {
            coll: seen.collective.to_string(),
            coll_sn: record.sequence,
            // What the caller counts; the bandwidths are over the whole.
            coll_msg_size_bytes: seen.message_bytes(),
            coll_exec_time_us: record.duration_ns / 1000,
            coll_timing_source,
            coll_algobw_gbs: algobw,
            coll_busbw_gbs: algobw * seen.collective.bus_factor(ranks),
        },
    })
}
