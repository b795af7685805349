//! The admin console: Etsy's commands over TCP, a line each.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time,
};
use tokio_util::sync::CancellationToken;

use super::{aggregate::Kind, server::Shared};

/// Longest command in bytes.
const MAX_COMMAND_BYTES: u64 = 4096;
/// Longest answer in bytes; what is left out is said at its end.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// A console that says nothing for so long is closed, and one that does not read its answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

const HELP: &str = "Commands: stats, counters, timers, gauges, sets, delcounters, deltimers, delgauges, delsets, health, config, quit\n\n";

/// Answers commands until `quit`, the end of the connection, silence or `stop`.
pub(crate) async fn serve(stream: TcpStream, shared: Arc<Shared>, stop: CancellationToken) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(MAX_COMMAND_BYTES);
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = time::timeout(IDLE_TIMEOUT, limited.read_until(b'\n', &mut line)) => read,
        };
        if !matches!(read, Ok(Ok(n_bytes)) if n_bytes > 0) || line.len() as u64 == MAX_COMMAND_BYTES {
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split_ascii_whitespace();
        let Some(command) = words.next() else { continue };
        if command == "quit" {
            return;
        }
        let answer = answer(command, &words.collect::<Vec<_>>(), &shared);
        if !matches!(time::timeout(IDLE_TIMEOUT, writer.write_all(answer.as_bytes())).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The answer to a command, as Etsy's daemon words it.
fn answer(command: &str, words: &[&str], shared: &Shared) -> String {
    match command {
        "help" => HELP.to_owned(),
        "stats" => stats(shared),
        "health" => health(words, shared),
        "config" => config(shared),
        "counters" => values(Kind::Counter, shared),
        "timers" => values(Kind::Timer, shared),
        "gauges" => values(Kind::Gauge, shared),
        "sets" => values(Kind::Set, shared),
        "delcounters" => delete(Kind::Counter, words, shared),
        "deltimers" => delete(Kind::Timer, words, shared),
        "delgauges" => delete(Kind::Gauge, words, shared),
        "delsets" => delete(Kind::Set, words, shared),
        _ => "ERROR\n".to_owned(),
    }
}

fn stats(shared: &Shared) -> String {
    let stats = shared.stats();
    let since = |at_s: i64| if at_s == 0 { stats.uptime_s } else { (stats.now_s - at_s).max(0) };
    let lines = [
        ("uptime", stats.uptime_s),
        ("messages.last_msg_seen", since(stats.last_packet_s)),
        ("messages.bad_lines_seen", stats.tally.n_refused() as i64),
        ("messages.packets_received", stats.tally.n_packets as i64),
        ("messages.lines_received", stats.tally.n_lines as i64),
        ("messages.metrics_received", stats.tally.n_metrics as i64),
        ("messages.names_known", stats.n_names as i64),
        ("messages.names_refused", stats.tally.n_refused_names as i64),
        ("messages.kernel_drops", stats.n_kernel_drops as i64),
        ("messages.connections_refused", stats.n_refused_connections as i64),
        ("messages.long_lines", stats.n_long_lines as i64),
        ("graphite.last_flush", since(stats.health.last_flush_s)),
        ("graphite.last_exception", since(stats.health.last_exception_s)),
        ("graphite.flush_time", stats.health.processing_ms as i64),
        ("graphite.flush_length", stats.health.n_points as i64),
        ("graphite.points_lost", stats.n_lost_points as i64),
    ];
    lines.into_iter().fold(String::new(), |text, (key, value)| text + &format!("{key}: {value}\n")) + "END\n\n"
}

fn health(words: &[&str], shared: &Shared) -> String {
    match words.first().map(|word| word.to_lowercase()).as_deref() {
        Some("up") => shared.healthy.store(true, Ordering::Relaxed),
        Some("down") => shared.healthy.store(false, Ordering::Relaxed),
        _ => {}
    }
    format!("health: {}\n", if shared.healthy.load(Ordering::Relaxed) { "up" } else { "down" })
}

fn config(shared: &Shared) -> String {
    let config = serde_json::to_value(&shared.config).unwrap_or_default();
    let keys = config.as_object().into_iter().flatten();
    keys.fold("\n".to_owned(), |text, (key, value)| match value.as_str() {
        Some(value) => text + &format!("{key}: {value}\n"),
        None => text + &format!("{key}: {value}\n"),
    })
}

/// One line a metric, in the notation that Node's `util.inspect` uses.
fn values(kind: Kind, shared: &Shared) -> String {
    let aggregator = shared.aggregator();
    let mut text = "{".to_owned();
    for (index, (name, values)) in aggregator.values(kind).into_iter().enumerate() {
        if text.len() > MAX_ANSWER_BYTES {
            text.push_str(",\n  /* more left out */");
            break;
        }
        let comma = if index == 0 { "" } else { "," };
        let shown: Vec<_> = values.iter().take(100).map(f64::to_string).collect();
        let value = match kind {
            Kind::Timer if values.is_empty() => "[]".to_owned(),
            Kind::Timer if values.len() > 100 => {
                format!("[ {}, ... {} more items ]", shown.join(", "), values.len() - 100)
            }
            Kind::Timer => format!("[ {} ]", shown.join(", ")),
            _ => shown.concat(),
        };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}\n  '{name}': {value}");
    }
    if text.len() > 1 { text + "\n}\nEND\n\n" } else { "{}\nEND\n\n".to_owned() }
}

fn delete(kind: Kind, words: &[&str], shared: &Shared) -> String {
    let mut text = String::new();
    for pattern in words {
        let deleted = shared.aggregator().delete(kind, pattern);
        if deleted.is_empty() {
            text += &format!("metric {pattern} not found\n");
        }
        text.extend(deleted.iter().map(|name| format!("deleted: {name}\n")));
    }
    text + "END\n\n"
}
