//! A dump as a tar: always the same bytes for the same dump, so that a part of it can be gone on with.
//!
//! Format: POSIX ustar (IEEE Std 1003.1, pax), sizes beyond 8 GiB in base 256 as GNU tar writes them.

use sha2::{Digest, Sha256};

/// Bytes of a tar's block.
pub(super) const BLOCK: u64 = 512;
/// The end of a tar: two empty blocks.
pub(super) const END: u64 = 2 * BLOCK;

/// One file of a dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Its name below the dump's directory.
    pub(super) name: String,
    /// Its bytes.
    pub(super) size: u64,
    /// Its SHA-256.
    pub(super) sum: [u8; 32],
}

impl File {
    /// Bytes that it takes in a tar, header and padding included.
    pub(super) fn room(&self) -> u64 {
        BLOCK + self.size.next_multiple_of(BLOCK)
    }
}

/// Reads what the pod says of a dump: `sizes`, `manifest`, and the sizes of these two.
///
/// # Errors
/// A sentence that says what is wrong with the dump.
pub(super) fn files(lines: &[String]) -> Result<Vec<File>, String> {
    let mut sizes = std::collections::BTreeMap::new();
    let mut files = Vec::new();
    let mut manifest = Sha256::new();
    for line in lines {
        let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
        let Some(sum) = hex(first) else {
            let size: u64 = first
                .parse()
                .map_err(|_| format!("its list of files holds {line:?}"))?;
            sizes.insert(rest.to_owned(), size);
            continue;
        };
        manifest.update(line.as_bytes());
        manifest.update(b"\n");
        let name = rest.trim_start_matches([' ', '*']).to_owned();
        files.push((name, sum));
    }
    if files.is_empty() {
        return Err("it has no manifest, so it was never finished".to_owned());
    }
    files.push(("manifest".to_owned(), manifest.finalize().into()));
    files
        .into_iter()
        .map(|(name, sum)| {
            let legal = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
            if name.len() > 100 || !name.chars().all(legal) || name.contains("..") {
                return Err(format!("its manifest names {name:?}"));
            }
            let size = *sizes
                .get(&name)
                .ok_or_else(|| format!("{name} is missing"))?;
            Ok(File { name, size, sum })
        })
        .collect()
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut sum = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in sum.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(sum)
}

/// The header of a file in `directory`, changed at `seconds` after the epoch.
pub(super) fn header(directory: &str, file: &File, seconds: u64) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, file.name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    if file.size < 1 << 33 {
        put(124, format!("{:011o}\0", file.size).as_bytes());
    } else {
        put(124, &[0x80, 0, 0, 0]);
        put(128, &file.size.to_be_bytes());
    }
    put(136, format!("{seconds:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(345, directory.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> File {
        File {
            name: name.to_owned(),
            size: content.len() as u64,
            sum: Sha256::digest(content).into(),
        }
    }

    #[test]
    fn tar_reads_what_is_written() {
        let content = vec![b'x'; 700];
        let (one, two) = (file("1/toc.dat", &content), file("manifest", b"m"));
        let mut bytes = Vec::new();
        for (file, content) in [(&one, content.as_slice()), (&two, b"m".as_slice())] {
            let start = bytes.len() as u64;
            bytes.extend(header("pg-upgrade-pg-1-dump", file, 1_800_000_000));
            bytes.extend(content);
            bytes.resize(usize::try_from(start + file.room()).unwrap(), 0);
        }
        bytes.resize(bytes.len() + usize::try_from(END).unwrap(), 0);
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("dump.tar");
        std::fs::write(&path, bytes).unwrap();
        let listed = std::process::Command::new("tar")
            .arg("-tvf")
            .arg(&path)
            .output()
            .unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.status.success());
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.len() == 2 && lines[0].starts_with("-rw-------") && lines[0].contains(" 700 "),
            "{text}"
        );
        assert!(
            lines[0].ends_with("pg-upgrade-pg-1-dump/1/toc.dat"),
            "{text}"
        );
    }

    #[test]
    fn what_the_pod_says_becomes_files() {
        let sum = "ab".repeat(32);
        let say =
            |lines: &[&str]| files(&lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>());
        let entry = format!("{sum}  1/toc.dat");
        let found = say(&["700 1/toc.dat", "70 manifest", &entry]).unwrap();
        assert_eq!(
            (found[0].name.as_str(), found[0].size, found[0].sum[0]),
            ("1/toc.dat", 700, 0xab)
        );
        assert_eq!(
            (found[1].name.as_str(), found[1].room()),
            ("manifest", 1024)
        );
        assert!(say(&["70 manifest"]).unwrap_err().contains("no manifest"));
        assert!(
            say(&["70 manifest", &entry])
                .unwrap_err()
                .contains("is missing")
        );
        let escape = format!("{sum}  ../../etc/passwd");
        assert!(say(&["1 ../../etc/passwd", "7 manifest", &escape]).is_err());
    }
}
