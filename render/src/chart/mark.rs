//! Deploys as they stand on a chart, and what is known of their part in a change.

use deployline_schemas::{Deploy, UnixMillis, deploy::Kind};

/// What is known about a deploy's part in a change.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum MarkVerdict {
    /// Nobody asked, or it cannot be told yet.
    #[default]
    Unknown,
    /// Looked at, and not the cause.
    Cleared,
    /// May be the cause, with this probability.
    Suspect(f64),
    /// Held to be the cause, with this probability.
    Guilty(f64),
}

impl MarkVerdict {
    /// The word on the picture, with the probability in percent; nothing for [`MarkVerdict::Unknown`].
    pub fn words(self) -> String {
        match self {
            Self::Unknown => String::new(),
            Self::Cleared => "cleared".to_owned(),
            Self::Suspect(probability) => format!("suspect {}", percent(probability)),
            Self::Guilty(probability) => format!("guilty {}", percent(probability)),
        }
    }

    /// How much it matters: a merged line shows its gravest member.
    pub(crate) fn gravity(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Cleared => 1,
            Self::Suspect(_) => 2,
            Self::Guilty(_) => 3,
        }
    }
}

/// A probability in whole percent. 100 % is certainty, which no statistic gives, so the words stop short of it.
fn percent(probability: f64) -> String {
    match probability.clamp(0.0, 1.0) * 100.0 {
        p if p > 99.0 && p < 100.0 => ">99 %".to_owned(),
        p if p > 0.0 && p < 1.0 => "<1 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

/// A deploy on the chart: a line at one moment, and a region where it took time.
#[derive(Debug, Clone)]
pub struct DeployMark {
    /// Names the deploy.
    pub id: String,
    /// What was deployed.
    pub service: String,
    /// The revision that went out.
    pub version: Option<String>,
    /// Who shipped it.
    pub actor: Option<String>,
    /// What was changed; decides letter and dashes.
    pub kind: Kind,
    /// Where the line stands: when its effect could first be seen.
    pub at: UnixMillis,
    /// When it began.
    pub started_at: UnixMillis,
    /// When it ended; `None` while it is under way, which draws the region to the window's end.
    pub ended_at: Option<UnixMillis>,
    /// Its part in the change.
    pub verdict: MarkVerdict,
    /// One line for people.
    pub title: Option<String>,
}

impl DeployMark {
    /// The mark of a deploy, with nothing known about its part in anything.
    pub fn new(deploy: &Deploy) -> Self {
        let ended_at = deploy.finished_at.or(deploy.live_at);
        Self {
            id: deploy.id.clone(),
            service: deploy.service.clone(),
            version: deploy.version.clone(),
            actor: deploy.actor.clone(),
            kind: deploy.kind,
            at: deploy.exposed_at(),
            started_at: deploy.started_at,
            ended_at: ended_at.or_else(|| deploy.status.is_final().then_some(deploy.started_at)),
            verdict: MarkVerdict::Unknown,
            title: deploy.title.clone(),
        }
    }

    /// The same mark with a verdict.
    pub fn with_verdict(self, verdict: MarkVerdict) -> Self {
        Self { verdict, ..self }
    }

    /// The letter that stands for its kind, so that colour and dashes are not the only signs.
    pub fn letter(&self) -> char {
        match self.kind {
            Kind::Deploy => 'D',
            Kind::Rollback => 'R',
            Kind::Config => 'C',
            Kind::Flag => 'F',
            Kind::Migration => 'M',
            Kind::Infra => 'I',
        }
    }

    /// Service and version, as people say it.
    pub fn name(&self) -> String {
        match self.version.as_deref() {
            Some(version) => format!("{} {}", self.service, short(version)),
            None => self.service.clone(),
        }
    }
}

/// A revision short enough for a label: Git hashes lose their tail.
fn short(version: &str) -> &str {
    let is_hash = version.len() >= 20 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { &version[..9] } else { version }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_never_claims_certainty_it_has_not() {
        assert_eq!(MarkVerdict::Guilty(0.93).words(), "guilty 93 %");
        assert_eq!(MarkVerdict::Guilty(0.999).words(), "guilty >99 %");
        assert_eq!(MarkVerdict::Suspect(0.004).words(), "suspect <1 %");
    }

    #[test]
    fn a_hash_is_shortened_and_a_version_is_not() {
        assert_eq!(short("9bc1f2e0d3a45b6c7d8e9f00112233445566aabb"), "9bc1f2e0d");
        assert_eq!(short("2026.11.23-release-1"), "2026.11.23-release-1");
    }
}
