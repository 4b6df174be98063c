//! Tiny models, written here.

use std::fs;
use std::path::Path;

use safetensors::serialize;
use serde_json::json;

use super::*;

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

/// Four words and the unknown one.
fn write_tokenizer(folder: &Path) {
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": null, "decoder": null,
        "model": {
            "type": "WordLevel", "unk_token": "[UNK]",
            "vocab": {"[UNK]": 0, "ring": 1, "tree": 2, "slow": 3, "card": 4}
        }
    });
    fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

fn write_model(folder: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    fs::write(
        folder.join("model.safetensors"),
        serialize(views, None).unwrap(),
    )
    .unwrap();
}

const ROWS: [f32; 10] = [9.0, 9.0, 1.0, 0.0, 0.0, 1.0, 0.5, -2.0, 4.0, 4.0];

#[test]
fn a_text_is_the_mean_of_its_known_tokens() {
    let folder = tempfile::tempdir().unwrap();
    write_tokenizer(folder.path());
    write_model(
        folder.path(),
        &[("embeddings", Dtype::F32, vec![5, 2], bytes(&ROWS))],
    );
    let model = LocalEmbedder::open(folder.path()).unwrap();
    let vectors = model
        .embed(&["Ring tree", "ring zebra", "", "slow"])
        .unwrap();
    assert_eq!(vectors, [[0.5, 0.5], [1.0, 0.0], [0.0, 0.0], [0.5, -2.0]]);
}

#[test]
fn shared_rows_weights_and_half_precision_are_read() {
    let folder = tempfile::tempdir().unwrap();
    write_tokenizer(folder.path());
    // binary16: 1.0, 0.0, -2.0, 0.5
    let rows = [0x3c00_u16, 0, 0xc000, 0x3800]
        .iter()
        .flat_map(|b| b.to_le_bytes())
        .collect();
    let mapping = [0_i64, 0, 1, 1, 0]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    write_model(
        folder.path(),
        &[
            ("embeddings", Dtype::F16, vec![2, 2], rows),
            ("mapping", Dtype::I64, vec![5], mapping),
            (
                "weights",
                Dtype::F32,
                vec![5],
                bytes(&[1.0, 3.0, 1.0, 2.0, 1.0]),
            ),
        ],
    );
    let model = LocalEmbedder::open(folder.path()).unwrap();
    assert_eq!(
        model.embed(&["ring", "slow"]).unwrap(),
        [[3.0, 0.0], [-4.0, 1.0]]
    );
}

#[test]
fn what_is_no_model_is_refused_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let refused = || {
        LocalEmbedder::open(folder.path())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refused().contains("tokenizer.json"));
    write_tokenizer(folder.path());
    assert!(refused().contains("model.safetensors"));
    fs::write(folder.path().join("model.safetensors"), "\u{0}nonsense").unwrap();
    assert!(refused().contains("model.safetensors"));
    write_model(
        folder.path(),
        &[("embeddings", Dtype::F32, vec![4, 2], bytes(&ROWS[..8]))],
    );
    assert!(refused().contains("5 tokens"), "{}", refused());
    write_model(
        folder.path(),
        &[("other", Dtype::F32, vec![5, 2], bytes(&ROWS))],
    );
    assert!(refused().contains("no tensor named embeddings"));
}

#[test]
fn half_precision_has_all_its_numbers() {
    for (bits, value) in [
        (0x7bff, 65504.0),
        (0x0001, 5.960_464_5e-8),
        (0x8000, -0.0),
        (0xfc00, f32::NEG_INFINITY),
    ] {
        assert!(half(bits).to_bits() == f32::to_bits(value), "{bits:x}");
    }
    assert!(half(0x7e00).is_nan());
}
