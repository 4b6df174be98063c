//! `ccl-agent observe` as a user meets it. Rings are written here as the plugin writes them, for
//! processes that live and die.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use assert_cmd::Command as Asserted;
use ccl_abi::nccl::profiler::kind;
use ccl_abi::shared::{Control, Mapping, Membership, Process, Record, Ring, Timing, Waits};
use serde_json::Value;
use tempfile::TempDir;

const SLOTS: u32 = 256;
const ALL_KINDS: u32 =
    (kind::COLLECTIVE | kind::KERNEL_CHANNEL | kind::PROXY_OP | kind::PROXY_STEP) as u32;
/// The clocks of a machine that was started at 1.7e9 s after 1970.
const BOOT_NS: u64 = 1_700_000_000_000_000_000;

/// A process that has a ring, and does nothing but live.
struct Rank {
    process: Child,
    mapping: Mapping,
}

impl Rank {
    fn new(job: &Path, rank: u32, is_simulated: bool) -> Self {
        let process = Command::new("sleep").arg("600").spawn().unwrap();
        let maker = Process::living(process.id()).unwrap();
        let words = Ring::<std::sync::atomic::AtomicU64>::words(SLOTS).unwrap();
        let file = job.join(format!("events-{}-0.ring", process.id()));
        let mapping = Mapping::create(&file, words).unwrap();
        let control = Control {
            kinds: ALL_KINDS,
            one_in: 1,
        };
        let ring = Ring::initialise(
            mapping.words(),
            SLOTS,
            maker,
            BOOT_NS,
            is_simulated,
            control,
        );
        let member = Membership {
            id: 0xc0ffee,
            ranks: 16,
            nodes: 2,
            rank,
        };
        ring.unwrap().describe(4096, member);
        Self { process, mapping }
    }

    fn ring(&self) -> Ring<'_, std::sync::atomic::AtomicU64> {
        Ring::again(self.mapping.words(), SLOTS)
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    fn die(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Rank {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn all_reduce(sequence: u64, duration_us: u64) -> Record {
    Record {
        communicator: 4096,
        sequence,
        collective: 4,
        algorithm: 1,
        protocol: 2,
        channels: 16,
        warps: 17,
        element_bytes: 4,
        timing: Timing::Device,
        is_complete: true,
        count: 16 << 20,
        enqueued_ns: 5_000_000 + sequence,
        duration_ns: duration_us * 1000,
        transfers: 30,
        sampled: 1,
        transferred_bytes: 1 << 20,
        waits: Waits {
            send_peer_ns: 720,
            recv_ns: 280,
            ..Waits::default()
        },
    }
}

/// Half of the data on two channels, and slower: nothing of it crossed the network.
fn all_gather(sequence: u64) -> Record {
    Record {
        collective: 2,
        channels: 2,
        element_bytes: 1,
        count: 4 << 20,
        duration_ns: 4_000_000,
        transfers: 0,
        transferred_bytes: 0,
        waits: Waits::default(),
        ..all_reduce(sequence, 0)
    }
}

/// Four ranks of sixteen on this machine, of which rank 3 comes late to the AllReduce.
fn job(folder: &TempDir, is_simulated: bool) -> Vec<Rank> {
    let ranks: Vec<Rank> = (0..4)
        .map(|rank| Rank::new(folder.path(), rank, is_simulated))
        .collect();
    for (rank, number) in ranks.iter().zip(0..) {
        for sequence in 0..20 {
            let late_us = if number == 3 { 180 } else { 0 };
            assert!(rank.ring().push(&all_reduce(sequence, 640 - late_us)));
        }
        for sequence in 0..5 {
            assert!(rank.ring().push(&all_gather(sequence)));
        }
    }
    ranks
}

fn observe(job: &Path, arguments: &[&str]) -> Asserted {
    let mut command = Asserted::cargo_bin("ccl-agent").unwrap();
    command.arg("observe").arg("--job").arg(job).args(arguments);
    command
}

fn printed(command: &mut Asserted) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

fn json(job: &Path, arguments: &[&str]) -> Value {
    let text = printed(observe(job, &["--once", "--json"]).args(arguments));
    serde_json::from_str(&text).unwrap()
}

fn refused(command: &mut Asserted) -> String {
    let output = command.assert().code(2).get_output().clone();
    assert!(output.stdout.is_empty(), "a result on stdout");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// What differs from run to run, replaced.
fn stable(text: &str, folder: &Path, ranks: &[Rank]) -> String {
    let mut text = text.replace(&folder.display().to_string(), "JOB");
    for (rank, number) in ranks.iter().zip(0..) {
        let process = format!("process {}", rank.pid());
        text = text.replace(&process, &format!("process OF RANK {number}"));
    }
    // Where lines wrap depends on the length of paths and process ids.
    let (standing, rest) = text.split_once("\n\n").unwrap();
    let (before, notes) = standing.split_once(" UTC").unwrap();
    let before = &before[..before.len() - "00:00:00".len()].replace('\n', " ");
    format!("{before}TIME{notes}\n\n{}", rest.replace("\n  ", " "))
}

#[test]
fn a_table_says_what_ran_how_long_it_took_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let ranks = job(&folder, false);
    let text = printed(&mut observe(folder.path(), &["--once"]));
    insta::assert_snapshot!("table", stable(&text, folder.path(), &ranks));
}

#[test]
fn simulated_durations_are_never_called_measured() {
    let folder = tempfile::tempdir().unwrap();
    let _ranks = job(&folder, true);
    let text = printed(&mut observe(folder.path(), &["--once"]));
    assert!(
        text.contains("Durations: simulated by a model, measured by nobody."),
        "{text}"
    );
    assert!(
        !text.contains("GPU's own timer") && !text.contains("GPU  "),
        "{text}"
    );

    // Beside measured ones, each row says which it is.
    let measured = Rank::new(folder.path(), 9, false);
    let other = Rank::new(folder.path(), 10, true);
    measured.ring().push(&all_reduce(0, 300));
    other.ring().push(&all_reduce(0, 300));
    let report = json(folder.path(), &[]);
    let sources: Vec<&Value> = report["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["source"])
        .collect();
    assert!(
        sources.len() == 2
            && sources.contains(&&"simulated".into())
            && sources.contains(&&"measured".into()),
        "{sources:?}"
    );
    measured.ring().push(&all_reduce(1, 300));
    other.ring().push(&all_reduce(1, 300));
    let text = printed(&mut observe(folder.path(), &["--once"]));
    assert!(text.contains("sim = simulated by a model"), "{text}");
    assert!(text.contains(" sim ") && text.contains(" GPU "), "{text}");
}

#[test]
fn json_has_the_documented_shape() {
    let folder = tempfile::tempdir().unwrap();
    let ranks = job(&folder, false);
    let report = json(folder.path(), &[]);
    assert_eq!(report["processes"], 4);
    assert_eq!(report["living"], 4);
    assert_eq!(report["records"], 100);
    assert_eq!(report["is_last"], true);
    assert_eq!(
        report["asked"],
        serde_json::json!({"depth": "transfers", "sample": 1})
    );
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let [gather, reduce] = [&rows[0], &rows[1]];
    assert_eq!(reduce["collective"], "AllReduce");
    assert_eq!(
        (&reduce["ranks"], &reduce["nodes"], &reduce["calls"]),
        (&16.into(), &2.into(), &20.into())
    );
    assert_eq!(reduce["min_bytes"], 64 << 20);
    assert_eq!(reduce["choice"]["algorithm"], "Ring");
    assert_eq!(
        (&reduce["clock"], &reduce["source"]),
        (&"gpu".into(), &"measured".into())
    );
    assert_eq!(
        (&reduce["median_us"], &reduce["p99_us"]),
        (&640.0.into(), &640.0.into())
    );
    // 64 MiB / 640 us x 2 x 15 / 16.
    let busbw = reduce["busbw_gbs"].as_f64().unwrap();
    assert!((busbw - 196.608).abs() < 1e-9, "{busbw}");
    assert_eq!(reduce["waits"]["send_peer"], 0.72);
    assert_eq!(reduce["late_rank"]["rank"], 3);
    assert_eq!(reduce["late_rank"]["pid"], ranks[3].pid());
    assert_eq!(reduce["late_rank"]["communicator"], "0xc0ffee");
    assert_eq!(reduce["late_rank"]["others_wait_us"], 180.0);
    // 16 parts of 4 MiB each; NCCL's transfers told nothing.
    assert_eq!(
        (&gather["min_bytes"], &gather["waits"]),
        (&(64 << 20).into(), &Value::Null)
    );
    let shares: f64 = rows.iter().map(|row| row["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9);

    // Exactly the fields of the committed schema.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let schema = fs::read_to_string(root.join("doc/reference/schema/observe.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let names = |value: &Value| {
        let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(names(&report), names(&schema["properties"]));
    assert_eq!(names(reduce), names(&schema["$defs"]["Row"]["properties"]));
}

#[test]
fn collectives_are_written_as_the_inspector_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("inspector");
    let ranks = job(&folder, false);
    // No duration, a part of one, and no number of ranks: no bandwidth, no line.
    ranks[0].ring().push(&Record {
        timing: Timing::Enqueue,
        ..all_reduce(20, 5)
    });
    ranks[0].ring().push(&Record {
        is_complete: false,
        ..all_reduce(21, 5)
    });
    let unknown = Membership {
        id: 7,
        ranks: 0,
        nodes: 0,
        rank: 0,
    };
    ranks[0].ring().describe(4097, unknown);
    ranks[0].ring().push(&Record {
        communicator: 4097,
        ..all_reduce(0, 5)
    });
    let text = printed(observe(folder.path(), &["--once", "--inspector"]).arg(&out));
    assert!(
        text.contains("3 collectives had no bandwidth and got no line"),
        "{text}"
    );

    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut names: Vec<String> = fs::read_dir(&out)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let name = |rank: &Rank| format!("{}-pid{}.log", host.trim(), rank.pid());
    let mut expected: Vec<String> = ranks.iter().map(name).collect();
    expected.sort();
    assert_eq!(names, expected);
    let file = fs::read_to_string(out.join(name(&ranks[1]))).unwrap();
    assert_eq!(file.lines().count(), 25);
    let first = file.lines().next().unwrap();
    let expected = serde_json::json!({
        "header": {
            "id": "0xc0ffee", "comm_name": "unknown", "rank": 1, "n_ranks": 16, "nnodes": 2
        },
        "metadata": {
            "inspector_output_format_version": "v4.0",
            "git_rev": concat!("ccl-agent ", env!("CARGO_PKG_VERSION")),
            "rec_mechanism": "ccl-agent observe",
            "dump_timestamp_us": (BOOT_NS + 5_000_000) / 1000,
            "hostname": host.trim(),
            "pid": ranks[1].pid()
        },
        "coll_perf": {
            "coll": "AllReduce", "coll_sn": 0, "coll_msg_size_bytes": 64 << 20,
            "coll_exec_time_us": 640, "coll_timing_source": "kernel_gpu",
            "coll_algobw_gbs": 104.8576, "coll_busbw_gbs": 196.608
        }
    });
    assert_eq!(serde_json::from_str::<Value>(first).unwrap(), expected);
    // Of an AllGather the inspector counts one rank's part.
    let last: Value = serde_json::from_str(file.lines().last().unwrap()).unwrap();
    assert_eq!(last["coll_perf"]["coll_msg_size_bytes"], 4 << 20);

    // A second run adds to the files.
    ranks[1].ring().push(&all_reduce(20, 640));
    printed(observe(folder.path(), &["--once", "--inspector"]).arg(&out));
    let file = fs::read_to_string(out.join(name(&ranks[1]))).unwrap();
    assert_eq!(file.lines().count(), 26);
    let taken = folder.path().join("taken");
    fs::write(&taken, "").unwrap();
    assert!(
        refused(observe(folder.path(), &["--once", "--inspector"]).arg(&taken))
            .contains("cannot write to")
    );
}

#[test]
fn what_cannot_be_read_is_named_with_the_reason() {
    assert!(refused(&mut observe(Path::new("/nowhere"), &[])).contains("no directory /nowhere"));
    let folder = tempfile::tempdir().unwrap();
    let said = refused(&mut observe(folder.path(), &["--once"]));
    assert!(said.contains("no rank records in"), "{said}");
    assert!(
        said.contains("NCCL_PROFILER_PLUGIN") && said.contains("CCL_AGENT_JOB"),
        "{said}"
    );
    let said = refused(&mut observe(folder.path(), &["--wait", "0.3"]));
    assert!(said.contains("after 0.3 s"), "{said}");
    for wrong in [
        ["--every", "0"],
        ["--every", "nan"],
        ["--sample", "0"],
        ["--depth", "abyss"],
        ["--wait", "-1"],
    ] {
        refused(&mut observe(folder.path(), &wrong));
    }

    // Other people's files are left alone; what is called a ring and is none is named.
    fs::write(folder.path().join("decisions.log"), "x").unwrap();
    fs::write(folder.path().join("empty.ring"), "").unwrap();
    fs::write(folder.path().join("odd.ring"), "abc").unwrap();
    fs::write(
        folder.path().join("text.ring"),
        "no ring at all\n\n".repeat(9000),
    )
    .unwrap();
    fs::write(folder.path().join("zeros.ring"), [0; 4096]).unwrap();
    fs::create_dir(folder.path().join("folder.ring")).unwrap();
    let said = refused(&mut observe(folder.path(), &["--once"]));
    for (file, why) in [
        ("empty.ring", "it is empty"),
        ("odd.ring", "it is empty or was not written to its end"),
        ("text.ring", "it does not begin like one"),
        ("zeros.ring", "was not written to its end"),
        ("folder.ring", "directory"),
    ] {
        let line = said
            .lines()
            .find(|l| l.contains(file))
            .unwrap_or_else(|| panic!("{file}: {said}"));
        assert!(line.contains(why), "{line}");
    }
    assert!(!said.contains("decisions.log"), "{said}");

    // Beside a good one they are a note.
    let ranks = job(&folder, false);
    let text = printed(&mut observe(folder.path(), &["--once"]));
    assert!(
        text.contains("Not read: text.ring: it is no ring of records"),
        "{text}"
    );
    assert!(text.contains("AllReduce"), "{text}");

    // Of a ring with a flipped bit the record is skipped and counted.
    let ring = folder
        .path()
        .join(format!("events-{}-0.ring", ranks[0].pid()));
    ranks[0].ring().push(&all_reduce(30, 640));
    ranks[0].ring().push(&all_reduce(31, 640));
    let mut bytes = fs::read(&ring).unwrap();
    let at = bytes
        .windows(8)
        .position(|w| w == 30_u64.to_le_bytes())
        .unwrap();
    bytes[at] ^= 0xff;
    use std::os::unix::fs::FileExt;
    fs::OpenOptions::new()
        .write(true)
        .open(&ring)
        .unwrap()
        .write_all_at(&bytes[at..=at], at as u64)
        .unwrap();
    let report = json(folder.path(), &[]);
    assert_eq!(
        (&report["records"], &report["lost"]["damaged"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn losses_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let rank = Rank::new(folder.path(), 0, false);
    for sequence in 0..u64::from(SLOTS) + 44 {
        rank.ring().push(&all_reduce(sequence, 640));
    }
    rank.ring().count_late();
    let text = printed(&mut observe(folder.path(), &["--once"]));
    assert!(
        text.contains("Missing: 44 records found a ring full; 1 events came after"),
        "{text}"
    );
    assert!(
        text.contains("one rank was seen") || text.contains("72 %"),
        "{text}"
    );
}

#[test]
fn before_2_27_nobody_says_how_many_ranks_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let rank = Rank::new(folder.path(), 0, false);
    rank.ring().describe(
        4096,
        Membership {
            id: 7,
            ranks: 0,
            nodes: 0,
            rank: 5,
        },
    );
    let host = Record {
        timing: Timing::Proxy,
        ..all_gather(0)
    };
    let enqueued = Record {
        timing: Timing::Enqueue,
        ..all_reduce(0, 3)
    };
    rank.ring().push(&host);
    rank.ring().push(&enqueued);
    let text = printed(&mut observe(folder.path(), &["--once"]));
    assert!(text.contains("Ranks ?: NCCL before 2.27"), "{text}");
    assert!(
        text.contains("host = the host's clock") && text.contains("only the enqueuing was seen"),
        "{text}"
    );
    rank.ring().push(&host);
    rank.ring().push(&enqueued);
    let report = json(folder.path(), &[]);
    let rows = &report["rows"];
    assert_eq!(
        (&rows[0]["ranks"], &rows[0]["busbw_gbs"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&rows[0]["clock"], &rows[0]["min_bytes"]),
        (&"host".into(), &(4 << 20).into())
    );
    assert_eq!(
        (&rows[1]["clock"], &rows[1]["median_us"]),
        (&"none".into(), &Value::Null)
    );
}

#[test]
fn ranks_are_asked_for_less_and_for_more() {
    let folder = tempfile::tempdir().unwrap();
    let rank = Rank::new(folder.path(), 0, false);
    rank.ring().push(&all_reduce(0, 640));
    let report = json(folder.path(), &["--sample", "10", "--depth", "kernels"]);
    assert_eq!(
        report["asked"],
        serde_json::json!({"depth": "kernels", "sample": 10})
    );
    let kernels = Control {
        kinds: (kind::COLLECTIVE | kind::KERNEL_CHANNEL) as u32,
        one_in: 10,
    };
    assert_eq!(rank.ring().control(), kernels);
    // What is not named stays.
    json(folder.path(), &["--sample", "1"]);
    assert_eq!(
        rank.ring().control(),
        Control {
            one_in: 1,
            ..kernels
        }
    );
    json(folder.path(), &["--depth", "transfers"]);
    assert_eq!(
        rank.ring().control(),
        Control {
            kinds: ALL_KINDS,
            one_in: 1
        }
    );
    // Sampled records stand for many calls.
    rank.ring().push(&Record {
        sampled: 10,
        ..all_reduce(10, 640)
    });
    assert_eq!(json(folder.path(), &[])["rows"][0]["calls"], 10);
}

/// An observer that is left running, and its lines.
fn follow(job: &Path) -> (Child, impl Iterator<Item = Value> + use<>) {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("ccl-agent"))
        .arg("observe")
        .arg("--job")
        .arg(job)
        .args(["--json", "--every", "0.1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let objects = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    (child, objects)
}

#[test]
fn it_follows_ranks_that_come_and_die_and_ends_with_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut reports) = follow(folder.path());
    // It waits for the first.
    let mut ranks = vec![Rank::new(folder.path(), 0, false)];
    let report = reports.next().unwrap();
    assert_eq!(
        (&report["processes"], &report["is_last"]),
        (&1.into(), &false.into())
    );

    // A second observer is told of the first; the first goes on.
    let said = refused(&mut observe(folder.path(), &["--once"]));
    assert!(
        said.contains(&format!("process {} observes this job", child.id())),
        "{said}"
    );

    ranks.push(Rank::new(folder.path(), 1, false));
    ranks[0].ring().push(&all_reduce(0, 640));
    ranks[1].ring().push(&all_reduce(0, 640));
    let report = reports.find(|r| r["records"] == 2).unwrap();
    assert_eq!(report["living"], 2);
    // What a rank wrote last is read although it died.
    ranks[1].ring().push(&all_reduce(1, 640));
    ranks[1].die();
    let report = reports
        .find(|r| r["records"] == 3 && r["living"] == 1)
        .unwrap();
    assert_eq!(
        (&report["processes"], &report["is_last"]),
        (&2.into(), &false.into())
    );
    ranks[0].ring().push(&all_reduce(2, 640));
    ranks[0].die();
    let last = reports.last().unwrap();
    assert_eq!(
        (&last["records"], &last["living"], &last["is_last"]),
        (&4.into(), &0.into(), &true.into())
    );
    assert!(child.wait().unwrap().success());

    // Whoever looks now finds a job that is over, and nothing that was read before.
    let text = printed(&mut observe(folder.path(), &[]));
    assert!(text.contains("2 processes, all over; 0 records"), "{text}");
    assert!(text.contains("No collective was recorded yet."), "{text}");
}

#[test]
fn an_interrupt_ends_it_after_a_last_table_and_frees_the_rings() {
    let folder = tempfile::tempdir().unwrap();
    let rank = Rank::new(folder.path(), 0, false);
    let (child, mut reports) = follow(folder.path());
    assert_eq!(reports.next().unwrap()["is_last"], false);
    rank.ring().push(&all_reduce(0, 640));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let last = reports.last().unwrap();
    assert_eq!(
        (&last["is_last"], &last["records"]),
        (&true.into(), &1.into())
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("interrupted; the job goes on as it was"),
        "{said}"
    );
    // The rings are free for the next.
    assert_eq!(json(folder.path(), &[])["records"], 0);
}

#[test]
fn an_observer_without_readers_ends() {
    let folder = tempfile::tempdir().unwrap();
    let _rank = Rank::new(folder.path(), 0, false);
    let (mut child, mut reports) = follow(folder.path());
    reports.next().unwrap();
    drop(reports);
    assert!(child.wait().unwrap().success());
}
