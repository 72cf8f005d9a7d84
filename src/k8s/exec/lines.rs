//! Output as lines.

/// Longest line given to `on_line`, bytes; a longer one comes in pieces.
const LINE_LIMIT: usize = 1 << 20;

/// Splits bytes into lines.
#[derive(Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    pub(super) fn push(&mut self, mut bytes: &[u8], on_line: &mut impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.rest.extend_from_slice(&bytes[..end]);
            self.flush(on_line);
            bytes = &bytes[end + 1..];
        }
        self.rest.extend_from_slice(bytes);
        if self.rest.len() > LINE_LIMIT {
            self.flush(on_line);
        }
    }

    fn flush(&mut self, on_line: &mut impl FnMut(&str)) {
        on_line(&String::from_utf8_lossy(&self.rest));
        self.rest.clear();
    }

    pub(super) fn finish(&mut self, on_line: &mut impl FnMut(&str)) {
        if !self.rest.is_empty() {
            self.flush(on_line);
        }
    }
}
