//! Processes that are stopped in the middle of a run (SIGSTOP), killed, and ended, with a log whose
//! writes are checked by their token: no two of them believe at the same time that the job is
//! theirs, and at most one write of a stopped run comes late and is refused.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use evenkeel::jobs::{Jobs, Lease, Run};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_rusqlite::{Connection, rusqlite::params};

use super::{
    History, Instance, PATIENCE,
    late_writes::{open_at, write},
    support::{RedisServer, eventually},
};

/// Makes this test the process of a holder: the address of its Redis.
const ROLE: &str = "EVENKEEL_TEST_HOLDER";
const DATABASE: &str = "EVENKEEL_TEST_DATABASE";

const LEASE: Duration = Duration::from_millis(500);
const PERIOD: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(10);

/// One look at the lease that said yes, and the write after it.
#[derive(Debug)]
struct Step {
    process: u32,
    fence: u64,
    /// Microseconds, before the look.
    looked: i64,
    accepted: bool,
}

fn now() -> i64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64
}

async fn prepare(database: &Connection) {
    let steps = "CREATE TABLE IF NOT EXISTS steps (process, fence, looked, accepted)";
    database.call(move |database| database.execute_batch(steps)).await.unwrap();
}

/// Runs the job until it is killed: in a run of some leases, looks, waits, and writes.
async fn hold(url: &str, database: PathBuf) {
    let database = open_at(&database).await;
    let instance = Instance::at(url, "holder", &History::default());
    let jobs: &Jobs = &instance.jobs;
    let process = std::process::id();
    let job = jobs.every("job", PERIOD, move |run: Run| {
        let database = database.clone();
        async move {
            let until = Instant::now() + LEASE * 2;
            while Instant::now() < until {
                let looked = now();
                if run.is_cancelled().is_some() {
                    break;
                }
                sleep(STEP).await;
                let fence = run.fence().get();
                let accepted = write(&database, "step", fence).await;
                let note = move |database: &mut tokio_rusqlite::rusqlite::Connection| {
                    let insert = "INSERT INTO steps VALUES (?1, ?2, ?3, ?4)";
                    database.execute(insert, params![process, fence as i64, looked, accepted])
                };
                database.call(note).await.unwrap();
            }
            Ok::<(), String>(())
        }
    });
    job.with_single_runner(Lease::of(LEASE)).start().unwrap();
    // Until the test ends, however it does.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await;
    jobs.shutdown(PATIENCE).await;
}

struct Holder(Child);

impl Holder {
    /// This test as a process of its own, in the other role.
    fn start(url: &str, database: &Path, test: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--test-threads", "1"]);
        command.env(ROLE, url).env(DATABASE, database);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn steps(database: &Connection) -> Vec<Step> {
    let read = database.call(|database| {
        let select = "SELECT process, fence, looked, accepted FROM steps ORDER BY rowid";
        let mut select = database.prepare_cached(select)?;
        let steps = select.query_map([], |row| {
            Ok(Step {
                process: row.get(0)?,
                fence: row.get::<_, i64>(1)? as u64,
                looked: row.get(2)?,
                accepted: row.get(3)?,
            })
        })?;
        steps.collect::<Result<Vec<_>, _>>()
    });
    read.await.unwrap()
}

/// The process that has written last, when it has done so just now.
async fn holder(database: &Connection) -> u32 {
    let mut last = None;
    let found = eventually(PATIENCE, || async {
        steps(database).await.last().is_some_and(|step| now() - step.looked < 100_000)
    });
    assert!(found.await, "nobody runs the job");
    last.get_or_insert(steps(database).await.pop().unwrap().process).to_owned()
}

/// Nobody believes once a later run has begun; what comes late is refused, once a run at most.
/// Returns how many did.
fn check(steps: &[Step]) -> usize {
    let mut begun = BTreeMap::new();
    for step in steps {
        let begun = begun.entry(step.fence).or_insert(step.looked);
        *begun = step.looked.min(*begun);
    }
    let mut late = BTreeMap::new();
    for step in steps {
        let later = begun.range(step.fence + 1..).map(|(_, begun)| *begun).min();
        let overlaps = later.is_some_and(|later| later <= step.looked);
        assert!(!overlaps, "{step:?} believed after a later run had begun");
        if !step.accepted {
            *late.entry(step.fence).or_insert(0) += 1;
        }
    }
    assert!(late.values().all(|late| *late == 1), "{late:?}");
    late.len()
}

/// Row 14 of the notes.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_stopped_for_half_a_lease_to_three_never_overlaps() {
    if let (Ok(url), Some(database)) = (std::env::var(ROLE), std::env::var_os(DATABASE)) {
        return hold(&url, database.into()).await;
    }
    let test = "jobs::holder::a_holder_that_is_stopped_for_half_a_lease_to_three_never_overlaps";
    let rounds = super::rounds(6);
    let server = RedisServer::start().await;
    let disk = TempDir::new().unwrap();
    let path = disk.path().join("steps.sqlite3");
    let database = open_at(&path).await;
    prepare(&database).await;
    let mut holders: Vec<Holder> =
        (0..3).map(|_| Holder::start(&server.url(), &path, test)).collect();
    let mut taken_over = 0;
    for round in 0..rounds {
        let stopped = holder(&database).await;
        let one = holders.iter().find(|one| one.0.id() == stopped).unwrap();
        // In the middle of it, at another moment each time.
        sleep(Duration::from_micros(rand::random_range(0..50_000))).await;
        one.signal(Signal::STOP);
        let leases = [0.5, 3.0, 1.0, 2.0, 1.5, 2.5][round % 6];
        sleep(LEASE.mul_f64(leases)).await;
        let others = steps(&database).await.iter().rev().take(3).any(|s| s.process != stopped);
        taken_over += usize::from(others);
        one.signal(Signal::CONT);
        sleep(STEP * 10).await;
    }
    // Killed outright in the middle of a run (row 13): taken over after a lease and a period.
    let dead = holder(&database).await;
    let at = holders.iter().position(|one| one.0.id() == dead).unwrap();
    let (before, killed) = (steps(&database).await.len(), Instant::now());
    holders.remove(at).kill();
    let taken = eventually(PATIENCE, || async {
        steps(&database).await[before..].iter().any(|step| step.process != dead)
    });
    assert!(taken.await, "nobody takes over");
    let took = killed.elapsed();
    // The rest is for a machine that is busy.
    assert!(took < LEASE + PERIOD + Duration::from_millis(2_000), "{took:?}");
    holders.iter_mut().for_each(Holder::kill);
    let steps = steps(&database).await;
    let late = check(&steps);
    println!(
        "{rounds} stops, {taken_over} taken over meanwhile, {late} late writes refused, \
         {} steps; after a kill taken over in {took:?}",
        steps.len()
    );
    assert!(taken_over * 3 >= rounds, "{taken_over} of {rounds} were taken over");
}

#[test]
fn the_check_sees_an_overlap_and_a_second_late_write() {
    let step = |fence, looked, accepted| Step { process: 1, fence, looked, accepted };
    let good = [step(1, 10, true), step(1, 20, true), step(2, 30, true), step(1, 25, false)];
    assert_eq!(check(&good), 1);
    let overlap = [step(1, 10, true), step(2, 30, true), step(1, 31, false)];
    assert!(std::panic::catch_unwind(|| check(&overlap)).is_err());
    let twice = [step(1, 10, false), step(1, 11, false), step(2, 30, true)];
    assert!(std::panic::catch_unwind(|| check(&twice)).is_err());
}
