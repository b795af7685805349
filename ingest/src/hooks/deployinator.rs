//! Deployinator: the lines of its log, `time|ENV|user|message|stack|runlog`, as its `log` writes them.
//!
//! <https://github.com/etsy/deployinator>. A tailer posts one line or several: all of a body's lines become deploys, or
//! none. The message `web Production deploy: old A, new B` tells both versions; a line whose environment is `CONFIG` is
//! a configuration push. **Service**: the stack. **Environment**: the environment in lower case. A line is written in
//! UTC (`time_zone` of the hook for a changed one) when the deploy is through; the Unix time in the run log's name is
//! when it began. **Identity**: stack, environment and run log. The plugin posts our own JSON instead, and so tells of
//! the start too.

use std::{collections::BTreeMap, time::Duration};

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Kind, Status},
};
use jiff::tz::TimeZone;

use super::{
    HookConfig, HookError, HookRequest, api,
    event::{Parsed, digest, foreign},
    json::clip,
    moment,
};

pub(super) const SETUP: &str = r##"
# Either let Deployline follow Deployinator's log; it stays as it is. In deployline.toml on the same host:
[[tail]]
path   = "/path/to/deployinator.log"
source = "deployinator"

# or send what it logs from another host to {base_url}/hooks/deployinator:
tail -n 0 -F /path/to/deployinator.log | while IFS= read -r line; do
  printf '%s\n' "$line" | curl -sS --retry 5 -H "X-Deployline-Token: $DEPLOYLINE_TOKEN" \
    --data-binary @- {base_url}/hooks/deployinator
done

# or this plugin, which tells of the start and of failures too: lib/deployinator/plugins/deployline.rb
require "json"
require "net/http"
module Deployinator
  class DeploylinePlugin < Plugin
    def run(event, state)
      return unless [:deploy_start, :deploy_error, :deploy_end].include?(event)
      @begun ||= state[:timestamp]
      return @failed = true if event == :deploy_error
      deploy = { id: "deployinator:#{state[:stage]}:#{@begun}", service: state[:stack], actor: state[:username],
                 environment: state[:stage].to_s.sub("#{state[:stack]}_", ""), started_at: @begun, status: "started" }
      deploy.update(finished_at: state[:timestamp], status: @failed ? "failed" : "succeeded") if event == :deploy_end
      Net::HTTP.post(URI("{base_url}/hooks/deployinator"), deploy.to_json,
                     "X-Deployline-Token" => ENV["DEPLOYLINE_TOKEN"].to_s)
    rescue StandardError => e # A deploy never fails because of this.
      warn "deployline: #{e}"
    end
  end
end
# config/base.rb:  Deployinator.global_plugins = [:DeploylinePlugin]

# deployline.toml
[[hook]]
source = "deployinator"
secret = "env:DEPLOYLINE_TOKEN"
"##;

/// Longer than any deploy takes: a run log that is older has something else in its name.
const MAX_DURATION: Duration = Duration::from_secs(24 * 3600);

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    if request.body.trim_ascii_start().starts_with(b"{") {
        return api::parse(request, config);
    }
    let text = std::str::from_utf8(&request.body).map_err(|_| HookError::malformed("it is not UTF-8"))?;
    let zone = moment::zone(config.time_zone.as_deref())
        .ok_or_else(|| HookError::malformed("the hook's `time_zone` is not a known zone"))?;
    let mut events = Vec::new();
    let mut timings = 0;
    let lines = text.lines().enumerate().skip(request.n_known_lines);
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        match line.split('|').count() {
            // `time|type|stack|seconds`, which Deployinator writes to its timing log.
            4 => timings += 1,
            _ => events.push(foreign(self::line(line, &zone).map_err(|problem| at_line(index, &problem))?)),
        }
    }
    match events.len() {
        0 if timings > 0 => Ok(Parsed::ignored("lines of the timing log are no deploys")),
        0 => Err(HookError::malformed("it holds no line")),
        _ => Ok(Parsed::Events { events, delivery_id: None }),
    }
}

fn at_line(index: usize, problem: &str) -> HookError {
    HookError::malformed(format_args!("line {}: {problem}", index + 1))
}

/// The deploy of one line of the log.
fn line(line: &str, zone: &TimeZone) -> Result<DeployEvent, String> {
    let fields: Vec<&str> = line.trim().splitn(6, '|').collect();
    let [time, environment, user, message, stack, ..] = fields[..] else {
        return Err(format!("{} fields, where `time|ENV|user|message|stack|runlog` has 6", fields.len()));
    };
    let at = moment::parse(time, zone).ok_or_else(|| format!("`{}` is no time", clip(time, 60)))?;
    if stack.trim().is_empty() {
        return Err("the stack is empty".to_owned());
    }
    let message = unescape(message);
    let (previous_version, version) = versions(&message);
    let is_config = environment.eq_ignore_ascii_case("config");
    let (stack, environment) = (stack.trim(), environment.trim().to_ascii_lowercase());
    let runlog = fields.get(5).map(|runlog| runlog.trim()).filter(|runlog| !runlog.is_empty());
    let run = runlog.map_or_else(|| digest(line.trim().as_bytes()), str::to_owned);
    let mut labels = BTreeMap::from([("stack".to_owned(), stack.to_owned())]);
    labels.extend(runlog.map(|runlog| ("runlog".to_owned(), runlog.to_owned())));
    Ok(DeployEvent {
        id: Some(format!("deployinator:{stack}:{environment}:{run}")),
        service: stack.to_owned(),
        environment: Some(environment).filter(|_| !is_config),
        kind: kind(is_config, &message),
        version,
        previous_version,
        status: Some(Status::Succeeded),
        started_at: runlog.and_then(|runlog| begun_at(runlog, at)).or(Some(at)),
        live_at: Some(at),
        finished_at: Some(at),
        actor: Some(unescape(user)).filter(|user| !user.is_empty()),
        title: Some(message),
        labels,
        ..DeployEvent::default()
    })
}

/// The Unix time in the name of a run log, if it is plausible as the start of a deploy that ended at `ended_at`.
fn begun_at(runlog: &str, ended_at: UnixMillis) -> Option<UnixMillis> {
    let digits = runlog.split(|c: char| !c.is_ascii_digit()).find(|run| run.len() >= 8)?;
    let begun_at = UnixMillis::from_secs(digits.parse().ok()?);
    (ended_at.minus(MAX_DURATION)..=ended_at).contains(&begun_at).then_some(begun_at)
}

fn kind(is_config: bool, message: &str) -> Kind {
    let message = message.to_ascii_lowercase();
    match message {
        _ if is_config => Kind::Config,
        message if message.contains("rollback") || message.contains("rolled back") => Kind::Rollback,
        _ => Kind::Deploy,
    }
}

/// The versions of `… old A, new B`, as far as they are there.
fn versions(message: &str) -> (Option<String>, Option<String>) {
    let word = |marker: &str| {
        let (at, _) = message.match_indices(marker).find(|(at, _)| *at == 0 || !message[..*at].ends_with(is_word))?;
        let word = message[at + marker.len()..].trim_start_matches([' ', ':']).split([',', ' ', ';']).next()?;
        (!word.is_empty()).then(|| word.to_owned())
    };
    (word("old "), word("new "))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric()
}

/// Text without the entities that Deployinator's HTML escaping leaves in its log. `&amp;` last, so that nothing is
/// decoded twice.
fn unescape(text: &str) -> String {
    let mut text = text.trim().to_owned();
    for (entity, plain) in [
        ("&apos;", "'"),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ] {
        if text.contains(entity) {
            text = text.replace(entity, plain);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_by_the_message() {
        let told = |message| versions(message);
        let both = (Some("8ef2b1f".to_owned()), Some("3ac4d5e".to_owned()));
        assert_eq!(told("web Production deploy: old 8ef2b1f, new 3ac4d5e"), both);
        assert_eq!(told("renew the old threshold"), (Some("threshold".to_owned()), None));
        assert_eq!(told("Config push"), (None, None));
    }

    #[test]
    fn entities_are_decoded_once() {
        assert_eq!(unescape("flags on &apos;5%&apos; &amp;lt;"), "flags on '5%' &lt;");
    }
}
