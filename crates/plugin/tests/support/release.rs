//! The shared object as it ships, and a program that drives it: built in release mode, in the target
//! directory of the test that asks.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What was built.
pub struct Release {
    /// The shared object.
    pub library: PathBuf,
    /// `hot_path`, of this crate.
    pub driver: PathBuf,
}

/// Builds both, if they are not there.
pub fn build() -> Release {
    // target/debug/deps/test-0123456789abcdef
    let test = std::env::current_exe().unwrap();
    let target = test.ancestors().nth(3).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--release", "--locked", "--offline", "--quiet"])
        .args(["-p", "ccl-plugin", "--lib", "--bin", "hot_path"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .status()
        .unwrap();
    assert!(status.success(), "the release build failed");
    let folder = target.join("release");
    Release {
        library: folder.join("libnccl_ccl_agent.so"),
        driver: folder.join("hot_path"),
    }
}
