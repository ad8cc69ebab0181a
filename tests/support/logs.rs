//! What the crate logs during a test.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::ThreadId;

use tokio::runtime::{Handle, Id};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// Only events of this crate are kept.
const CRATE: &str = "evenkeel";

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct LogLine {
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) message: String,
    /// The other fields, as `name=value` separated by blanks.
    pub(crate) fields: String,
}

type Lines = Arc<Mutex<Vec<LogLine>>>;

/// Collects what the crate logs on the runtime of the test that started it, whatever thread it
/// runs on; so tests that run side by side, each on a runtime of its own, do not see each other's
/// lines. (Outside a runtime: what is logged on the thread that started it.) Ends on drop.
#[derive(Debug)]
pub(crate) struct LogCapture {
    place: Place,
    lines: Lines,
}

impl LogCapture {
    /// Starts to collect; one at a time for each runtime.
    pub(crate) fn start() -> LogCapture {
        static INSTALLED: OnceLock<()> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            let subscriber = tracing_subscriber::registry().with(Collector);
            tracing::subscriber::set_global_default(subscriber)
                .expect("LogCapture is the one global subscriber of a test binary");
        });
        let capture = LogCapture { place: Place::here(), lines: Lines::default() };
        captures().lock().unwrap().insert(capture.place.clone(), capture.lines.clone());
        capture
    }

    /// Every line so far.
    pub(crate) fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap().clone()
    }

    /// The lines of this level and of graver ones.
    pub(crate) fn at_least(&self, level: Level) -> Vec<LogLine> {
        // For tracing, the graver level is the smaller one.
        self.lines().into_iter().filter(|line| line.level <= level).collect()
    }

    /// How many lines an operator sees: INFO, WARN and ERROR.
    pub(crate) fn count_info(&self) -> usize {
        self.at_least(Level::INFO).len()
    }

    /// Whether any line, message or fields, holds this text (a password, say).
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.message.contains(text) || line.fields.contains(text))
    }

    /// Forgets the lines so far.
    pub(crate) fn clear(&self) {
        self.lines.lock().unwrap().clear();
    }
}

impl Drop for LogCapture {
    fn drop(&mut self) {
        captures().lock().unwrap().remove(&self.place);
    }
}

/// Where code runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    Runtime(Id),
    Thread(ThreadId),
}

impl Place {
    fn here() -> Place {
        match Handle::try_current() {
            Ok(runtime) => Place::Runtime(runtime.id()),
            Err(_) => Place::Thread(std::thread::current().id()),
        }
    }
}

fn captures() -> &'static Mutex<HashMap<Place, Lines>> {
    static CAPTURES: OnceLock<Mutex<HashMap<Place, Lines>>> = OnceLock::new();
    CAPTURES.get_or_init(Mutex::default)
}

struct Collector;

impl<S: Subscriber> Layer<S> for Collector {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().split("::").next() == Some(CRATE)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(lines) = captures().lock().unwrap().get(&Place::here()).cloned() else { return };
        let mut text = Text::default();
        event.record(&mut text);
        lines.lock().unwrap().push(LogLine {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            message: text.message,
            fields: text.fields.trim_end().to_owned(),
        });
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, "{name}={value:?} "),
        };
    }
}
