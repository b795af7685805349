//! Why a target has no answer.

use super::source::SourceError;

/// Why a target could not be evaluated. All but [`GraphiteError::Source`] are the caller's mistakes.
#[derive(Debug, thiserror::Error)]
pub enum GraphiteError {
    /// The text is no target.
    #[error("{message} at column {column}")]
    Syntax {
        /// Counted in characters from 1.
        column: usize,
        /// What was expected or found.
        message: String,
    },
    /// A function that does not exist.
    #[error("unknown function `{name}` at column {column}{}", nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default())]
    UnknownFunction {
        /// Where its name begins, in characters from 1.
        column: usize,
        /// The name as written.
        name: String,
        /// A function of a similar name.
        nearest: Option<&'static str>,
    },
    /// An argument that the function cannot take.
    #[error("{function}: {message} at column {column}")]
    Argument {
        /// Where the argument or its call begins, in characters from 1.
        column: usize,
        /// The function.
        function: String,
        /// What is wrong with it.
        message: String,
    },
    /// The target would read or hold more than is allowed. Nothing was read.
    #[error("the target asks for {asked} {what}, at most {limit} are allowed")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// How much the target asks for.
        asked: usize,
        /// How much is allowed.
        limit: usize,
    },
    /// The series could not be read; the fault is not the caller's.
    #[error("failed to read series")]
    Source(#[from] SourceError),
}

impl GraphiteError {
    /// The column at fault, in characters from 1, where there is one.
    pub fn column(&self) -> Option<usize> {
        match self {
            Self::Syntax { column, .. } | Self::UnknownFunction { column, .. } | Self::Argument { column, .. } => {
                Some(*column)
            }
            Self::TooMuch { .. } | Self::Source(_) => None,
        }
    }
}
