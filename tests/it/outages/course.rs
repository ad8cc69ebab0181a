//! The course of one outage under traffic, and what is promised of it.

use std::time::{Duration, Instant};

use evenkeel::health::State;

use super::{LONG, PROMISE, SLACK, Traffic, World, support::eventually};

/// Long enough for many requests; short enough for many tests.
const WHILE: Duration = Duration::from_millis(600);

/// How an outage went.
#[derive(Debug)]
pub(crate) struct Course {
    /// From the fault until requests go without Redis.
    pub(crate) detected: Duration,
    /// From Redis answering again until requests go to it.
    pub(crate) recovered: Duration,
}

impl Course {
    /// An outage under traffic: `begin` brings it about, `end` ends it. What holds for every outage
    /// is asserted here.
    pub(crate) async fn of_outage(
        world: &mut World,
        begin: impl AsyncFnOnce(&World),
        end: impl AsyncFnOnce(&World),
    ) -> Self {
        let course = Self::run(world, State::Disconnected, begin, end).await;
        // Writes alone may be seen to be gone first: a replica without its master says so to a
        // write (READONLY).
        let mut history = world.history();
        history.retain(|step| *step != (State::Connected, false));
        let expected = [
            (State::Connected, true),
            (State::Disconnected, false),
            (State::Recovering, false),
            (State::Connected, true),
        ];
        assert_eq!(history, expected, "{:?}", world.logs.lines());
        world.assert_one_line_a_transition();
        course
    }

    /// The same, whatever the transitions are on the way.
    pub(crate) async fn run(
        world: &World,
        bottom: State,
        begin: impl AsyncFnOnce(&World),
        end: impl AsyncFnOnce(&World),
    ) -> Self {
        let monitor = world.monitor();
        let traffic = Traffic::start(&world.app);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let healthy = traffic.seen();
        for route in super::app::ROUTES {
            assert!(healthy.count(route, 200) > 0 && healthy.refused(route) == 0, "{healthy:?}");
        }

        let began = Instant::now();
        begin(world).await;
        assert!(eventually(LONG, || async { !monitor.is_available() }).await, "never noticed");
        let detected = began.elapsed();
        world.reaches(bottom).await;
        tokio::time::sleep(WHILE).await;
        let outage = traffic.seen();
        assert!(outage.count("/strict", 503) > 0, "{outage:?}");

        end(world).await;
        let ended = Instant::now();
        assert!(eventually(LONG, || async { monitor.is_available() }).await, "{monitor:?}");
        let recovered = ended.elapsed();
        let after = traffic.seen();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let whole = traffic.seen();
        for route in super::app::ROUTES {
            assert!(whole.count(route, 200) > 0, "{route} is not back: {whole:?}");
        }

        let longest = outage.longest.max(after.longest).max(whole.longest);
        for seen in [&outage, &after, &whole] {
            assert_eq!(seen.refused("/plain") + seen.refused("/soft"), 0, "{seen:?}");
            assert_eq!(seen.count("/strict", 500) + seen.count("/reads", 500), 0, "{seen:?}");
        }
        assert!(longest < world.op_timeout() + SLACK, "a request took {longest:?}");
        // For whoever runs the tests with --nocapture.
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        println!("{name}: known after {detected:?}, over after {recovered:?}, longest {longest:?}");
        Self { detected, recovered }
    }

    /// Known within one `op_timeout`, over within a second.
    pub(crate) fn assert_promises(&self, world: &World) {
        assert!(self.detected < world.op_timeout() + SLACK, "{self:?}");
        assert!(self.recovered < PROMISE + SLACK, "{self:?}");
    }
}
