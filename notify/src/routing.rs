//! Which channels an incident goes to.

use deployline_schemas::{Incident, signal::Services};

use crate::config::{ChannelConfig, Match, NotifyConfig};

/// The channels of an incident, each once, in the order of the configuration.
///
/// Every matching route adds its channels; without any route all channels are meant.
pub fn channels<'c>(config: &'c NotifyConfig, services: &Services, incident: &Incident) -> Vec<&'c ChannelConfig> {
    let owner = services.get(&incident.service).and_then(|service| service.owner.as_deref());
    let wanted = |channel: &&ChannelConfig| {
        let mut matching = config.routes.iter().filter(|route| matches(&route.matching, incident, owner));
        config.routes.is_empty() || matching.any(|route| route.to.contains(&channel.name))
    };
    config.channels.iter().filter(wanted).collect()
}

fn matches(wanted: &Match, incident: &Incident, owner: Option<&str>) -> bool {
    let holds = |pattern: &Option<String>, value: Option<&str>| match (pattern, value) {
        (None, _) => true,
        (Some(pattern), Some(value)) => glob(pattern, value),
        (Some(_), None) => false,
    };
    holds(&wanted.environment, Some(&incident.environment))
        && holds(&wanted.service, Some(&incident.service))
        && holds(&wanted.owner, owner)
}

/// Whether `text` matches a pattern in which `*` stands for any run of characters. Linear in practice:
/// the first place where each literal fits is taken, which is right for `*` alone.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut literals: Vec<&str> = rest.split('*').collect();
    let last = literals.pop().unwrap_or_default();
    for literal in literals {
        match text.find(literal) {
            Some(at) => text = &text[at + literal.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_star_takes_any_run() {
        for (pattern, text, expected) in [
            ("checkout", "checkout", true),
            ("checkout", "checkout2", false),
            ("check*", "checkout", true),
            ("*-api", "cart-api", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[track_caller]
    fn check(routes: &str, expected: &[&str]) {
        let channel = |name: &str| format!("[[channel]]\nname='{name}'\nkind='slack'\nurl='http://127.0.0.1/'\n");
        let config: NotifyConfig =
            toml::from_str(&format!("{}{}{routes}", channel("push"), channel("payments"))).unwrap();
        let services = toml::from_str("[checkout]\nowner = 'payments-team'").unwrap();
        let names: Vec<_> =
            channels(&config, &services, &fixtures::confirmed()).iter().map(|c| c.name.clone()).collect();
        assert_eq!(names, expected, "{routes}");
    }

    #[test]
    fn every_matching_route_adds_its_channels_once() {
        check("", &["push", "payments"]);
        check("[[route]]\nto=['payments']", &["payments"]);
        check("[[route]]\nmatch={environment='staging'}\nto=['push']", &[]);
        check(
            "[[route]]\nmatch={owner='payments*'}\nto=['payments']\n[[route]]\nmatch={service='checkout', environment='production'}\nto=['push', 'payments']",
            &["push", "payments"],
        );
        check("[[route]]\nmatch={owner='web'}\nto=['push']", &[]);
    }
}
