//! Embeddings: texts that share words point the same way, and that is all there is to them.

use serde_json::{Value, json};

/// Numbers of a vector.
const SIZE: usize = 32;

/// The answer to a request for embeddings, if it is one.
pub(crate) fn answer(target: &str, body: &Value) -> Option<Value> {
    let path = target.split('?').next().unwrap_or_default();
    let inputs = |pointer: &str| {
        body.pointer(pointer)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    if path.ends_with("/api/embed") {
        let vectors: Vec<_> = inputs("/input").iter().map(vector).collect();
        Some(json!({"model": body["model"], "embeddings": vectors}))
    } else if path.ends_with("/embeddings") {
        // In another order than asked: the index is what counts.
        let data: Vec<Value> = inputs("/input")
            .iter()
            .enumerate()
            .rev()
            .map(|(index, text)| {
                json!({"object": "embedding", "index": index, "embedding": vector(text)})
            })
            .collect();
        Some(json!({"object": "list", "model": body["model"], "data": data}))
    } else if path.ends_with(":batchEmbedContents") {
        let vectors: Vec<Value> = inputs("/requests")
            .iter()
            .map(|r| json!({"values": vector(&r["content"]["parts"][0]["text"])}))
            .collect();
        Some(json!({"embeddings": vectors}))
    } else {
        None
    }
}

fn vector(text: &Value) -> Vec<f32> {
    let mut vector = vec![0.0_f32; SIZE];
    let text = text.as_str().unwrap_or_default().to_lowercase();
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
    {
        // FNV-1a, so that it is the same everywhere.
        let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let place = usize::try_from(hash % SIZE as u64).unwrap_or(0);
        vector[place] += if hash & (1 << 40) == 0 { 1.0 } else { -1.0 };
    }
    vector
}
