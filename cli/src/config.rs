//! `deployline.toml`: the sections that each crate owns, put together.

use std::{fs, path::Path};

use anyhow::{Context, anyhow, bail};
use deployline_bus::{BusConfig, BusKind};
use deployline_ingest::{
    aggregation::{AggregationConfig, Rule},
    announce::AnnounceConfig,
    carbon::CarbonConfig,
    datapoints::DatapointsConfig,
    forward::ForwardConfig,
    hooks::{self, HookConfig},
    remote_write::RemoteWriteConfig,
    statsd::StatsdConfig,
    tail::TailConfig,
    topics::TopicConfig,
};
use deployline_notify::{ChannelConfig, NotifyConfig, RouteConfig};
use deployline_schemas::signal::{Services, Signal, SignalKind, default_signals};
use deployline_store::{SourceConfig, StoreConfig, retention::RetentionRule};
use deployline_web::WebConfig;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// The whole configuration. Every section has defaults that run alone.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub web: WebConfig,
    pub statsd: StatsdConfig,
    pub carbon: CarbonConfig,
    pub remote_write: RemoteWriteConfig,
    pub datapoints: DatapointsConfig,
    pub aggregation: Vec<AggregationConfig>,
    pub forward: Vec<ForwardConfig>,
    pub source: Vec<SourceConfig>,
    pub store: StoreConfig,
    pub bus: BusConfig,
    pub signal: Vec<Signal>,
    pub service: Services,
    pub retention: Vec<RetentionRule>,
    pub hook: Vec<HookConfig>,
    pub topic: Vec<TopicConfig>,
    pub tail: Vec<TailConfig>,
    pub announce: AnnounceConfig,
    pub channel: Vec<ChannelConfig>,
    pub route: Vec<RouteConfig>,
}

/// Variables like `DEPLOYLINE_WEB__LISTEN` set `web.listen`.
const ENVIRONMENT_PREFIX: &str = "DEPLOYLINE_";
/// Keys that hold secrets: `env:NAME` or `file:PATH`, never the secret itself.
const SECRET_KEYS: [&str; 6] = ["secret", "secrets", "token", "tokens", "password", "routing_key"];
/// Keys that may be a secret, and are masked, but may stand in the file.
const MASKED_KEYS: [&str; 1] = ["url"];

impl Config {
    /// Reads a file, lays the environment over it and resolves its secrets. Without a file, the defaults.
    pub fn load(file: Option<&Path>) -> anyhow::Result<Self> {
        Self::from_table(table(file)?)
    }

    /// The configuration that a text alone describes, whatever the environment says.
    pub fn from_toml(text: &str) -> anyhow::Result<Self> {
        Self::from_table(toml::from_str(text)?)
    }

    fn from_table(mut table: Table) -> anyhow::Result<Self> {
        resolve(&mut table, "")?;
        let mut config: Config = Value::Table(table).try_into().map_err(explain)?;
        if config.signal.is_empty() {
            config.signal = default_signals();
        }
        config.check()?;
        Ok(config)
    }

    /// Refuses what is well formed and cannot work.
    fn check(&self) -> anyhow::Result<()> {
        self.statsd.check()?;
        self.carbon.check()?;
        self.rules()?;
        self.datapoints.check(self.bus.kind == BusKind::Kafka).map_err(|mistake| anyhow!(mistake))?;
        self.forward.iter().try_for_each(|forward| forward.check().map_err(|mistake| anyhow!(mistake)))?;
        self.source.iter().try_for_each(|source| source.check().map_err(|mistake| anyhow!(mistake)))?;
        NotifyConfig { channels: self.channel.clone(), routes: self.route.clone() }.check()?;
        for hook in &self.hook {
            hooks::source(&hook.source).with_context(|| {
                format!("[[hook]]: no source `{}`; `deployline hook list` names them all", hook.source)
            })?;
        }
        self.announce.check()?;
        self.tail.iter().try_for_each(TailConfig::check)?;
        for topic in &self.topic {
            if self.bus.kind != BusKind::Kafka {
                bail!(
                    "[[topic]]: topics of others are read from the cluster of the bus: set kind = \"kafka\" under [bus]"
                );
            }
            if topic.names.is_empty() {
                bail!("[[topic]]: `names` names no topic");
            }
            topic.inner(&self.hook).with_context(|| {
                format!("[[topic]]: no hook `{}`; `deployline hook list` names them all", topic.hook)
            })?;
        }
        for signal in &self.signal {
            let name = &signal.name;
            let patterns = std::iter::once(&signal.series).chain(&signal.per);
            if let Some(pattern) = patterns.into_iter().find(|pattern| !pattern.contains("{service}")) {
                bail!("[[signal]] `{name}`: `{pattern}` does not say {{service}}, which names whose series it is");
            }
            if signal.kind == SignalKind::Ratio && signal.per.is_none() {
                bail!("[[signal]] `{name}`: a ratio needs `per`, the series that it is a share of");
            }
        }
        Ok(())
    }

    /// The rules of `[[aggregation]]`.
    pub fn rules(&self) -> anyhow::Result<Vec<Rule>> {
        let rules = self.aggregation.iter().map(|aggregation| aggregation.rule.parse::<Rule>());
        rules.collect::<Result<_, _>>().context("[[aggregation]]")
    }

    /// The configuration as it is written, its secrets not looked for.
    pub fn stated(file: Option<&Path>) -> anyhow::Result<Self> {
        Value::Table(table(file)?).try_into().map_err(explain)
    }

    /// The configuration in force as TOML, secrets masked.
    pub fn show(file: Option<&Path>) -> anyhow::Result<String> {
        let mut stated = Self::stated(file)?;
        if stated.signal.is_empty() {
            stated.signal = default_signals();
        }
        let mut table = Table::try_from(&stated)?;
        mask(&mut table);
        Ok(toml::to_string(&table)?)
    }
}

/// The file as it stands, checked, with the environment laid over it.
fn table(file: Option<&Path>) -> anyhow::Result<Table> {
    let mut table = Table::new();
    if let Some(file) = file {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        // Read once with places, so that a mistake is shown where it stands.
        toml::from_str::<Config>(&text).map_err(|error| anyhow!("{}: {}", file.display(), place(&text, error)))?;
        table = toml::from_str(&text)?;
    }
    let mut variables: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX)).collect();
    variables.sort();
    for (name, value) in variables {
        let path = name[ENVIRONMENT_PREFIX.len()..].to_lowercase();
        if path.contains("__") {
            set(&mut table, &path.split("__").collect::<Vec<_>>(), &value).with_context(|| format!("in {name}"))?;
        }
    }
    Ok(table)
}

fn set(table: &mut Table, path: &[&str], value: &str) -> anyhow::Result<()> {
    match path {
        [] => Ok(()),
        [key] => {
            // A number, a boolean or a list where it reads as one; else the text itself.
            let parsed = toml::from_str::<Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
            table.insert((*key).to_owned(), parsed.unwrap_or_else(|| Value::String(value.to_owned())));
            Ok(())
        }
        [section, rest @ ..] => match table.entry(*section).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => set(inner, rest, value),
            _ => bail!("`{section}` is not a section"),
        },
    }
}

/// Replaces `env:NAME` and `file:PATH` by what they name, wherever they stand.
fn resolve(table: &mut Table, section: &str) -> anyhow::Result<()> {
    for (key, value) in table.iter_mut() {
        resolve_value(key, value, &format!("{section}{key}"))?;
    }
    Ok(())
}

fn resolve_value(key: &str, value: &mut Value, path: &str) -> anyhow::Result<()> {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix("env:") {
                *text =
                    std::env::var(name).map_err(|_| anyhow!("{path} wants the variable {name}, which is not set"))?;
            } else if let Some(file) = text.strip_prefix("file:") {
                let secret = fs::read_to_string(file).with_context(|| format!("{path} wants the file {file}"))?;
                *text = secret.trim_end().to_owned();
            } else if SECRET_KEYS.contains(&key) {
                bail!("{path} holds a secret: write \"env:NAME\" or \"file:PATH\" instead of the secret itself");
            }
            Ok(())
        }
        Value::Array(items) => {
            items.iter_mut().enumerate().try_for_each(|(i, item)| resolve_value(key, item, &format!("{path}[{i}]")))
        }
        Value::Table(inner) => resolve(inner, &format!("{path}.")),
        _ => Ok(()),
    }
}

fn mask(table: &mut Table) {
    for (key, value) in table.iter_mut() {
        let secret = SECRET_KEYS.contains(&key.as_str()) || MASKED_KEYS.contains(&key.as_str());
        mask_value(value, secret);
    }
}

fn mask_value(value: &mut Value, secret: bool) {
    match value {
        Value::String(text) if secret && !text.starts_with("env:") && !text.starts_with("file:") => {
            *text = "********".to_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask_value(item, secret)),
        Value::Table(inner) => mask(inner),
        _ => {}
    }
}

/// Says on which line a mistake stands, and which key was probably meant.
fn place(text: &str, error: toml::de::Error) -> String {
    if let Some((line, section)) = lone_brackets(text) {
        return format!("line {line}: there may be several of `{section}`: write [[{section}]] instead of [{section}]");
    }
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    format!("line {line}: {}", nearest(error.message()))
}

/// The line of a `[section]` of which there may be several, and which is written with double brackets.
fn lone_brackets(text: &str) -> Option<(usize, &'static str)> {
    const LISTS: [&str; 7] = ["signal", "retention", "hook", "topic", "tail", "channel", "route"];
    let section = |line: &str| {
        let name = line.trim().strip_prefix('[')?.split(']').next()?.trim();
        LISTS.into_iter().find(|list| *list == name)
    };
    text.lines().enumerate().find_map(|(index, line)| Some((index + 1, section(line)?)))
}

fn explain(error: toml::de::Error) -> anyhow::Error {
    anyhow!("in the configuration: {}", nearest(error.message()))
}

/// Adds the nearest known key to serde's message on an unknown one.
fn nearest(message: &str) -> String {
    let mut words = message.split('`').skip(1).step_by(2);
    if let (true, Some(unknown)) = (message.starts_with("unknown field"), words.next()) {
        return match words.min_by_key(|known| strsim::damerau_levenshtein(unknown, known)) {
            Some(known) => format!("unknown key `{unknown}`, did you mean `{known}`?"),
            None => format!("unknown key `{unknown}`"),
        };
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(text: &str) -> String {
        place(text, toml::from_str::<Config>(text).unwrap_err())
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_the_nearest_key() {
        assert_eq!(
            mistake("[web]\nlisten = \"127.0.0.1:1\"\nbase_ulr = \"x\"\n"),
            "line 3: unknown key `base_ulr`, did you mean `base_url`?"
        );
        assert!(mistake("[wbe]\n").contains("did you mean `web`?"));
        assert_eq!(
            mistake("[web]\n\n[channel]\nname = \"push\"\n"),
            "line 3: there may be several of `channel`: write [[channel]] instead of [channel]"
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_what_to_mend() {
        for (toml, expected) in [
            ("[[hook]]\nsource = \"githubb\"", "no source `githubb`"),
            ("[[route]]\nto = [\"pusch\"]", "names channel `pusch`"),
            ("[[topic]]\nnames = [\"cd.events\"]", "set kind = \"kafka\" under [bus]"),
            ("[bus]\nkind = \"kafka\"\n[[topic]]\nnames = []", "`names` names no topic"),
            ("[bus]\nkind = \"kafka\"\n[[topic]]\nnames = [\"a\"]\nhook = \"ci\"", "no hook `ci`"),
            ("[[tail]]\npath = \"/l\"\nsource = \"capistrano\"", "`service` is needed"),
            ("[announce]\nseries = [\"deploys.*\"]", "does not say {service}"),
            ("[[signal]]\nname = \"e\"\nkind = \"ratio\"\nseries = \"{service}.e\"", "needs `per`"),
            ("[[signal]]\nname = \"e\"\nkind = \"count\"\nseries = \"{servce}.e\"", "does not say {service}"),
        ] {
            let message = format!("{:#}", Config::from_toml(toml).unwrap_err());
            assert!(message.contains(expected), "{message}");
        }
        Config::from_toml("").unwrap();
    }

    #[test]
    fn a_variable_reaches_into_a_section() {
        let mut table = Table::new();
        set(&mut table, &["store", "max_series"], "5000").unwrap();
        set(&mut table, &["web", "base_url"], "http://graphs").unwrap();
        assert_eq!(table["store"]["max_series"].as_integer(), Some(5000));
        assert_eq!(table["web"]["base_url"].as_str(), Some("http://graphs"));
    }

    #[test]
    fn a_secret_in_the_file_is_refused_and_a_named_one_is_masked_not_shown() {
        let mut inline: Table = toml::from_str("[[hook]]\nsource = \"github\"\nsecret = \"hunter2\"\n").unwrap();
        let message = resolve(&mut inline, "").unwrap_err().to_string();
        assert!(message.contains("hook[0].secret holds a secret") && !message.contains("hunter2"), "{message}");
        let mut shown: Table = toml::from_str("[[channel]]\nurl = \"http://hooks/T0/B0\"\n").unwrap();
        mask(&mut shown);
        assert_eq!(shown["channel"][0]["url"].as_str(), Some("********"));
    }
}
