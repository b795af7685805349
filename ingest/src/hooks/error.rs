//! Why a request is refused.

use deployline_schemas::deploy::DeployError;

use super::{MAX_BODY_BYTES, MAX_EVENTS};

/// Why a request cannot become deploys: the sender's mistake each time, so trying again does not help.
///
/// The text is one sentence for the sender and holds nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// No module has this name.
    #[error("there is no hook for `{name}`")]
    UnknownSource {
        /// The name that was asked for.
        name: String,
    },
    /// More than [`MAX_BODY_BYTES`].
    #[error("the body has {length} bytes, at most {MAX_BODY_BYTES} are taken")]
    TooLarge {
        /// Its length in bytes.
        length: usize,
    },
    /// More than [`MAX_EVENTS`].
    #[error("the body has {n_events} events, at most {MAX_EVENTS} are taken at once")]
    TooMany {
        /// How many there are.
        n_events: usize,
    },
    /// A secret is configured and the request carries no signature or token.
    #[error("a secret is set for this hook, and the request has no {expected}")]
    Unsigned {
        /// What was looked for.
        expected: String,
    },
    /// The signature or token is there and does not fit.
    #[error("the {expected} does not match the hook's secret")]
    WrongSignature {
        /// What was checked.
        expected: String,
    },
    /// The signature fits, and its timestamp is too far from now: a replay, or a clock that is off.
    #[error("the signed timestamp is {skew_s} s away from this host's clock, at most 300 s are accepted")]
    Stale {
        /// How far, in seconds.
        skew_s: i64,
    },
    /// The body is not in the form that its source writes.
    #[error("the body cannot be read: {problem}")]
    Malformed {
        /// What is wrong, and where.
        problem: String,
    },
    /// Its JSON is nested deeper than anything that a hook writes.
    #[error("the body is nested too deep, at most 127 levels are taken")]
    TooDeep,
    /// A field that is needed is missing or empty.
    #[error("`{field}` is missing")]
    Missing {
        /// Its path in the body.
        field: String,
    },
    /// A field is there and makes no sense.
    #[error("`{field}` cannot be used: {problem}")]
    Invalid {
        /// Its path in the body.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl HookError {
    /// A word for programs; never changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownSource { .. } => "unknown_source",
            Self::TooLarge { .. } => "body_too_large",
            Self::TooMany { .. } => "too_many_events",
            Self::Unsigned { .. } => "signature_missing",
            Self::WrongSignature { .. } => "signature_wrong",
            Self::Stale { .. } => "signature_stale",
            Self::Malformed { .. } => "malformed_body",
            Self::TooDeep => "nested_too_deep",
            Self::Missing { .. } => "missing_field",
            Self::Invalid { .. } => "invalid_field",
        }
    }

    /// The HTTP status that answers it.
    pub fn status(&self) -> u16 {
        match self {
            Self::UnknownSource { .. } => 404,
            Self::TooLarge { .. } | Self::TooMany { .. } => 413,
            Self::Unsigned { .. } | Self::WrongSignature { .. } | Self::Stale { .. } => 401,
            Self::Malformed { .. } | Self::TooDeep => 400,
            Self::Missing { .. } | Self::Invalid { .. } => 422,
        }
    }

    /// The field at fault, where one is.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Missing { field } | Self::Invalid { field, .. } => Some(field),
            _ => None,
        }
    }

    /// Whether the request came from whom it says, as far as a secret can tell. Only such a body is worth keeping in
    /// quarantine; anybody can send the others.
    pub fn is_authentic(&self) -> bool {
        use HookError::{Invalid, Malformed, Missing, TooDeep, TooMany};
        matches!(self, TooMany { .. } | Malformed { .. } | TooDeep | Missing { .. } | Invalid { .. })
    }

    pub(super) fn unsigned(expected: &str) -> Self {
        Self::Unsigned { expected: expected.to_owned() }
    }

    pub(super) fn wrong_signature(expected: &str) -> Self {
        Self::WrongSignature { expected: expected.to_owned() }
    }

    /// The same error with the item's place in a list before the field.
    pub(super) fn within(self, index: usize) -> Self {
        match self {
            Self::Missing { field } => Self::Missing { field: format!("{index}.{field}") },
            Self::Invalid { field, problem } => Self::Invalid { field: format!("{index}.{field}"), problem },
            Self::Malformed { problem } => Self::Malformed { problem: format!("item {index}: {problem}") },
            error => error,
        }
    }

    /// What JSON that cannot be read is refused with.
    pub(super) fn json(error: &serde_json::Error) -> Self {
        // The one fault of JSON that is no fault of its syntax; `serde_json` tells it by its text alone.
        match error.to_string() {
            problem if problem.starts_with("recursion limit exceeded") => Self::TooDeep,
            problem => Self::malformed(format_args!("no valid JSON, {problem}")),
        }
    }

    pub(crate) fn malformed(problem: impl ToString) -> Self {
        Self::Malformed { problem: problem.to_string() }
    }

    pub(crate) fn missing(field: &str) -> Self {
        Self::Missing { field: field.to_owned() }
    }

    pub(super) fn invalid(field: &str, problem: impl ToString) -> Self {
        Self::Invalid { field: field.to_owned(), problem: problem.to_string() }
    }
}

impl From<DeployError> for HookError {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::Missing(field) => Self::missing(field),
            error => Self::invalid(error.field(), &error),
        }
    }
}
