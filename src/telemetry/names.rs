//! Every instrument: its name as OpenTelemetry has it (Prometheus adds `_total` and `_seconds`),
//! what it means, and the names of its labels.
//!
//! No label ever holds a key, a user, an address or a path with a variable part.

#![allow(dead_code, reason = "an instrument is used by the feature that it belongs to")]

/// An instrument, before anybody uses it.
#[derive(Debug)]
pub(crate) struct Instrument {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    /// In the words of UCUM: what is in braces is a remark.
    pub(crate) unit: &'static str,
    /// It only ever grows: a rate over it means something.
    pub(crate) monotonic: bool,
    /// The names of the labels, in the order in which values are given.
    pub(crate) labels: &'static [&'static str],
    /// Label values that are listed with zero as soon as the instrument is used at all.
    pub(crate) zeros: &'static [&'static [&'static str]],
    /// Upper bounds of a histogram's buckets, in seconds.
    pub(crate) bounds: Bounds,
}

/// As many as fit into two cache lines together with the sum.
pub(super) const BOUNDS: usize = 14;
type Bounds = [f64; BOUNDS];

const NO_BOUNDS: Bounds = [0.0; BOUNDS];
const OF_A_COMMAND: Bounds =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
const OF_A_DETECTION: Bounds =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const OF_AN_OUTAGE: Bounds =
    [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0];

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Instrument {
    Instrument { name, help, unit: "", monotonic: false, labels, zeros: &[], bounds: NO_BOUNDS }
}

/// Seconds that add up; read at the moment of collection, as a gauge is.
const fn seconds(name: &'static str, help: &'static str) -> Instrument {
    Instrument {
        name,
        help,
        unit: "s",
        monotonic: true,
        labels: &[],
        zeros: &[],
        bounds: NO_BOUNDS,
    }
}

const fn counter(
    name: &'static str,
    labels: &'static [&'static str],
    unit: &'static str,
    help: &'static str,
) -> Instrument {
    Instrument { name, help, unit, monotonic: true, labels, zeros: &[], bounds: NO_BOUNDS }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    bounds: Bounds,
    help: &'static str,
) -> Instrument {
    Instrument { name, help, unit: "s", monotonic: false, labels, zeros: &[], bounds }
}

impl Instrument {
    const fn listing(mut self, zeros: &'static [&'static [&'static str]]) -> Self {
        self.zeros = zeros;
        self
    }
}

macro_rules! instruments {
    ($($name:ident = $instrument:expr;)*) => {
        $(pub(crate) const $name: &Instrument = &$instrument;)*
        #[cfg(test)]
        pub(super) const ALL: &[&Instrument] = &[$($name),*];
    };
}

instruments! {
    // Is it there?
    AVAILABLE = gauge("redis_available", &[], "1 while Redis serves reads and writes");
    DEGRADED_MODE = gauge("redis_degraded_mode", &[], "1 while answers are given without Redis");
    STATE = gauge("redis_state", &["state"], "1 for the state that the monitor is in");
    CAPABILITY = gauge("redis_capability", &["capability"], "1 while Redis can do this");
    MAY_EVICT = gauge(
        "redis_may_evict", &[], "1 while Redis may drop what guards in order to make room"
    );
    HEALTH_CHECK = counter("redis_health_check", &["status"], "{probe}", "Probes of Redis")
        .listing(&[&["success"], &["failed"], &["timeout"]]);
    UNAVAILABLE = counter("redis_unavailable", &[], "{outage}", "Outages begun");
    DEGRADED = seconds("redis_degraded", "Time spent in outages, a running one included");
    OUTAGE_START = gauge(
        "redis_outage_start_timestamp_seconds", &[],
        "When the running outage began, in Unix time; 0 while there is none"
    );
    OUTAGE_DURATION = histogram(
        "redis_outage_duration", &[], OF_AN_OUTAGE,
        "From the loss of Redis until it was available again"
    );
    DETECTION_LATENCY = histogram(
        "redis_detection_latency", &[], OF_A_DETECTION,
        "From the beginning of the first thing that failed until the outage was known"
    );

    // What went through it, and what did without it.
    CONNECTION_ATTEMPTS = counter(
        "redis_connection_attempts", &["status"], "{attempt}", "Attempts to open a connection"
    ).listing(&[&["success"], &["failed"], &["credentials"]]);
    COMMAND_DURATION = histogram(
        "redis_command_duration", &["command", "outcome"], OF_A_COMMAND,
        "From the call of a command until its answer"
    );
    FALLBACK_HITS = counter(
        "redis_fallback_hits", &["feature"], "{answer}", "Answers given without Redis"
    );
    RECOVERY_REPLAYED = counter(
        "redis_recovery_replayed", &["feature", "outcome"], "{item}",
        "What was noted in an outage and brought to Redis after it"
    );

    // The features.
    RATE_LIMIT_DECISIONS = counter(
        "rate_limit_decisions", &["policy", "decision", "source"], "{decision}",
        "Requests that a rate limit has judged"
    );
    SESSION_OPERATIONS = counter(
        "session_operations", &["operation", "outcome"], "{operation}", "Operations on sessions"
    );
    CACHE_REQUESTS = counter(
        "cache_requests", &["cache", "result", "tier"], "{request}", "Values asked of a cache"
    );
    CACHE_LOADS = counter(
        "cache_loads", &["cache", "outcome"], "{load}", "Values that a cache asked its loader for"
    );
    CACHE_INVALIDATIONS = counter(
        "cache_invalidations", &["cache", "outcome"], "{invalidation}",
        "Keys deleted, and tags, prefixes and caches cleared"
    );
    CACHE_ENTRIES = gauge("cache_entries", &["cache"], "Entries that a cache has in memory");
    CACHE_BYTES = gauge("cache_bytes", &["cache"], "Bytes that those are reckoned with");
    CAPACITY_DECISIONS = counter(
        "capacity_decisions", &["capacity", "decision", "source"], "{decision}",
        "Reservations and releases that a capacity has decided"
    );
    JOB_RUNS = counter(
        "job_runs", &["job", "outcome"], "{run}", "Runs of a job, and ticks that were skipped"
    );
    JOB_LAST_SUCCESS = gauge(
        "job_last_success_timestamp_seconds", &["job"],
        "When a run of the job last succeeded on this instance, in seconds since 1970; 0 for never"
    );
    LOCKOUT_EVENTS = counter(
        "lockout_events", &["event"], "{event}", "Failed attempts, locks and unlocks"
    );
    REVOCATION_CHECKS = counter(
        "revocation_checks", &["result"], "{check}", "Tokens checked for revocation"
    );
    PUBSUB_MESSAGES = counter(
        "pubsub_messages", &["direction"], "{message}", "Messages published and received"
    );
    PUBSUB_GAPS = counter(
        "pubsub_gaps", &[], "{gap}", "Times that messages of other instances may have been missed"
    );
    PUBSUB_LAGGED = counter(
        "pubsub_lagged", &[], "{message}", "Messages that slow subscribers did not get"
    );
    PUBSUB_SUBSCRIPTIONS = gauge(
        "pubsub_subscriptions", &[], "Channels and patterns that this instance listens to"
    );
    PRESENCE_MEMBERS = gauge("presence_members", &[], "Members present, as this instance sees it");
}
