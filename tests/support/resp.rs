//! Splits a byte stream into whole RESP frames (requests or answers, RESP2 and RESP3).

use bytes::{Bytes, BytesMut};

/// One whole request or answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Its bytes, as they came.
    pub(crate) data: Bytes,
    /// `false` for bytes that are not RESP; they come as one piece, unsplit.
    pub(crate) is_resp: bool,
}

impl Frame {
    /// Whether this is a push message of RESP3, which answers no request.
    pub(crate) fn is_push(&self) -> bool {
        self.data.first() == Some(&b'>')
    }

    /// Whether it begins with these words: a command's name, maybe with its first arguments.
    pub(crate) fn begins_with(&self, words: &str) -> bool {
        let lines = self.data.split(|byte| *byte == b'\n').skip(2).step_by(2);
        let mut own = lines.map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
        words.split(' ').all(|word| own.next().is_some_and(|own| own.eq_ignore_ascii_case(word)))
    }

    /// The command's name in upper case, when this is a request.
    pub(crate) fn command(&self) -> Option<String> {
        let mut lines = self.data.split(|byte| *byte == b'\n');
        let first = lines.next()?;
        let word = match first.first()? {
            b'*' => lines.nth(1)?, // after the bulk string's length
            _ => first.split(|byte| *byte == b' ').next()?,
        };
        Some(String::from_utf8_lossy(word).trim_end().to_ascii_uppercase())
    }
}

/// Collects bytes and gives back whole frames.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    buffer: BytesMut,
    /// How far into `buffer` the unfinished frame has been read.
    at: usize,
    /// How many values of the unfinished frame are still to come; 0 between frames.
    missing: u64,
    /// Something was not RESP: from here on bytes pass as they come.
    lost: bool,
}

enum Step {
    Done(usize),
    NeedMore,
    NotResp,
}

impl Framer {
    /// Adds bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        if self.lost {
            return self.rest();
        }
        if self.missing == 0 {
            self.at = 0;
            self.missing = 1;
        }
        while self.missing > 0 {
            match self.read_value() {
                Step::Done(end) => self.at = end,
                Step::NeedMore => return None,
                Step::NotResp => {
                    self.lost = true;
                    return self.rest();
                }
            }
        }
        let data = self.buffer.split_to(self.at).freeze();
        Some(Frame { data, is_resp: true })
    }

    /// Whatever is left, whole or not (the stream has ended).
    pub(crate) fn rest(&mut self) -> Option<Frame> {
        let data = self.buffer.split().freeze();
        self.missing = 0;
        (!data.is_empty()).then_some(Frame { data, is_resp: false })
    }

    /// Reads one value (of an aggregate: its head only, its items count as missing).
    fn read_value(&mut self) -> Step {
        let unread = &self.buffer[self.at..];
        let Some(&kind) = unread.first() else {
            return Step::NeedMore;
        };
        let Some(newline) = unread.iter().position(|byte| *byte == b'\n') else {
            return if known(kind) { Step::NeedMore } else { Step::NotResp };
        };
        let line_end = self.at + newline + 1;
        let number =
            || std::str::from_utf8(&unread[1..newline]).ok()?.trim_end().parse::<i64>().ok();
        let (items, body) = match kind {
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => (0, 0),
            b'$' | b'!' | b'=' => match number() {
                Some(length) if length >= 0 => (0, length as usize + 2),
                Some(_) => (0, 0),
                None => return Step::NotResp,
            },
            b'*' | b'~' | b'>' => match number() {
                Some(count) => (count.max(0) as u64, 0),
                None => return Step::NotResp,
            },
            b'%' | b'|' => match number() {
                // Attributes (`|`) stand before the value that they describe.
                Some(pairs) => (pairs.max(0) as u64 * 2 + u64::from(kind == b'|'), 0),
                None => return Step::NotResp,
            },
            kind if known(kind) => (0, 0), // an inline command
            _ => return Step::NotResp,
        };
        if unread.len() < newline + 1 + body {
            return Step::NeedMore;
        }
        self.missing = self.missing - 1 + items;
        Step::Done(line_end + body)
    }
}

fn known(kind: u8) -> bool {
    kind.is_ascii_alphabetic() || b"+-:_#,($!=*~>%|".contains(&kind)
}
