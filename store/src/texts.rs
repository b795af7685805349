//! Texts one behind the other in a few large pieces of memory, where an allocation for each would cost as much again.

/// Bytes of a piece. A longer text gets one of its own.
const PIECE_BYTES: usize = 1 << 20;
/// Bits of the length in a [`Span`].
const LENGTH_BITS: u32 = 24;
/// Bits of the place within a piece: a long text is the first of its piece.
const START_BITS: u32 = 20;

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(u64);

impl Span {
    /// No text.
    pub const NONE: Self = Self(u64::MAX);

    pub fn len(self) -> usize {
        (self.0 & ((1 << LENGTH_BITS) - 1)) as usize
    }
}

/// All texts. What is forgotten is still there until its owner builds another one.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    pieces: Vec<String>,
    n_bytes: usize,
}

impl Texts {
    /// Adds a text of less than 16 MiB.
    pub fn push(&mut self, text: &str) -> Span {
        let fits = self.pieces.last().is_some_and(|piece| piece.len() + text.len() <= PIECE_BYTES);
        if !fits {
            self.pieces.push(String::with_capacity(text.len().max(PIECE_BYTES)));
        }
        let index = self.pieces.len() - 1;
        let piece = &mut self.pieces[index];
        let start = piece.len();
        piece.push_str(text);
        self.n_bytes += text.len();
        let place = (index as u64) << START_BITS | start as u64;
        Span(place << LENGTH_BITS | text.len() as u64)
    }

    /// The text of a span that [`Texts::push`] gave.
    pub fn get(&self, span: Span) -> &str {
        let place = span.0 >> LENGTH_BITS;
        let (index, start) = ((place >> START_BITS) as usize, (place & ((1 << START_BITS) - 1)) as usize);
        &self.pieces[index][start..start + span.len()]
    }

    /// Bytes of all texts, forgotten ones too.
    pub fn n_bytes(&self) -> usize {
        self.n_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_come_back() {
        let mut texts = Texts::default();
        let all: Vec<String> =
            [0, 1, 7, 1000, PIECE_BYTES - 8, 300, PIECE_BYTES, 2 * PIECE_BYTES, 0, 5].map(|n| "é".repeat(n)).into();
        let spans: Vec<Span> = all.iter().map(|text| texts.push(text)).collect();
        for (text, span) in all.iter().zip(spans) {
            assert!(texts.get(span) == text && span.len() == text.len() && span != Span::NONE);
        }
        assert_eq!(texts.n_bytes(), all.iter().map(String::len).sum::<usize>());
    }
}
