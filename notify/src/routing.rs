//! Which channels an incident goes to.

use deployline_schemas::{Incident, pattern, signal::Services};

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
        (Some(wanted), Some(value)) => pattern::matches(wanted, value),
        (Some(_), None) => false,
    };
    holds(&wanted.environment, Some(&incident.environment))
        && holds(&wanted.service, Some(&incident.service))
        && holds(&wanted.owner, owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

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
