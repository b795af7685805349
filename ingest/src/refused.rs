//! A record that a consumer must pass over, as a record of the topic `quarantine`.

use deployline_bus::Record;
use deployline_schemas::topic::Topic;

/// The longest value that is kept whole, in bytes.
const MAX_KEPT_BYTES: usize = 256 * 1024;
/// The longest problem that is kept, in characters.
const MAX_PROBLEM_CHARS: usize = 200;

/// The record to quarantine in place of `record`, which `source` found unusable on the way from or to `topic`. Always
/// small enough for the bus: the value is cut where it is long, and its length noted.
pub(crate) fn refused(record: &Record, topic: Topic, source: &str, reason: &str, problem: &str) -> Record {
    let n_bytes = record.value.len();
    let refused = Record::new(source, record.value.slice(..n_bytes.min(MAX_KEPT_BYTES)))
        .with_header("reason", reason)
        .with_header("problem", problem.chars().take(MAX_PROBLEM_CHARS).collect::<String>())
        .with_header("source", source)
        .with_header("topic", topic.suffix());
    match n_bytes > MAX_KEPT_BYTES {
        true => refused.with_header("cut_from_bytes", n_bytes.to_string()),
        false => refused,
    }
}
