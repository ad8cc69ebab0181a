//! The bytes of the protocol, split into commands and answers.

use crate::support::{Frame, Framer};

fn frames(pieces: &[&[u8]]) -> Vec<Frame> {
    let mut framer = Framer::default();
    let mut frames = Vec::new();
    for piece in pieces {
        framer.push(piece);
        frames.extend(std::iter::from_fn(|| framer.next_frame()));
    }
    frames
}

#[test]
fn framer_splits_wherever_the_bytes_are_cut() {
    let whole: [&[u8]; 12] = [
        b"+PONG\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n",
        b"*2\r\n*1\r\n:1\r\n*2\r\n+a\r\n*0\r\n",
        b"%1\r\n+key\r\n~2\r\n#t\r\n_\r\n",
        b"|1\r\n+ttl\r\n:5\r\n*1\r\n,1.5\r\n",
        b"PING now\r\n",
    ];
    let all = whole.concat();
    for cut in 0..=all.len() {
        let (head, tail) = all.split_at(cut);
        let frames = frames(&[head, tail]);
        assert!(frames.iter().all(|frame| frame.is_resp), "cut at {cut}");
        let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame.data[..]).collect();
        assert_eq!(frames, whole, "cut at {cut}");
    }
}

#[test]
fn framer_knows_commands_and_pushes() {
    let all = frames(&[b"*2\r\n$3\r\nget\r\n$1\r\na\r\n", b"ping\r\n", b">1\r\n+x\r\n"]);
    assert_eq!(all[0].command().as_deref(), Some("GET"));
    assert_eq!(all[1].command().as_deref(), Some("PING"));
    assert!(all[2].is_push() && !all[1].is_push());
}

#[test]
fn framer_lets_other_bytes_pass() {
    let all = frames(&[b"+OK\r\n\x16\x03\x01", b"more", b"+OK\r\n"]);
    let kinds: Vec<bool> = all.iter().map(|frame| frame.is_resp).collect();
    assert_eq!(kinds, [true, false, false, false]);
    assert_eq!(&all[1].data[..], b"\x16\x03\x01");
    assert!(!frames(&[b"$x\r\n"])[0].is_resp);
}
