//! One packet into metrics: StatsD's grammar as Etsy's daemon and DogStatsD's clients write it.
//!
//! Everything is borrowed from the packet and nothing is allocated. A line that makes no sense is handed out with the
//! reason; the other lines of the packet, and the other values of the line, still count.

use memchr::{memchr, memmem};

use super::number::{self, NumberError};

/// What a packet holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Item<'a> {
    /// One value of one metric.
    Metric(Metric<'a>),
    /// DogStatsD's `_e{..}:`.
    Event(Event<'a>),
    /// DogStatsD's `_sc|`.
    ServiceCheck(ServiceCheck<'a>),
}

/// One value of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric<'a> {
    /// Whose value it is.
    pub key: Key<'a>,
    /// The value, by type.
    pub sample: Sample<'a>,
    /// The sample rate: above 0, finite, and so is its inverse. 1 where the line has none.
    pub rate: f64,
}

/// A metric's name as sent: not yet sanitised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// What stands before the first colon, tags in the styles of Graphite (`;tag=v`) and InfluxDB (`,tag=v`) included. Never empty.
    pub name: &'a [u8],
    /// DogStatsD's tags, what stands after `|#`; empty where there are none.
    pub tags: &'a [u8],
}

/// A value with its type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sample<'a> {
    /// `c`: an amount to add.
    Counter(f64),
    /// `ms`, `h`, `d`: one observation. Etsy's daemon takes `h` and `d` for counters; here they are timers, as their senders mean them.
    Timer(f64),
    /// `g`: the new level.
    Gauge(f64),
    /// `g` with a sign: a change of the level.
    GaugeDelta(f64),
    /// `s`: a member.
    Set(&'a [u8]),
}

/// DogStatsD's event: recognised, so that it is not counted as a bad line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// As long as the header says.
    pub title: &'a [u8],
    /// As long as the header says; a line break in it is written `\n`.
    pub text: &'a [u8],
    /// The optional fields as sent (`d:`, `h:`, `k:`, `p:`, `s:`, `t:`, `#`), separated by `|`.
    pub fields: &'a [u8],
}

/// DogStatsD's service check: recognised, so that it is not counted as a bad line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceCheck<'a> {
    /// The check's name.
    pub name: &'a [u8],
    /// 0 fine, 1 warning, 2 critical, 3 unknown.
    pub status: u8,
    /// The optional fields as sent (`d:`, `h:`, `#`, `m:`), separated by `|`.
    pub fields: &'a [u8],
}

/// A line, or one value of a line, that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLine<'a> {
    /// The whole line.
    pub line: &'a [u8],
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a line is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// No colon, or no type after the value.
    #[error("the line has no value with a type")]
    NoValue,
    /// Nothing before the colon.
    #[error("the metric has no name")]
    NoName,
    /// The value is not a decimal number.
    #[error("the value is not a number")]
    Value,
    /// The value is infinite or not a number, as sent or once scaled by the sample rate.
    #[error("the value is not finite")]
    NotFinite,
    /// A negative `ms`.
    #[error("a duration is negative")]
    NegativeTimer,
    /// A type other than c, ms, h, d, g and s.
    #[error("the metric type is not known")]
    Type,
    /// `@` with something that is not above 0 and finite.
    #[error("the sample rate is not a number above 0")]
    SampleRate,
    /// A field after the type that is neither a rate, nor tags, nor one of DogStatsD's.
    #[error("a field after the type is not known")]
    Field,
    /// `_e{` without lengths that fit.
    #[error("the event's lengths do not fit the line")]
    Event,
    /// `_sc|` without a name and a status of 0 to 3.
    #[error("the service check has no name or no status from 0 to 3")]
    ServiceCheck,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Reason; 10] = [
        Reason::NoValue,
        Reason::NoName,
        Reason::Value,
        Reason::NotFinite,
        Reason::NegativeTimer,
        Reason::Type,
        Reason::SampleRate,
        Reason::Field,
        Reason::Event,
        Reason::ServiceCheck,
    ];
}

impl From<NumberError> for Reason {
    fn from(error: NumberError) -> Self {
        match error {
            NumberError::Malformed => Reason::Value,
            NumberError::NotFinite => Reason::NotFinite,
        }
    }
}

/// Calls `visit` with everything in the packet, in order. Returns how many lines were not empty, bad ones included.
#[inline]
pub fn parse<'a>(packet: &'a [u8], mut visit: impl FnMut(Result<Item<'a>, BadLine<'a>>)) -> usize {
    let mut n_lines = 0;
    let mut rest = packet;
    while !rest.is_empty() {
        let (line, next) = match memchr(b'\n', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = next;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            n_lines += 1;
            parse_line(line, &mut visit);
        }
    }
    n_lines
}

/// Calls `visit` with everything in one line, which is not empty and has no line break.
#[inline]
pub fn parse_line<'a>(line: &'a [u8], visit: &mut impl FnMut(Result<Item<'a>, BadLine<'a>>)) {
    let bad = |reason| Err(BadLine { line, reason });
    let Some(colon) = memchr(b':', line) else {
        return match line.strip_prefix(b"_sc|") {
            Some(check) => visit(
                service_check(check).map(Item::ServiceCheck).ok_or(BadLine { line, reason: Reason::ServiceCheck }),
            ),
            None => visit(bad(Reason::NoValue)),
        };
    };
    let (name, body) = (&line[..colon], &line[colon + 1..]);
    if let Some(first) = name.first() {
        if *first == b'_' {
            if let Some(event) = line.strip_prefix(b"_e{") {
                return visit(event_of(event).map(Item::Event).ok_or(BadLine { line, reason: Reason::Event }));
            }
            if let Some(check) = line.strip_prefix(b"_sc|") {
                return visit(
                    service_check(check).map(Item::ServiceCheck).ok_or(BadLine { line, reason: Reason::ServiceCheck }),
                );
            }
        }
    } else {
        return visit(bad(Reason::NoName));
    }
    // Nearly every line is a plain number and a type and nothing else: one look at what follows the digits decides.
    if let Some((value, length)) = number::prefix(body) {
        let key = Key { name, tags: &[] };
        let sample = match &body[length..] {
            b"|c" => Some(Sample::Counter(value)),
            b"|ms" if value >= 0.0 => Some(Sample::Timer(value)),
            b"|g" if matches!(body[0], b'+' | b'-') => Some(Sample::GaugeDelta(value)),
            b"|g" => Some(Sample::Gauge(value)),
            b"|h" | b"|d" => Some(Sample::Timer(value)),
            _ => None,
        };
        if let Some(sample) = sample {
            return visit(Ok(Item::Metric(Metric { key, sample, rate: 1.0 })));
        }
    }
    parse_groups(line, name, body, visit);
}

/// The types that carry different kinds of values.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    Counter,
    Milliseconds,
    Distribution,
    Gauge,
    Set,
}

/// The general form: `values|type[|field..]` once or more, separated by colons, as in `1|c:2:3|ms|@0.5|#tag:v`.
fn parse_groups<'a>(
    line: &'a [u8],
    name: &'a [u8],
    body: &'a [u8],
    visit: &mut impl FnMut(Result<Item<'a>, BadLine<'a>>),
) {
    let bad = |reason| Err(BadLine { line, reason });
    // Tags stand at the end but belong to every value, so that they are looked up first.
    let tags = match memmem::find(body, b"|#") {
        Some(at) => until(&body[at + 2..], |byte| byte == b'|').0,
        None => &[],
    };
    let key = Key { name, tags };
    let mut rest = Some(body);
    while let Some(group) = rest {
        let Some(bar) = memchr(b'|', group) else {
            // Values without a type, each of them bad, as in Etsy's daemon.
            group.split(|byte| *byte == b':').for_each(|_| visit(bad(Reason::NoValue)));
            return;
        };
        let (values, after) = (&group[..bar], &group[bar + 1..]);
        let (kind, after) = until(after, |byte| byte == b'|' || byte == b':');
        let (rate, next) = fields(after);
        rest = next;
        let kind = match kind.trim_ascii() {
            b"c" => Type::Counter,
            b"ms" => Type::Milliseconds,
            b"h" | b"d" => Type::Distribution,
            b"g" => Type::Gauge,
            b"s" => Type::Set,
            b"" if values.is_empty() => {
                visit(bad(Reason::NoValue));
                continue;
            }
            _ => {
                visit(bad(Reason::Type));
                continue;
            }
        };
        let rate = match rate {
            Ok(rate) => rate,
            Err(reason) => {
                visit(bad(reason));
                continue;
            }
        };
        if kind == Type::Set {
            // A member may hold colons, as an address does; DogStatsD packs no sets. Etsy counts nothing as `0`.
            let member = if values.is_empty() { b"0" } else { values };
            visit(Ok(Item::Metric(Metric { key, sample: Sample::Set(member), rate })));
            continue;
        }
        for value in values.split(|byte| *byte == b':') {
            match sample(kind, value, rate) {
                Ok(sample) => visit(Ok(Item::Metric(Metric { key, sample, rate }))),
                Err(reason) => visit(bad(reason)),
            }
        }
    }
}

/// One number under its type.
fn sample(kind: Type, text: &[u8], rate: f64) -> Result<Sample<'static>, Reason> {
    let value = number::parse(text)?;
    match kind {
        Type::Counter if !(value / rate).is_finite() => Err(Reason::NotFinite),
        Type::Counter => Ok(Sample::Counter(value)),
        Type::Milliseconds if value < 0.0 => Err(Reason::NegativeTimer),
        Type::Milliseconds | Type::Distribution => Ok(Sample::Timer(value)),
        Type::Gauge if matches!(text.first(), Some(b'+' | b'-')) => Ok(Sample::GaugeDelta(value)),
        Type::Gauge => Ok(Sample::Gauge(value)),
        Type::Set => unreachable!("a set's member is no number and is taken before"),
    }
}

/// The fields after the type: the sample rate, and what stands after the colon that begins the next value, if one does.
fn fields(mut rest: &[u8]) -> (Result<f64, Reason>, Option<&[u8]>) {
    let mut rate = Ok(1.0);
    loop {
        match rest.split_first() {
            None => return (rate, None),
            Some((b':', next)) => return (rate, Some(next)),
            Some((_, field)) => match field.first() {
                Some(b'@') => {
                    let (text, after) = until(&field[1..], |byte| byte == b'|' || byte == b':');
                    rate = rate.and(sample_rate(text));
                    rest = after;
                }
                // Tags; and what newer clients add: container (c:), timestamp (T), external data (e:), cardinality (card:).
                // The last three change nothing here: a metric counts in the interval in which it comes.
                Some(b'#' | b'T') => rest = until(field, |byte| byte == b'|').1,
                Some(_) if [&b"c:"[..], b"e:", b"card:"].iter().any(|known| field.starts_with(known)) => {
                    rest = until(field, |byte| byte == b'|').1;
                }
                _ => {
                    let (_, after) = until(field, |byte| byte == b'|' || byte == b':');
                    rate = Err(Reason::Field);
                    rest = after;
                }
            },
        }
    }
}

/// A rate above 0 whose inverse is finite. Etsy's daemon takes `@0` and counts Infinity.
fn sample_rate(text: &[u8]) -> Result<f64, Reason> {
    match number::parse(text) {
        Ok(rate) if rate > 0.0 && rate.recip().is_finite() => Ok(rate),
        _ => Err(Reason::SampleRate),
    }
}

/// Splits before the first byte that `ends` says, or at the end.
fn until(text: &[u8], ends: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| ends(*byte)).unwrap_or(text.len()))
}

/// `5,4}:title|text|fields`, the lengths in bytes.
fn event_of(rest: &[u8]) -> Option<Event<'_>> {
    let close = memchr(b'}', rest)?;
    let (title_length, text_length) = std::str::from_utf8(&rest[..close]).ok()?.split_once(',')?;
    let (title_length, text_length): (usize, usize) = (title_length.parse().ok()?, text_length.parse().ok()?);
    let body = rest[close + 1..].strip_prefix(b":")?;
    let (title, body) = body.split_at_checked(title_length)?;
    let (text, fields) = body.strip_prefix(b"|")?.split_at_checked(text_length)?;
    let fields = if fields.is_empty() { fields } else { fields.strip_prefix(b"|")? };
    (!title.is_empty()).then_some(Event { title, text, fields })
}

/// `name|status|fields`.
fn service_check(rest: &[u8]) -> Option<ServiceCheck<'_>> {
    let (name, rest) = rest.split_at(memchr(b'|', rest)?);
    let (status, fields) = until(&rest[1..], |byte| byte == b'|');
    let status = match status {
        [digit @ b'0'..=b'3'] => digit - b'0',
        _ => return None,
    };
    (!name.is_empty()).then_some(ServiceCheck { name, status, fields: fields.strip_prefix(b"|").unwrap_or(fields) })
}

#[cfg(test)]
mod tests;
