//! The order against the one NCCL's generator makes.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::process::Command;

use super::{Function, all};

/// As the generator writes it.
fn text(function: &Function) -> String {
    let parts = [
        function.collective,
        function.reduction,
        function.datatype,
        function.algorithm,
        function.protocol,
    ];
    let named: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    named.join(" ")
}

/// What the generator of v2.21.5-1 printed for some of them.
#[test]
fn indices_are_those_of_nccl_2_21_5() {
    assert_eq!(all().len(), 555);
    for (index, expected) in [
        (2, "AllGather RING LL"),
        (43, "AllReduce MinMax i64 NVLS SIMPLE"),
        (209, "AllReduce Sum f32 RING LL"),
        (214, "AllReduce Sum f32 TREE SIMPLE"),
        (272, "AllReduce SumPostDiv i8 RING LL128"),
        (303, "Broadcast RING SIMPLE"),
        (346, "Reduce Prod bf16 RING LL"),
        (528, "ReduceScatter Sum u8 RING LL128"),
        (553, "ReduceScatter SumPostDiv u8 RING SIMPLE"),
        (554, "SendRecv"),
    ] {
        assert_eq!(
            Function::at(index).map(|f| text(&f)).as_deref(),
            Some(expected)
        );
    }
    assert_eq!(Function::at(555), None);
    // What NCCL's host code answers for a function that does not exist, as 16 bits.
    assert_eq!(Function::at(u16::MAX), None);
}

/// All of them, where `CCL_NCCL_SOURCE` names a source tree of NCCL at tag v2.21.5-1.
#[test]
fn all_indices_are_those_of_the_generator() {
    let Some(source) = std::env::var_os("CCL_NCCL_SOURCE").map(std::path::PathBuf::from) else {
        eprintln!("skipped: CCL_NCCL_SOURCE names no source tree of NCCL");
        return;
    };
    let version = std::fs::read_to_string(source.join("makefiles/version.mk")).unwrap();
    if !version.replace(' ', "").contains("NCCL_MINOR:=21\n") {
        eprintln!("skipped: CCL_NCCL_SOURCE is not NCCL 2.21");
        return;
    }
    let folder = std::env::temp_dir().join(format!("ccl-stub-functions-{}", std::process::id()));
    let status = Command::new("python3")
        .arg(source.join("src/device/generate.py"))
        .arg(&folder)
        .status()
        .unwrap();
    assert!(status.success());
    let table = std::fs::read_to_string(folder.join("host_table.cc")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let rows = table
        .split("ncclDevFuncRowToId[] = {")
        .nth(1)
        .unwrap()
        .split("};")
        .next()
        .unwrap();
    let mut generated: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for row in rows.lines() {
        let Some((index, name)) = row
            .split_once("*/ ")
            .and_then(|(_, row)| row.split_once(", // "))
        else {
            continue;
        };
        generated
            .entry(index.parse().unwrap())
            .or_default()
            .push(name);
    }
    assert_eq!(generated.len(), all().len());
    for (index, names) in generated {
        let ours = text(&Function::at(index).unwrap());
        assert!(
            names.contains(&ours.as_str()),
            "{index}: {ours} is not in {names:?}"
        );
    }
}

#[test]
fn a_function_names_the_kernel_that_is_launched_for_it() {
    for (index, kernel) in [
        (209, "ncclDevKernel_AllReduce_Sum_f32_RING_LL"),
        (214, "ncclDevKernel_AllReduce_Sum_f32_TREE_LL"),
        (272, "ncclDevKernel_AllReduce_Sum_u8_RING_LL"),
        (303, "ncclDevKernel_Broadcast_RING_LL"),
        (528, "ncclDevKernel_ReduceScatter_Sum_u8_RING_LL"),
        (554, "ncclDevKernel_SendRecv"),
    ] {
        assert_eq!(
            Function::at(index).map(|f| f.kernel()).as_deref(),
            Some(kernel)
        );
    }
}
