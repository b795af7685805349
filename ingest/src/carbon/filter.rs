//! Which names come in, and under which: carbon's rewrite rules, whitelist and blacklist.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::config::CarbonConfig;

/// Largest compiled expression, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// One `[[carbon.rewrite]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewriteConfig {
    /// A regular expression; everything that it finds in a name is replaced.
    pub find: String,
    /// What stands there instead; `${1}` is what its first group found.
    pub replace: String,
}

/// A regular expression that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[carbon] {key}: `{pattern}` is no regular expression: {reason}")]
pub struct FilterError {
    key: &'static str,
    pattern: String,
    reason: String,
}

/// The expressions of a configuration, ready.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    rewrites: Vec<(Regex, String)>,
    allow: Vec<Regex>,
    block: Vec<Regex>,
}

impl Filter {
    pub(crate) fn new(config: &CarbonConfig) -> Result<Self, FilterError> {
        let compile = |key, pattern: &String| {
            let built = RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build();
            // The last line of the message says what is wrong, those before show where.
            let reason = |error: regex::Error| {
                error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
            };
            built.map_err(|error| FilterError { key, pattern: pattern.clone(), reason: reason(error) })
        };
        let rewrite = |rule: &RewriteConfig| Ok((compile("rewrite", &rule.find)?, rule.replace.clone()));
        Ok(Self {
            rewrites: config.rewrite.iter().map(rewrite).collect::<Result<_, _>>()?,
            allow: config.allow.iter().map(|pattern| compile("allow", pattern)).collect::<Result<_, _>>()?,
            block: config.block.iter().map(|pattern| compile("block", pattern)).collect::<Result<_, _>>()?,
        })
    }

    /// The name under which a series comes in; `None` if it does not.
    pub(crate) fn pass<'n>(&self, name: &'n str) -> Option<Cow<'n, str>> {
        let rewrite = |name: Cow<'n, str>, (find, replace): &(Regex, String)| match find.replace_all(&name, replace) {
            Cow::Owned(rewritten) => Cow::Owned(rewritten),
            Cow::Borrowed(_) => name,
        };
        let name = self.rewrites.iter().fold(Cow::Borrowed(name), rewrite);
        let is_allowed = self.allow.is_empty() || self.allow.iter().any(|regex| regex.is_match(&name));
        let is_blocked = self.block.iter().any(|regex| regex.is_match(&name));
        (is_allowed && !is_blocked).then_some(name)
    }
}

impl CarbonConfig {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub fn check(&self) -> Result<(), FilterError> {
        Filter::new(self).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_rewritten_then_allowed_then_blocked() {
        let config: CarbonConfig = toml::from_str(
            "allow = ['^web\\.']\nblock = ['\\.debug\\.']\nrewrite = [{ find = '^collectd\\.([^.]+)', replace = 'web.${1}' }, { find = '_', replace = '-' }]",
        )
        .unwrap();
        let filter = Filter::new(&config).unwrap();
        assert_eq!(filter.pass("collectd.h_1.load").as_deref(), Some("web.h-1.load"));
        assert_eq!(filter.pass("web.load").as_deref(), Some("web.load"));
        assert_eq!(filter.pass("web.debug.x"), None);
        assert_eq!(filter.pass("db.load"), None);
        assert!(Filter::default().pass("anything").is_some());
    }

    #[test]
    fn what_is_no_expression_is_refused_with_the_reason() {
        let config = CarbonConfig { block: vec!["a(".to_owned()], ..CarbonConfig::default() };
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "[carbon] block: `a(` is no regular expression: unclosed group"
        );
    }
}
