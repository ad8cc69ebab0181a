//! The scripts against the law, on a real `redis-server`.

use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tempfile::TempDir;

use super::debt::Charge;
use super::law::{self, Decision, MAX_WINDOWS};
use super::remote_law;
use super::window::Window;

const GCRA: &str = include_str!("gcra.lua");
const CHARGE: &str = include_str!("charge.lua");

/// A server of its own on a unix socket, and one plain connection to it.
struct Server {
    child: Child,
    stream: BufReader<UnixStream>,
    _dir: TempDir,
}

#[derive(Debug, PartialEq)]
enum Reply {
    Int(i64),
    Text(Vec<u8>),
    Nil,
    Error(String),
    List(Vec<Reply>),
}

impl Server {
    fn start() -> Self {
        let dir = TempDir::with_prefix("evenkeel-script-").expect("a directory");
        let socket = dir.path().join("redis.sock");
        let named = std::env::var("REDIS_SERVER").ok();
        let programs = named.as_deref().map_or(&["redis-server", "valkey-server"][..], |_| &[]);
        let start = |program: &str| {
            Command::new(program)
                .args(["--port", "0", "--unixsocket"])
                .arg(&socket)
                .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
                .current_dir(dir.path())
                .stdout(Stdio::null())
                .spawn()
                .ok()
        };
        let child =
            named.iter().map(String::as_str).chain(programs.iter().copied()).find_map(start);
        let child = child.expect("redis-server on the PATH, or REDIS_SERVER");
        let begin = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if begin.elapsed() > Duration::from_secs(10) => {
                    panic!("redis-server: {error}")
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        Self { child, stream: BufReader::new(stream), _dir: dir }
    }

    fn call<A: AsRef<[u8]>>(&mut self, args: impl IntoIterator<Item = A>) -> Reply {
        let args: Vec<A> = args.into_iter().collect();
        let mut out = format!("*{}\r\n", args.len()).into_bytes();
        for arg in &args {
            out.extend(format!("${}\r\n", arg.as_ref().len()).into_bytes());
            out.extend(arg.as_ref());
            out.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&out).expect("sent");
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        match kind {
            ":" => Reply::Int(number()),
            "+" => Reply::Text(rest.into()),
            "-" => Reply::Error(rest.into()),
            "*" => Reply::List((0..number()).map(|_| self.reply()).collect()),
            "$" if number() < 0 => Reply::Nil,
            "$" => {
                let mut bytes = vec![0; number() as usize + 2];
                self.stream.read_exact(&mut bytes).expect("a value");
                bytes.truncate(bytes.len() - 2);
                Reply::Text(bytes)
            }
            other => panic!("{other}{rest}"),
        }
    }

    fn load(&mut self, script: &str) -> Vec<u8> {
        match self.call(["SCRIPT", "LOAD", script]) {
            Reply::Text(sha) => sha,
            other => panic!("{other:?}"),
        }
    }

    fn eval(&mut self, sha: &[u8], keys: &[&str], args: &[i64]) -> (i64, Vec<u64>) {
        let mut words =
            vec![b"EVALSHA".to_vec(), sha.to_vec(), keys.len().to_string().into_bytes()];
        words.extend(keys.iter().map(|key| key.as_bytes().to_vec()));
        words.extend(args.iter().map(|arg| arg.to_string().into_bytes()));
        let Reply::List(list) = self.call(words) else { panic!("no list") };
        let mut ints = list.into_iter().map(|reply| match reply {
            Reply::Int(int) => int,
            other => panic!("{other:?}"),
        });
        let first = ints.next().expect("a verdict");
        (first, ints.map(|int| u64::try_from(int).expect("no debt below zero")).collect())
    }

    fn int(&mut self, command: &[&str]) -> i64 {
        match self.call(command) {
            Reply::Int(int) => int,
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gcra(windows: &[Window], cost: i64, how: i64) -> Vec<i64> {
    let each = windows.iter().flat_map(|window| [window.emission as i64, window.tolerance as i64]);
    [cost, how].into_iter().chain(each).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Decide(u32),
    Take(u32),
    Give(u32, u64),
    Charge(u64, u64),
    /// Some other value stands in the key: what the law should read it as is in the second part.
    Spoil(Foreign),
}

#[derive(Clone, Debug)]
enum Foreign {
    Number(u64),
    Text(&'static str),
    List,
    Short,
}

fn step() -> impl Strategy<Value = Step> {
    let micros = || prop_oneof![0u64..100_000_000, any::<u64>().prop_map(|n| n >> 12)];
    const TEXTS: [&str; 7] = ["", "nan", "-inf", "x", "-5", "\0\0\0", "0x"];
    prop_oneof![
        6 => (0u32..12).prop_map(Step::Decide),
        3 => (1u32..12).prop_map(Step::Take),
        2 => (1u32..12, micros()).prop_map(|(cells, age)| Step::Give(cells, age)),
        2 => (micros(), micros()).prop_map(|(add, floor)| Step::Charge(add, floor)),
        1 => prop_oneof![
            (0u64..1 << 52).prop_map(Foreign::Number),
            proptest::sample::select(&TEXTS[..]).prop_map(Foreign::Text),
            Just(Foreign::List),
            Just(Foreign::Short),
        ].prop_map(Step::Spoil),
    ]
}

/// Whatever happens, and whatever stands in the key, the scripts and the law say and keep the same.
#[test]
fn the_scripts_are_the_law() {
    let mut server = Server::start();
    // The clock is the test's, and nothing expires by the server's own: that is tested below.
    let clock = "{ redis.call('GET', 'clock:s'), redis.call('GET', 'clock:u') }";
    let gcra_script =
        GCRA.replace("redis.call('TIME')", clock).replace("/ 1000)", "/ 1000 + 1000000)");
    let charge_script =
        CHARGE.replace("redis.call('TIME')", clock).replace("/ 1000)", "/ 1000 + 1000000)");
    assert!(gcra_script != GCRA && charge_script != CHARGE && gcra_script.contains("1000000)"));
    let (gcra_sha, charge_sha) = (server.load(&gcra_script), server.load(&charge_script));

    let window =
        (1u64..30_000_000, 1u32..10).prop_map(|(emission, burst)| Window::new(emission, burst));
    let windows = proptest::collection::vec(window, 1..=MAX_WINDOWS);
    let steps = proptest::collection::vec((0u64..40_000_000, step()), 1..40);
    let (server, runs) = (RefCell::new(server), Cell::new(0));
    let mut runner =
        TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&(windows, steps), |(windows, steps)| {
        let mut server = server.borrow_mut();
        runs.set(runs.get() + 1);
        let key = format!("s:{}", runs.get());
        let (mut now, mut tats) = (1_763_700_000_000_000_u64, vec![0; windows.len()]);
        for (index, (pause, step)) in steps.into_iter().enumerate() {
            now += pause;
            server.call(["SET", "clock:s", &(now / 1_000_000).to_string()]);
            server.call(["SET", "clock:u", &(now % 1_000_000).to_string()]);
            let (said, debts, expected) = match &step {
                Step::Decide(cost) => {
                    let (taken, debts) =
                        server.eval(&gcra_sha, &[&key], &gcra(&windows, i64::from(*cost), 0));
                    let law = law::decide(&windows, &tats, now, *cost);
                    let read = Decision::from_redis(&windows, taken >= 0, &debts, *cost);
                    prop_assert_eq!(read, law);
                    prop_assert_eq!(taken, if law.allowed() { i64::from(*cost) } else { -1 });
                    (taken, debts, law.debts().to_vec())
                }
                Step::Take(wanted) => {
                    let (taken, debts) =
                        server.eval(&gcra_sha, &[&key], &gcra(&windows, i64::from(*wanted), 1));
                    let (law, after) = remote_law::take_up_to(&windows, &tats, now, *wanted);
                    prop_assert_eq!(taken, i64::from(law));
                    (taken, debts, after.as_slice().to_vec())
                }
                Step::Give(cells, age) => {
                    let args = gcra(&windows, -i64::from(*cells), *age as i64);
                    let (taken, debts) = server.eval(&gcra_sha, &[&key], &args);
                    let after = remote_law::give_back(&windows, &tats, now, *cells, *age);
                    (taken, debts, after.as_slice().to_vec())
                }
                Step::Charge(add, floor) => {
                    let each = windows
                        .iter()
                        .flat_map(|window| [*add as i64, *floor as i64, window.tolerance as i64]);
                    let args: Vec<i64> = [600_000].into_iter().chain(each).collect();
                    let mark = format!("{key}:{index}");
                    let (first, debts) = server.eval(&charge_sha, &[&key, &mark], &args);
                    let charge = Charge { add: [*add; MAX_WINDOWS], floor: [*floor; MAX_WINDOWS] };
                    let after = remote_law::charge(&windows, &tats, now, &charge);
                    prop_assert_eq!(first, 1);
                    // Said again, as after an answer that was lost: nothing more is charged.
                    let again = server.eval(&charge_sha, &[&key, &mark], &args);
                    prop_assert_eq!(again, (0, debts.clone()));
                    (first, debts, after.as_slice().to_vec())
                }
                Step::Spoil(foreign) => {
                    server.call(["DEL", &key]);
                    tats.fill(0);
                    match foreign {
                        Foreign::Number(number) if windows.len() == 1 => {
                            tats[0] = *number;
                            server.call(["SET", &key, &number.to_string(), "PX", "1000000"]);
                        }
                        Foreign::Number(number) => {
                            tats.fill(*number);
                            let bytes = number.to_be_bytes().repeat(windows.len());
                            server.call([b"SET", key.as_bytes(), &bytes, b"PX", b"1000000"]);
                        }
                        Foreign::Text(text) => drop(server.call(["SET", &key, text])),
                        Foreign::List => drop(server.call(["RPUSH", &key, "1763700000000000"])),
                        Foreign::Short => drop(server.call([
                            b"SET",
                            key.as_bytes(),
                            &vec![0xff; windows.len() * 8 - 1],
                        ])),
                    }
                    continue;
                }
            };
            if debts != expected {
                return Err(TestCaseError::fail(format!(
                    "{step:?} said {said}, {debts:?}, not {expected:?}"
                )));
            }
            tats = debts.iter().map(|debt| now + debt).collect();
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn five() -> Vec<Window> {
    vec![Window::new(1_000_000, 5)]
}

fn both() -> Vec<Window> {
    vec![Window::new(1_000_000, 5), Window::new(60_000_000, 100)]
}

#[test]
fn expiry_is_rounded_up_and_one_key_is_enough() {
    let mut server = Server::start();
    let sha = server.load(GCRA);
    for windows in [&five()[..], &both()[..]] {
        server.call(["FLUSHALL"]);
        for _ in 0..3 {
            let (taken, debts) = server.eval(&sha, &["k"], &gcra(windows, 1, 0));
            assert_eq!(taken, 1);
            let (ttl, longest) =
                (server.int(&["PTTL", "k"]), debts.iter().max().copied().unwrap_or(0));
            assert!(
                ttl as u64 <= longest.div_ceil(1_000) && ttl as u64 + 50 > longest / 1_000,
                "{ttl} ms for {longest} µs"
            );
        }
        assert_eq!(server.int(&["DBSIZE"]), 1);
        let (_, debts) = server.eval(&sha, &["k"], &gcra(windows, -5, 0));
        assert!(debts.iter().all(|debt| *debt == 0));
        assert_eq!(server.int(&["DBSIZE"]), 0, "who owes nothing takes no room");
    }
}

/// Redis forgets a key in the millisecond after the one that it expires in, so rounding up is
/// enough for a debt never to be forgotten early; rounding down would be an error at once for a
/// debt under a millisecond.
#[test]
fn a_debt_below_a_millisecond_has_an_expiry() {
    let mut server = Server::start();
    let sha = server.load(GCRA);
    let fast = || Window::new(300, 5);
    for windows in [&[fast()][..], &[fast(), fast()]] {
        server.call(["DEL", "k"]);
        assert_eq!(server.eval(&sha, &["k"], &gcra(windows, 1, 0)), (1, vec![300; windows.len()]));
    }
}

#[test]
fn the_key_takes_about_eighty_bytes() {
    let mut server = Server::start();
    let sha = server.load(GCRA);
    let key = "evenkeel:rate:default:4c7088f7ceae517e:{203.0.113.199}";
    for (windows, most) in [(&five()[..], 120), (&both()[..], 150)] {
        server.call(["FLUSHALL"]);
        server.eval(&sha, &[key], &gcra(windows, 1, 0));
        let bytes = server.int(&["MEMORY", "USAGE", key]);
        assert!(bytes <= most, "{bytes} bytes, of which {} are the name", key.len());
    }
}

#[test]
fn what_has_no_expiry_gets_one() {
    let mut server = Server::start();
    let sha = server.load(GCRA);
    for windows in [&five()[..], &both()[..]] {
        server.eval(&sha, &["k"], &gcra(windows, 5, 0));
        for cost in [1, 0] {
            assert_eq!(server.int(&["PERSIST", "k"]), 1);
            server.eval(&sha, &["k"], &gcra(windows, cost, 0));
            assert!(server.int(&["PTTL", "k"]) > 0, "cost {cost}");
        }
        server.call(["DEL", "k"]);
    }
}

#[test]
fn a_refusal_writes_nothing() {
    let mut server = Server::start();
    let sha = server.load(GCRA);
    server.eval(&sha, &["k"], &gcra(&both(), 5, 0));
    let before = server.call(["GET", "k"]);
    assert_eq!(server.eval(&sha, &["k"], &gcra(&both(), 1, 0)).0, -1);
    assert_eq!(server.call(["GET", "k"]), before);
}
