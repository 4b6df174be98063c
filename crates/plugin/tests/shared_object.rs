//! The shared object as a dynamic loader sees it: its symbols, what it needs, that it stays.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    clippy::print_stderr
)]

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ccl_abi::nccl::env::EnvV2;
use ccl_abi::nccl::tuner::TunerV6;

#[allow(dead_code)] // the driver is for others
#[path = "support/release.rs"]
mod release;

/// The object that was built beside this test.
fn object() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let found = test
        .ancestors()
        .map(|folder| folder.join("libnccl_ccl_agent.so"))
        .find(|path| path.exists());
    found.unwrap()
}

#[test]
fn every_interface_is_exported_and_can_be_called() {
    let library = unsafe { libloading::Library::new(object()) }.unwrap();
    for version in 2..=6 {
        let symbol = format!("ncclTunerPlugin_v{version}\0");
        let tuner = unsafe { library.get::<*const TunerV6>(symbol.as_bytes()) }.unwrap();
        // The name is the first field of every version.
        let name = unsafe { CStr::from_ptr((**tuner).name.0) };
        assert_eq!(name, c"ccl-agent", "v{version}");
    }
    for version in 1..=2 {
        let symbol = format!("ncclEnvPlugin_v{version}\0");
        let env = unsafe { library.get::<*const EnvV2>(symbol.as_bytes()) }.unwrap();
        let name = unsafe { CStr::from_ptr((**env).name.0) };
        assert_eq!(name, c"ccl-agent", "env v{version}");
    }
    assert!(unsafe { library.get::<*const ()>(b"ncclTunerPlugin_v7\0") }.is_err());
}

#[test]
fn it_needs_the_c_library_only_and_is_never_unmapped() {
    needs_the_c_library_only(&object());
}

#[test]
fn as_it_ships_it_needs_no_more_and_is_below_a_mebibyte_stripped() {
    let release = release::build();
    needs_the_c_library_only(&release.library);
    let stripped = std::env::temp_dir().join(format!("ccl-stripped-{}.so", std::process::id()));
    let status = Command::new("strip")
        .args(["--strip-all", "-o"])
        .arg(&stripped)
        .arg(&release.library)
        .status();
    assert!(
        status
            .expect("binutils, which the linker is part of")
            .success()
    );
    let bytes = std::fs::metadata(&stripped).unwrap().len();
    std::fs::remove_file(stripped).unwrap();
    eprintln!("{bytes} bytes");
    assert!(bytes < 1 << 20, "{bytes} bytes");
}

fn needs_the_c_library_only(object: &Path) {
    let Ok(output) = Command::new("readelf").arg("-d").arg(object).output() else {
        eprintln!("skipped: no readelf");
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let mut needed: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| {
            line.split_once('[')?
                .1
                .split_once(']')
                .map(|(name, _)| name)
        })
        .collect();
    needed.sort_unstable();
    let allowed = [
        "ld-linux-aarch64.so.1",
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "libgcc_s.so.1",
        "libm.so.6",
    ];
    assert!(
        needed.iter().all(|name| allowed.contains(name)),
        "{needed:?}"
    );
    assert!(text.contains("NODELETE"), "{text}");
}

#[test]
fn the_dependency_tree_is_golden() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            "ccl-plugin",
            "-e",
            "normal,build",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(
        names,
        ["ccl-plugin", "ccl-abi"],
        "think twice before anything is added here"
    );
}

/// The variables the source reads, and those the reference page explains.
#[test]
fn the_reference_page_names_every_variable() {
    fn texts(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let of = |path: PathBuf| match path.is_dir() {
            true => texts(&path),
            false => vec![std::fs::read_to_string(path).unwrap()],
        };
        entries
            .flat_map(|entry| of(entry.unwrap().path()))
            .collect()
    }
    let names = |text: &str| -> BTreeSet<String> {
        let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
        text.split(|c: char| !is_part(c))
            .filter(|word| word.starts_with("CCL_AGENT_"))
            .map(str::to_owned)
            .collect()
    };
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read: BTreeSet<String> = texts(&crate_folder.join("src"))
        .iter()
        .flat_map(|text| names(text))
        .collect();
    let page = std::fs::read_to_string(crate_folder.join("../../doc/reference/plugin.md")).unwrap();
    assert_eq!(names(&page), read);
}
