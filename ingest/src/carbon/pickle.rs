//! Graphite's pickle protocol, read by a machine that knows lists, tuples, strings and numbers and nothing that runs code.
//!
//! A pickle is a program for Python's unpickler, which can call anything. Only the opcodes that build plain data are understood here; every
//! other one ends the parse. Protocols 0 to 5 write `[(name, (timestamp, value)), ..]` with these opcodes alone.

use std::str;

use memchr::memchr;

/// Longest pickle in bytes, carbon's own limit (`PICKLE_RECEIVER_MAX_LENGTH`).
pub const MAX_BYTES: usize = 1 << 20;

/// Why bytes are not a pickle of datapoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// Longer than [`MAX_BYTES`].
    #[error("the pickle has {0} bytes, at most {MAX_BYTES} are taken")]
    TooLong(usize),
    /// Ends before its end, or takes from an empty stack.
    #[error("the pickle is cut short")]
    Short,
    /// An opcode that is not for plain data, as one that calls a function.
    #[error("the pickle holds the opcode {0:#04x}, which is not for plain data")]
    Opcode(u8),
    /// A string or number that is malformed.
    #[error("the pickle holds a malformed string or number")]
    Scalar,
    /// Not a list of datapoints.
    #[error("the pickle is not a list of `(name, (timestamp, value))`")]
    Shape,
}

/// One entry of the list: `None` where a field is neither a number nor the text of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// The name as sent.
    pub name: &'a str,
    /// Unix seconds, -1 for now.
    pub timestamp: Option<f64>,
    /// The value.
    pub value: Option<f64>,
}

/// A value by its number in the machine's memory. Copies share, so that no pickle grows beyond its own size.
type Index = usize;

#[derive(Debug)]
enum Value<'a> {
    Number(f64),
    Text(&'a [u8]),
    /// A text whose escapes had to be resolved.
    Owned(Vec<u8>),
    List(Vec<Index>),
    Tuple(Vec<Index>),
    Other,
}

/// Calls `visit` with each datapoint; entries of another shape are visited as `None`. Returns how many there were.
///
/// # Errors
/// See [`PickleError`]. Nothing was visited then.
pub fn parse(bytes: &[u8], mut visit: impl FnMut(Option<Entry<'_>>)) -> Result<usize, PickleError> {
    if bytes.len() > MAX_BYTES {
        return Err(PickleError::TooLong(bytes.len()));
    }
    let mut machine =
        Machine { rest: bytes, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: Vec::new() };
    let result = machine.run()?;
    let Value::List(entries) = &machine.values[result] else { return Err(PickleError::Shape) };
    for entry in entries {
        visit(machine.entry(*entry));
    }
    Ok(entries.len())
}

struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value<'a>>,
    stack: Vec<Index>,
    marks: Vec<usize>,
    /// Sparse in theory, dense as every pickler writes it.
    memo: Vec<Option<Index>>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Index, PickleError> {
        loop {
            let opcode = self.bytes(1)?[0];
            match opcode {
                b'.' => return self.pop(),
                // Protocol and frame headers say nothing that is needed.
                0x80 => drop(self.bytes(1)?),
                0x95 => drop(self.bytes(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'0' => drop(self.pop()?),
                b'N' => self.push(Value::Other),
                0x88 => self.push(Value::Number(1.0)),
                0x89 => self.push(Value::Number(0.0)),
                b'I' | b'L' | b'F' => {
                    let line = self.line()?;
                    let text = str::from_utf8(line).map_err(|_| PickleError::Scalar)?;
                    let text = if opcode == b'L' { text.trim_end_matches('L') } else { text };
                    self.push(Value::Number(text.trim().parse().map_err(|_| PickleError::Scalar)?));
                }
                b'J' => self.integer(4)?,
                b'K' => {
                    let byte = self.bytes(1)?[0];
                    self.push(Value::Number(f64::from(byte)));
                }
                b'M' => {
                    let bytes = self.array::<2>()?;
                    self.push(Value::Number(f64::from(u16::from_le_bytes(bytes))));
                }
                0x8a => {
                    let length = usize::from(self.bytes(1)?[0]);
                    self.integer(length)?;
                }
                b'G' => {
                    let bytes = self.array::<8>()?;
                    self.push(Value::Number(f64::from_be_bytes(bytes)));
                }
                b'S' => {
                    let text = unquote(self.line()?)?;
                    self.push(text);
                }
                b'V' => {
                    let text = self.line()?;
                    self.push(Value::Text(text));
                }
                b'U' | b'C' | 0x8c => {
                    let length = usize::from(self.bytes(1)?[0]);
                    self.text(length)?;
                }
                b'T' | b'X' | b'B' => {
                    let length = u32::from_le_bytes(self.array()?);
                    self.text(length as usize)?;
                }
                0x8d | 0x8e => {
                    let length = u64::from_le_bytes(self.array()?);
                    self.text(usize::try_from(length).map_err(|_| PickleError::Short)?)?;
                }
                b']' => self.push(Value::List(Vec::new())),
                b')' => self.push(Value::Tuple(Vec::new())),
                b'l' => {
                    let items = self.pop_mark()?;
                    self.push(Value::List(items));
                }
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Value::Tuple(items));
                }
                0x85..=0x87 => {
                    let start = self.stack.len().checked_sub(usize::from(opcode) - 0x84).ok_or(PickleError::Short)?;
                    let items = self.stack.split_off(start);
                    self.push(Value::Tuple(items));
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend(vec![item])?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.extend(items)?;
                }
                b'p' => {
                    let number = self.number()?;
                    self.remember(number)?;
                }
                b'q' => {
                    let number = usize::from(self.bytes(1)?[0]);
                    self.remember(number)?;
                }
                b'r' => {
                    let number = u32::from_le_bytes(self.array()?);
                    self.remember(number as usize)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'g' => {
                    let number = self.number()?;
                    self.recall(number)?;
                }
                b'h' => {
                    let number = usize::from(self.bytes(1)?[0]);
                    self.recall(number)?;
                }
                b'j' => {
                    let number = u32::from_le_bytes(self.array()?);
                    self.recall(number as usize)?;
                }
                other => return Err(PickleError::Opcode(other)),
            }
        }
    }

    /// `(name, (timestamp, value))`, both as tuples or lists; more than two parts are not datapoints.
    fn entry(&self, index: Index) -> Option<Entry<'_>> {
        let [name, datapoint] = self.pair(index)?;
        let [timestamp, value] = self.pair(datapoint)?;
        let name = str::from_utf8(self.bytes_of(name)?).ok()?;
        Some(Entry { name, timestamp: self.number_of(timestamp), value: self.number_of(value) })
    }

    fn pair(&self, index: Index) -> Option<[Index; 2]> {
        match &self.values[index] {
            Value::List(items) | Value::Tuple(items) => items.as_slice().try_into().ok(),
            _ => None,
        }
    }

    fn bytes_of(&self, index: Index) -> Option<&[u8]> {
        match &self.values[index] {
            Value::Text(text) => Some(text),
            Value::Owned(text) => Some(text),
            _ => None,
        }
    }

    /// A number or the text of one: Etsy's StatsD daemon sends values as text.
    fn number_of(&self, index: Index) -> Option<f64> {
        match &self.values[index] {
            Value::Number(number) => Some(*number),
            _ => super::parse::number(str::from_utf8(self.bytes_of(index)?).ok()?),
        }
    }

    fn push(&mut self, value: Value<'a>) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    /// The top of the stack, not reaching below the last mark.
    fn pop(&mut self) -> Result<Index, PickleError> {
        match self.marks.last() {
            Some(mark) if self.stack.len() <= *mark => Err(PickleError::Short),
            _ => self.stack.pop().ok_or(PickleError::Short),
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Index>, PickleError> {
        let mark = self.marks.pop().ok_or(PickleError::Short)?;
        if mark > self.stack.len() {
            return Err(PickleError::Short);
        }
        Ok(self.stack.split_off(mark))
    }

    /// Adds items to the list on top of the stack.
    fn extend(&mut self, items: Vec<Index>) -> Result<(), PickleError> {
        match self.stack.last().map(|list| &mut self.values[*list]) {
            Some(Value::List(list)) => {
                list.extend(items);
                Ok(())
            }
            _ => Err(PickleError::Shape),
        }
    }

    fn remember(&mut self, number: usize) -> Result<(), PickleError> {
        let top = *self.stack.last().ok_or(PickleError::Short)?;
        // A pickler numbers from 0 or 1 on; a number beyond the pickle's own length is made up.
        if number > MAX_BYTES {
            return Err(PickleError::Scalar);
        }
        if self.memo.len() <= number {
            self.memo.resize(number + 1, None);
        }
        self.memo[number] = Some(top);
        Ok(())
    }

    fn recall(&mut self, number: usize) -> Result<(), PickleError> {
        let index = self.memo.get(number).copied().flatten().ok_or(PickleError::Scalar)?;
        self.stack.push(index);
        Ok(())
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8], PickleError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(PickleError::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleError> {
        self.bytes(N)?.try_into().map_err(|_| PickleError::Short)
    }

    fn text(&mut self, length: usize) -> Result<(), PickleError> {
        let text = self.bytes(length)?;
        self.push(Value::Text(text));
        Ok(())
    }

    /// A signed little-endian integer of up to eight bytes.
    fn integer(&mut self, length: usize) -> Result<(), PickleError> {
        let bytes = self.bytes(length)?;
        if length > 8 {
            return Err(PickleError::Scalar);
        }
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        whole[..length].copy_from_slice(bytes);
        self.push(Value::Number(i64::from_le_bytes(whole) as f64));
        Ok(())
    }

    fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let line = &self.rest[..memchr(b'\n', self.rest).ok_or(PickleError::Short)?];
        self.rest = &self.rest[line.len() + 1..];
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn number(&mut self) -> Result<usize, PickleError> {
        str::from_utf8(self.line()?).ok().and_then(|text| text.parse().ok()).ok_or(PickleError::Scalar)
    }
}

/// A string of protocol 0: quoted as Python's `repr` does.
fn unquote(line: &[u8]) -> Result<Value<'_>, PickleError> {
    let inner = match line {
        [open @ (b'\'' | b'"'), inner @ .., close] if open == close => inner,
        _ => return Err(PickleError::Scalar),
    };
    if memchr(b'\\', inner).is_none() {
        return Ok(Value::Text(inner));
    }
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        let resolved = match byte {
            b'\\' => match bytes.next().ok_or(PickleError::Scalar)? {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'x' => {
                    let digits = bytes.as_slice().get(..2).ok_or(PickleError::Scalar)?;
                    bytes = bytes.as_slice()[2..].iter();
                    let digits = str::from_utf8(digits).map_err(|_| PickleError::Scalar)?;
                    u8::from_str_radix(digits, 16).map_err(|_| PickleError::Scalar)?
                }
                escaped @ (b'\\' | b'\'' | b'"') => *escaped,
                _ => return Err(PickleError::Scalar),
            },
            plain => *plain,
        };
        text.push(resolved);
    }
    Ok(Value::Owned(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pickle: &[u8], expected: Result<&[(&str, f64, f64)], PickleError>) {
        let mut entries = Vec::new();
        let outcome = parse(pickle, |entry| {
            let Entry { name, timestamp, value } = entry.unwrap();
            entries.push((name.to_owned(), timestamp.unwrap(), value.unwrap()));
        });
        let entries: Vec<_> =
            entries.iter().map(|(name, timestamp, value)| (name.as_str(), *timestamp, *value)).collect();
        assert_eq!(outcome.map(|_| &*entries), expected, "{}", pickle.escape_ascii());
    }

    /// `pickle.dumps([('a.b', (1600000000, 1.5)), ('a.c', (1600000010, -3))], protocol=P)` of CPython 3.11.
    const TWO: [(&str, f64, f64); 2] = [("a.b", 1_600_000_000.0, 1.5), ("a.c", 1_600_000_010.0, -3.0)];

    #[test]
    fn every_protocol_is_read() {
        check(b"(lp0\n(Va.b\np1\n(I1600000000\nF1.5\ntp2\ntp3\na(Va.c\np4\n(I1600000010\nI-3\ntp5\ntp6\na.", Ok(&TWO));
        check(b"]q\x00((X\x03\x00\x00\x00a.bq\x01(J\x00\x10^_G?\xf8\x00\x00\x00\x00\x00\x00tq\x02tq\x03(X\x03\x00\x00\x00a.cq\x04(J\n\x10^_J\xfd\xff\xff\xfftq\x05tq\x06e.", Ok(&TWO));
        check(b"\x80\x02]q\x00(X\x03\x00\x00\x00a.bq\x01J\x00\x10^_G?\xf8\x00\x00\x00\x00\x00\x00\x86q\x02\x86q\x03X\x03\x00\x00\x00a.cq\x04J\n\x10^_J\xfd\xff\xff\xff\x86q\x05\x86q\x06e.", Ok(&TWO));
        check(b"\x80\x04\x951\x00\x00\x00\x00\x00\x00\x00]\x94(\x8c\x03a.b\x94J\x00\x10^_G?\xf8\x00\x00\x00\x00\x00\x00\x86\x94\x86\x94\x8c\x03a.c\x94J\n\x10^_J\xfd\xff\xff\xff\x86\x94\x86\x94e.", Ok(&TWO));
    }

    #[test]
    fn what_etsys_daemon_sends_is_read() {
        check(
            b"(l(S'stats.a'\n(L1600000000L\nS'0.5'\ntta(S'it\\'s\\x41'\n(L-1L\nS'7'\ntta.",
            Ok(&[("stats.a", 1_600_000_000.0, 0.5), ("it'sA", -1.0, 7.0)]),
        );
    }

    #[test]
    fn what_could_run_code_is_refused() {
        check(b"cos\nsystem\n(S'true'\ntR.", Err(PickleError::Opcode(b'c')));
        check(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", Err(PickleError::Opcode(0x93)));
        check(b"(S'x'\nios\nsystem\n.", Err(PickleError::Opcode(b'i')));
    }

    #[test]
    fn malformed_pickles_are_refused() {
        for (pickle, expected) in [
            (&b""[..], PickleError::Short),
            (b".", PickleError::Short),
            (b"(lp0\n", PickleError::Short),
            (b"N.", PickleError::Shape),
            (b"K\x01.", PickleError::Shape),
            (b"X\xff\xff\xff\xffa.", PickleError::Short),
            (b"]r\xff\xff\xff\xff.", PickleError::Scalar),
            (b"h\x07.", PickleError::Scalar),
            (b"S'a\n.", PickleError::Scalar),
            (b"t.", PickleError::Short),
        ] {
            check(pickle, Err(expected));
        }
        check(&vec![b'('; MAX_BYTES + 1], Err(PickleError::TooLong(MAX_BYTES + 1)));
    }

    #[test]
    fn entries_of_another_shape_are_told_apart() {
        let mut shapes = Vec::new();
        parse(b"(lS'a'\na(S'b'\n(I1\nNtta(I5\nI6\ntaI7\na.", |entry| shapes.push(entry.map(|entry| entry.value)))
            .unwrap();
        assert_eq!(shapes, [None, Some(None), None, None]);
    }

    #[test]
    fn a_list_that_holds_itself_ends() {
        assert_eq!(parse(b"]q\x00h\x00a.", |entry| assert_eq!(entry, None)), Ok(1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(pickle in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&pickle, |_| ());
        }

        #[test]
        fn near_misses_are_taken_without_a_panic(pickle in r"([(\]).tlaeN0]|I1\n|S'a'\n|p0\n|g0\n|K1){0,40}\.") {
            let _ = parse(pickle.as_bytes(), |_| ());
        }
    }
}
