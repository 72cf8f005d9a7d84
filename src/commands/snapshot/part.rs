//! A tar of a dump that is being written to the user's disk, or was written in part.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::tar::{self, BLOCK, END, File};

/// The tar as far as it is written. What was written is right, up to here.
pub(super) struct Part<'a> {
    out: fs::File,
    directory: &'a str,
    files: &'a [File],
    seconds: u64,
    /// The file that is being written, by its number.
    at: usize,
    /// Bytes of it that are written.
    written: u64,
    hash: Sha256,
}

impl<'a> Part<'a> {
    /// Opens it, and checks what is in it already: from the first byte that is wrong on it is written anew.
    ///
    /// # Errors
    /// When it cannot be read or written, or is no part of this dump.
    pub(super) fn open(
        path: &Path,
        directory: &'a str,
        files: &'a [File],
        seconds: u64,
    ) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // Hashes of passwords are in it.
            options.mode(0o600);
        }
        let mut part = Self {
            out: options.open(path)?,
            directory,
            files,
            seconds,
            at: 0,
            written: 0,
            hash: Sha256::new(),
        };
        let kept = part.check()?;
        part.out.set_len(kept)?;
        part.out.seek(SeekFrom::Start(kept))?;
        Ok(part)
    }

    /// Reads what there is; returns how many bytes of it are right and kept.
    fn check(&mut self) -> io::Result<u64> {
        let length = self.out.metadata()?.len();
        let mut reader = io::BufReader::with_capacity(1 << 20, &self.out);
        let mut start = 0;
        let mut buffer = vec![0; 1 << 16];
        for (number, file) in self.files.iter().enumerate() {
            (self.at, self.written, self.hash) = (number, 0, Sha256::new());
            let mut header = [0; 512];
            if length < start + BLOCK {
                return Ok(start);
            }
            reader.read_exact(&mut header)?;
            if header != tar::header(self.directory, file, self.seconds) {
                if number == 0 {
                    return Err(io::Error::other(
                        "it holds something else than this dump and is not overwritten; remove it, or name another file",
                    ));
                }
                return Ok(start);
            }
            let there = file.size.min(length - start - BLOCK);
            while self.written < there {
                let some = usize::try_from(there - self.written).unwrap_or(usize::MAX);
                let some = some.min(buffer.len());
                reader.read_exact(&mut buffer[..some])?;
                self.hash.update(&buffer[..some]);
                self.written += some as u64;
            }
            if self.written < file.size {
                return Ok(start + BLOCK + self.written);
            }
            let sum: [u8; 32] = self.hash.clone().finalize().into();
            if sum != file.sum || length < start + file.room() {
                (self.written, self.hash) = (0, Sha256::new());
                return Ok(start);
            }
            let padding = file.room() - BLOCK - file.size;
            io::copy(&mut reader.by_ref().take(padding), &mut io::sink())?;
            start += file.room();
        }
        (self.at, self.written, self.hash) = (self.files.len(), 0, Sha256::new());
        Ok(start)
    }

    /// The file to go on with and the bytes of it that are there; none when all are.
    pub(super) fn next(&self) -> Option<(usize, u64)> {
        (self.at < self.files.len()).then_some((self.at, self.written))
    }

    /// Bytes of files that are written.
    pub(super) fn done(&self) -> u64 {
        let whole: u64 = self.files[..self.at].iter().map(|file| file.size).sum();
        whole + self.written
    }

    /// Takes in the next bytes of the files' contents.
    ///
    /// # Errors
    /// When they cannot be written, or a file's checksum is not the manifest's.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.close_whole()?;
        while !bytes.is_empty() {
            let Some(file) = self.files.get(self.at) else {
                return Err(io::Error::other(
                    "the pod sends more than the manifest names",
                ));
            };
            let left = usize::try_from(file.size - self.written).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(left.min(bytes.len()));
            if self.written == 0 {
                self.begin()?;
            }
            self.out.write_all(now)?;
            self.hash.update(now);
            self.written += now.len() as u64;
            bytes = rest;
            self.close_whole()?;
        }
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        let position = self.out.stream_position()?;
        // A part that was cut right behind a header has it already.
        let start: u64 = self.files[..self.at].iter().map(File::room).sum();
        if position == start {
            let header = tar::header(self.directory, &self.files[self.at], self.seconds);
            self.out.write_all(&header)?;
        }
        Ok(())
    }

    /// Ends each file whose last byte is there.
    fn close_whole(&mut self) -> io::Result<()> {
        while let Some(file) = self.files.get(self.at) {
            if self.written < file.size {
                return Ok(());
            }
            if file.size == 0 {
                self.begin()?;
            }
            let sum: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
            if sum != file.sum {
                return Err(io::Error::other(format!(
                    "{} is corrupted: its checksum is not the manifest's",
                    file.name
                )));
            }
            let padding = usize::try_from(file.room() - BLOCK - file.size).unwrap_or(0);
            self.out.write_all(&[0; 512][..padding])?;
            self.at += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// Writes the end and syncs it.
    ///
    /// # Errors
    /// When files are missing, or it cannot be written.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.close_whole()?;
        if self.at < self.files.len() {
            return Err(io::Error::other("files are missing"));
        }
        let zeros = usize::try_from(END).unwrap_or(0);
        self.out.write_all(&vec![0; zeros])?;
        self.out.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dump() -> (Vec<File>, Vec<u8>) {
        let contents: [&[u8]; 4] = [b"first", b"", &[7; 3000], b"manifest"];
        let files = contents.iter().enumerate().map(|(n, content)| File {
            name: format!("f{n}"),
            size: content.len() as u64,
            sum: Sha256::digest(content).into(),
        });
        (files.collect(), contents.concat())
    }

    #[test]
    fn a_part_is_gone_on_with_wherever_it_was_cut() {
        let (files, stream) = dump();
        let place = tempfile::tempdir().unwrap();
        let (path, whole) = (place.path().join("part"), place.path().join("whole"));
        let mut part = Part::open(&whole, "d", &files, 1).unwrap();
        part.take(&stream).unwrap();
        part.finish().unwrap();
        let expected = std::fs::read(&whole).unwrap();
        for cut in [
            0,
            1,
            512,
            514,
            517,
            1024,
            1500,
            1536,
            2047,
            2048,
            3000,
            5060,
            5632,
            expected.len(),
        ] {
            std::fs::write(&path, &expected[..cut]).unwrap();
            let mut part = Part::open(&path, "d", &files, 1).unwrap();
            let done = usize::try_from(part.done()).unwrap();
            part.take(&stream[done..]).unwrap();
            part.finish().unwrap();
            assert!(std::fs::read(&path).unwrap() == expected, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_wrong_in_a_part_is_written_anew_and_what_is_wrong_in_a_stream_is_said() {
        let (files, stream) = dump();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("part");
        let mut part = Part::open(&path, "d", &files, 1).unwrap();
        part.take(&stream).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[2000] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Part::open(&path, "d", &files, 1).unwrap().done(), 5);
        assert!(Part::open(&path, "other", &files, 1).is_err());
        let mut part = Part::open(&path, "d", &files, 1).unwrap();
        let mut wrong = stream[5..].to_vec();
        wrong[10] ^= 1;
        let error = part.take(&wrong).unwrap_err();
        assert!(error.to_string().contains("f2 is corrupted"), "{error}");
    }
}
