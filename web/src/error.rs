//! Errors, and the one place where they become an answer.

use std::{convert::Infallible, error::Error, time::Duration};

use deployline_bus::BusError;
use deployline_ingest::hooks::HookError;
use deployline_notify::error::chain;
use deployline_store::StoreError;
use serde::Serialize;
use warp::{
    Rejection, Reply,
    http::{StatusCode, header},
    reject::{self, Reject},
    reply::Response,
};

/// Why a request is not answered as asked: each variant says whose turn it is.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The caller's mistake: the same request fails again.
    #[error("{message}")]
    Refused {
        /// What to answer.
        status: StatusCode,
        /// A word for programs; never changes.
        code: &'static str,
        /// One sentence for people.
        message: String,
        /// The parameter or field at fault.
        field: Option<String>,
    },
    /// No such deploy, incident or series.
    #[error("there is no {what} `{id}`")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// No token, or a wrong one.
    #[error("this address needs a token: send `Authorization: Bearer TOKEN`")]
    Unauthorized,
    /// Ours, and it may pass: too much to do, or the bus is away.
    #[error("{message}")]
    Busy {
        /// 429 or 503.
        status: StatusCode,
        /// A word for programs; never changes.
        code: &'static str,
        /// One sentence for people.
        message: &'static str,
        /// When to try again.
        retry_after: Duration,
        /// The cause, for the log.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Ours: the cause goes to the log, not to the caller.
    #[error("failed to {doing}")]
    Internal {
        /// What was tried.
        doing: &'static str,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The listening address is taken or not allowed; only [`crate::serve`] says this.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
}

impl Reject for WebError {}

impl WebError {
    /// A parameter that makes no sense.
    pub fn parameter(field: &str, message: impl Into<String>) -> Self {
        let (status, code) = (StatusCode::BAD_REQUEST, "invalid_parameter");
        Self::Refused { status, code, message: message.into(), field: Some(field.to_owned()) }
    }

    /// Something of ours that failed.
    pub fn internal(doing: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Internal { doing, source: source.into() }
    }

    /// A failed read of store or catalog.
    pub fn store(doing: &'static str, error: StoreError) -> Self {
        match error.is_rejection() {
            true => Self::Refused {
                status: StatusCode::BAD_REQUEST,
                code: "invalid_parameter",
                message: chain(&error),
                field: None,
            },
            false => Self::internal(doing, error),
        }
    }

    /// A refused hook.
    pub fn hook(error: &HookError) -> Self {
        Self::Refused {
            status: StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST),
            code: error.code(),
            message: error.to_string(),
            field: error.field().map(str::to_owned),
        }
    }

    /// A failed publish: the sender is told to come again, because nothing is durable yet.
    pub fn bus(error: BusError) -> Self {
        let retry_after = Duration::from_secs(5);
        match error {
            BusError::TooLarge { .. } => Self::Refused {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                code: "event_too_large",
                message: error.to_string(),
                field: None,
            },
            BusError::QueueFull { .. } => Self::Busy {
                status: StatusCode::TOO_MANY_REQUESTS,
                code: "queue_full",
                message: "too many events are waiting to become durable; nothing was taken",
                retry_after,
                source: Some(Box::new(error)),
            },
            error => Self::Busy {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "bus_unavailable",
                message: "the event could not be made durable; send it again",
                retry_after,
                source: Some(Box::new(error)),
            },
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Refused { status, .. } | Self::Busy { status, .. } => *status,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Internal { .. } | Self::Listen { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn problem(&self) -> Problem {
        let problem = |code, message: String, field| Problem { code, message, field };
        match self {
            Self::Refused { code, message, field, .. } => problem(code, message.clone(), field.clone()),
            Self::NotFound { .. } => problem("not_found", self.to_string(), None),
            Self::Unauthorized => problem("unauthorized", self.to_string(), None),
            Self::Busy { code, message, .. } => problem(code, (*message).to_owned(), None),
            Self::Internal { .. } | Self::Listen { .. } => {
                problem("internal", "something went wrong here; the log says what".to_owned(), None)
            }
        }
    }
}

/// What every error answers, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A word for programs; never changes.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
    /// The parameter or field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// Answers any rejection with JSON. The [`Problem`] also travels as an extension of the answer, from which whoever asks
/// for HTML gets a page.
///
/// # Errors
/// Never; the signature is warp's.
pub async fn recover(rejection: Rejection) -> Result<Response, Infallible> {
    let (status, problem, retry_after) = match rejection.find::<WebError>() {
        Some(error) => {
            report(error);
            let retry_after = match error {
                WebError::Busy { retry_after, .. } => Some(*retry_after),
                _ => None,
            };
            (error.status(), error.problem(), retry_after)
        }
        None => {
            let (status, problem) = foreign(&rejection);
            (status, problem, None)
        }
    };
    let mut answer = warp::reply::json(&problem).into_response();
    answer.extensions_mut().insert(problem);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    if let Some(pause) = retry_after {
        headers
            .insert(header::RETRY_AFTER, pause.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX).into());
    }
    if status == StatusCode::UNAUTHORIZED && matches!(rejection.find(), Some(WebError::Unauthorized)) {
        headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(r#"Basic realm="deployline""#));
    }
    Ok(answer)
}

fn report(error: &WebError) {
    match error {
        WebError::Internal { source, .. } => {
            tracing::error!(error = %error, cause = chain(source.as_ref()), "request failed")
        }
        WebError::Busy { source: Some(source), .. } => {
            tracing::warn!(error = %error, cause = chain(source.as_ref()), "request put off");
        }
        _ => tracing::debug!(error = %error, "request refused"),
    }
}

/// What warp's own filters refuse.
fn foreign(rejection: &Rejection) -> (StatusCode, Problem) {
    let problem = |status, code, message: &str| (status, Problem { code, message: message.to_owned(), field: None });
    if rejection.is_not_found() {
        return problem(StatusCode::NOT_FOUND, "not_found", "there is nothing at this address");
    }
    if rejection.find::<reject::MethodNotAllowed>().is_some() {
        return problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address does not take that method");
    }
    if rejection.find::<reject::PayloadTooLarge>().is_some() {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "the body is too large: at most 1 MiB is taken",
        );
    }
    if rejection.find::<reject::LengthRequired>().is_some() {
        return problem(StatusCode::LENGTH_REQUIRED, "length_required", "the request needs a Content-Length");
    }
    if rejection.find::<reject::InvalidQuery>().is_some() {
        return problem(StatusCode::BAD_REQUEST, "invalid_parameter", "the query cannot be read");
    }
    tracing::error!(?rejection, "request failed in an unforeseen way");
    problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong here; the log says what")
}
