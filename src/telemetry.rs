//! Logs: to stderr, as text on a terminal, as JSON by flag, and for the journal without timestamps
//! of our own and with the priority of each line, so that `journalctl -p warning` finds what it
//! should.
//!
//! An entry is one line, whatever is in it: text of Zoho's, of the config or of the system is
//! escaped where it would end the line, command a terminal or turn its direction. (JSON escapes by
//! itself.)
//!
//! `RUST_LOG` filters by level and target (`debug`, `warn,channelkeeper::zoho=trace`); without it
//! everything of ours is shown from `info` on, and of the libraries what needs a person. `-v` and
//! `-q` on the command line are above it. The cron crate logs `Uninited` at info at each start, and
//! reqwest's and hyper's finer levels would show URLs.
//!
//! A process that runs for long ([`LogWait::Never`]) writes through a bounded queue with a thread
//! of its own. A stderr that is broken, or that nobody reads, then loses the log and nothing else.
//! A command waits for its reader, as every tool does.

use std::fmt::{self, Debug, Write};
use std::io::{self, IsTerminal, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::field::Field;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

mod lossy;

use lossy::{Lossy, write_whole};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// This level, unless `RUST_LOG` says something else.
    Usual(&'static str),
    /// This level: somebody has asked for it on the command line.
    Asked(&'static str),
}

/// The reader that a log line waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogWait {
    /// For whoever reads stderr.
    ForReader,
    /// For nobody.
    Never,
}

/// The lines that stderr did not get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostLines {
    /// How many.
    pub lines: u64,
    /// True when the last one that was written was among them: stderr takes nothing.
    pub is_broken: bool,
}

/// Begins to log. A second call changes nothing.
pub fn begin(format: LogFormat, detail: Detail, wait: LogWait) {
    let writer = match wait {
        LogWait::ForReader => BoxMakeWriter::new(io::stderr),
        LogWait::Never => {
            let queue = QUEUE.get_or_init(|| Lossy::begin(|line| write_whole(io::stderr(), line)));
            // A panic ends the daemon, and must be able to end it also when nobody reads stderr.
            std::panic::set_hook(Box::new(|panic| {
                say(&format!("{panic}\n{}", std::backtrace::Backtrace::capture()));
            }));
            BoxMakeWriter::new(|| queue.clone())
        }
    };
    let fields = debug_fn(write_field).delimited(" ");
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // They would go to stderr, by a macro that panics when stderr is broken.
        .log_internal_errors(false)
        .with_target(false)
        .with_ansi(takes_colour(io::stderr().is_terminal()));
    let layer = match (format, is_journal()) {
        (LogFormat::Text, false) => layer.fmt_fields(fields).boxed(),
        (LogFormat::Text, true) => {
            layer.fmt_fields(fields).without_time().map_event_format(Prioritized).boxed()
        }
        (LogFormat::Json, false) => layer.json().flatten_event(true).boxed(),
        (LogFormat::Json, true) => {
            layer.json().flatten_event(true).without_time().map_event_format(Prioritized).boxed()
        }
    };
    let filter = filter(std::env::var("RUST_LOG").ok().as_deref(), detail);
    // An error only says that logging has begun already.
    let _already = tracing_subscriber::registry().with(filter).with(layer).try_init();
}

/// The filter of the log: `rust_log`, if it can be read and nobody has asked for a level.
fn filter(rust_log: Option<&str>, detail: Detail) -> Targets {
    let (level, rust_log) = match detail {
        Detail::Usual(level) => (level, rust_log),
        Detail::Asked(level) => (level, None),
    };
    let level = level.parse().unwrap_or(LevelFilter::INFO);
    let default = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("channelkeeper", level)
        .with_target("tokio_cron_scheduler", LevelFilter::WARN);
    rust_log.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// True when what is written there may be coloured: on a terminal, unless `NO_COLOR` is set; with
/// `CLICOLOR_FORCE` also elsewhere.
pub fn takes_colour(is_terminal: bool) -> bool {
    let set = |name| std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "0");
    let is_dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !is_unwanted && (set("CLICOLOR_FORCE") || (is_terminal && !is_dumb))
}

/// True when stderr leads to the journal itself: a process inherits the variable even when its
/// stderr leads elsewhere.
pub fn is_journal() -> bool {
    let Some(named) = std::env::var_os("JOURNAL_STREAM") else { return false };
    let stderr = rustix::fs::fstat(io::stderr());
    stderr.is_ok_and(|it| named.to_str() == Some(&format!("{}:{}", it.st_dev, it.st_ino)))
}

/// Says lines that are no log entries to whoever reads stderr.
pub fn say(text: &str) {
    let text = format!("{}\n", prioritized_lines(text));
    match QUEUE.get() {
        Some(queue) => text.split_inclusive('\n').for_each(|line| queue.push(line.as_bytes())),
        // There is nowhere to say that stderr is closed.
        None => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Lets what is still queued get to stderr, for a second at most: at the end of the process.
pub fn end() {
    if let Some(queue) = QUEUE.get() {
        queue.drain(END_MAX);
    }
}

/// The lines that stderr did not get so far.
pub fn lost() -> LostLines {
    QUEUE.get().map(Lossy::lost).unwrap_or_default()
}

/// For the journal each line is an error, or a warning where it says so.
fn prioritized_lines(text: &str) -> String {
    if !is_journal() {
        return text.to_owned();
    }
    let level = if text.starts_with("warning: ") { Level::WARN } else { Level::ERROR };
    let lines: Vec<String> =
        text.lines().map(|line| format!("{}{line}", priority(level))).collect();
    lines.join("\n")
}

/// A line with its priority in front, which the journal takes off again.
struct Prioritized<F>(F);

impl<S, N, F> FormatEvent<S, N> for Prioritized<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str(priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// The number of a level in `syslog`.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// `name=value`, or the message.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    match (field.name(), writer.has_ansi_escapes()) {
        ("message", _) => {}
        (name, false) => write!(writer, "{name}=")?,
        (name, true) => write!(writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?,
    }
    write!(OneLine(writer), "{value:?}")
}

/// A writer that keeps each event on its line.
struct OneLine<'a, 'w>(&'a mut Writer<'w>);

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| {
            let turns =
                matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
            if character.is_control() || turns {
                write!(self.0, "{}", character.escape_default())
            } else {
                self.0.write_char(character)
            }
        })
    }
}

/// There is one stderr in a process, and so there is one queue.
static QUEUE: OnceLock<Lossy> = OnceLock::new();
/// A pipe that nobody reads holds up the end of the process for so long.
const END_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn rust_log_says_what_is_shown_and_one_that_cannot_be_read_changes_nothing() {
        let asked = filter(Some("warn,channelkeeper::zoho=trace"), Detail::Usual("info"));
        assert!(asked.would_enable("channelkeeper::zoho::client", &Level::TRACE));
        assert!(!asked.would_enable("channelkeeper::store", &Level::INFO));
        for unreadable in [None, Some("channelkeeper=loud")] {
            let default = filter(unreadable, Detail::Usual("debug"));
            assert!(default.would_enable("channelkeeper::store", &Level::DEBUG));
            assert!(!default.would_enable("reqwest::connect", &Level::INFO));
            assert!(!default.would_enable("tokio_cron_scheduler", &Level::INFO));
        }
        let asked = filter(Some("trace"), Detail::Asked("warn"));
        assert!(!asked.would_enable("channelkeeper::store", &Level::INFO));
    }

    #[test]
    fn an_entry_is_one_line_with_its_priority_and_plain_fields_whatever_is_in_it() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(Level::TRACE)
            .with_target(false)
            .with_ansi(false)
            .without_time()
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .map_event_format(Prioritized)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let hostile = "a\n<0>forged\r\u{1b}[2J\u{202e}b\0";
            tracing::error!(account = %"acme", why = %hostile, "shown as it is");
            tracing::warn!(why = hostile, "a text is quoted");
            tracing::info!(count = 3, "{hostile}");
            tracing::debug!("small");
            tracing::trace!("smaller");
        });
        let written = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        expect_test::expect![[r#"
            <3>ERROR shown as it is account=acme why=a\n<0>forged\r\u{1b}[2J\u{202e}b\u{0}
            <4> WARN a text is quoted why="a\n<0>forged\r\u{1b}[2J\u{202e}b\0"
            <6> INFO a\n<0>forged\r\u{1b}[2J\u{202e}b\u{0} count=3
            <7>DEBUG small
            <7>TRACE smaller
        "#]]
        .assert_eq(&written);
    }
}
