//! Names of series in which a service and an environment stand.

/// Why a pattern names no series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Without it a deploy has no service.
    #[error("[announce]: `{pattern}` does not say {{service}}")]
    NoService {
        /// The pattern.
        pattern: String,
    },
    /// A part is neither plain nor a place that is known.
    #[error("[announce]: `{part}` in `{pattern}` is neither a plain part nor {{service}}, {{environment}} or *")]
    Part {
        /// The part.
        part: String,
        /// The pattern.
        pattern: String,
    },
}

/// A pattern such as `deploys.{service}.{environment}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    literal: String,
    is_duration: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Plain(String),
    Any,
    Service,
    Environment,
}

/// What a name says under a pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'n> {
    pub service: &'n str,
    pub environment: Option<&'n str>,
    pub is_duration: bool,
}

impl Pattern {
    pub(super) fn parse(text: &str, is_duration: bool) -> Result<Self, PatternError> {
        let part = |part: &str| match part {
            "{service}" => Ok(Part::Service),
            "{environment}" => Ok(Part::Environment),
            "*" => Ok(Part::Any),
            plain if plain.is_empty() || plain.contains(['{', '}', '*']) => {
                Err(PatternError::Part { part: plain.to_owned(), pattern: text.to_owned() })
            }
            plain => Ok(Part::Plain(plain.to_owned())),
        };
        let parts: Vec<Part> = text.split('.').map(part).collect::<Result<_, _>>()?;
        if !parts.contains(&Part::Service) {
            return Err(PatternError::NoService { pattern: text.to_owned() });
        }
        // Up to the first part that varies.
        let literal = text[..text.find(['{', '*']).unwrap_or(text.len())].to_owned();
        Ok(Self { parts, literal, is_duration })
    }

    /// What every name under the pattern begins with.
    pub(super) fn literal(&self) -> &str {
        &self.literal
    }

    pub(super) fn find<'n>(&self, name: &'n str) -> Option<Found<'n>> {
        let (mut service, mut environment, mut rest) = ("", None, name.split('.'));
        for part in &self.parts {
            let word = rest.next().filter(|word| !word.is_empty())?;
            match part {
                Part::Plain(plain) if plain == word => {}
                Part::Plain(_) => return None,
                Part::Any => {}
                Part::Service => service = word,
                Part::Environment => environment = Some(word),
            }
        }
        rest.next().is_none().then_some(Found { service, environment, is_duration: self.is_duration })
    }
}
