//! Reads the files a user names: whole, if they are files, and of a size that can be meant.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of a regular file of at most `most_bytes`. Opening anything else could wait for ever.
///
/// # Errors
/// What the file system says; no regular file, a longer one, or no UTF-8.
pub fn read(path: &Path, most_bytes: usize) -> io::Result<String> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if !std::fs::metadata(path)?.is_file() {
        return Err(invalid("it is no regular file".to_owned()));
    }
    let mut text = String::new();
    // It may grow meanwhile; one byte more than allowed is enough to know.
    let most = u64::try_from(most_bytes).unwrap_or(u64::MAX);
    File::open(path)?
        .take(most.saturating_add(1))
        .read_to_string(&mut text)?;
    if text.len() > most_bytes {
        return Err(invalid(format!("it is longer than {most_bytes} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_sane_size_are_read() {
        let path = std::env::temp_dir().join(format!("ccl-plugin-text-{}", std::process::id()));
        std::fs::write(&path, "eight by").unwrap();
        assert_eq!(read(&path, 8).unwrap(), "eight by");
        assert!(read(&path, 7).unwrap_err().to_string().contains("longer"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(read(&path, 8).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path, 8).is_err());
        for no_file in ["/dev/zero", "/"] {
            let error = read(Path::new(no_file), 8).unwrap_err();
            assert!(error.to_string().contains("regular"), "{no_file}");
        }
    }
}
