//! Capistrano: the lines of its `revisions.log`, or our own JSON from a task.
//!
//! <https://capistranorb.com/documentation/getting-started/structure/>
//!
//! `Branch main (at 7c52f0d) deployed as release 20240301100122 by alice` and `bob rolled back to release
//! 20240301100122`, in a body of one line or several. The log does not name the application: the query's `service` and
//! `environment` do, else the hook's name. **Identity**: `capistrano:SERVICE:ENVIRONMENT:RELEASE`; the release is the
//! deploy's start in UTC. A rollback has no time of its own and is dated by its arrival; the same line again within ten
//! minutes is the same rollback.

use std::collections::BTreeMap;

use deployline_schemas::{
    DeployEvent, UnixMillis,
    deploy::{Kind, Status},
};
use jiff::{civil::DateTime, tz::TimeZone};

use super::{
    HookConfig, HookError, HookRequest, api,
    arrival::dated,
    event::{Parsed, foreign},
    json::clip,
};

pub(super) const SETUP: &str = r##"
# Capistrano: lib/capistrano/tasks/deployline.rake
require "json"
require "net/http"
namespace :deployline do
  tell = lambda do |status, extra = {}|
    deploy = { id: "capistrano:#{fetch(:application)}:#{fetch(:stage)}:#{fetch(:release_timestamp)}",
               service: fetch(:application), environment: fetch(:stage), actor: local_user, status: status,
               version: fetch(:current_revision), previous_version: fetch(:previous_revision),
               started_at: fetch(:deployline_started_at) }.merge(extra)
    Net::HTTP.post(URI("{base_url}/hooks/capistrano"), deploy.to_json,
                   "Content-Type" => "application/json", "X-Deployline-Token" => ENV["DEPLOYLINE_TOKEN"].to_s)
  rescue StandardError => e # A deploy never fails because of this.
    warn "deployline: #{e}"
  end
  task(:started)  { set :deployline_started_at, Time.now.to_i; tell.call("started") }
  task(:finished) { tell.call("succeeded", finished_at: Time.now.to_i) }
  task(:failed)   { tell.call("failed", finished_at: Time.now.to_i) }
  task(:reverted) { tell.call("succeeded", kind: "rollback", finished_at: Time.now.to_i) }
end
before "deploy:starting", "deployline:started"
after  "deploy:finished", "deployline:finished"
after  "deploy:failed",   "deployline:failed"
after  "deploy:finishing_rollback", "deployline:reverted"

# or let Deployline follow the log that Capistrano keeps. In deployline.toml on the same host:
[[tail]]
path    = "/var/www/web/revisions.log"
source  = "capistrano"
service = "web"

# or send that log from another host:
tail -n 0 -F /var/www/web/revisions.log | while IFS= read -r line; do
  printf '%s\n' "$line" | curl -sS --retry 5 -H "X-Deployline-Token: $DEPLOYLINE_TOKEN" \
    --data-binary @- '{base_url}/hooks/capistrano?service=web&environment=production'
done

# deployline.toml
[[hook]]
source = "capistrano"
secret = "env:DEPLOYLINE_TOKEN"
"##;

/// Two rollbacks to one release within this time are one, told twice.
const ROLLBACK_REPEAT_MS: i64 = 10 * 60 * 1000;

pub(super) fn parse(request: &HookRequest, config: &HookConfig) -> Result<Parsed, HookError> {
    if request.body.trim_ascii_start().starts_with(b"{") {
        return api::parse(request, config);
    }
    let text = std::str::from_utf8(&request.body).map_err(|_| HookError::malformed("it is not UTF-8"))?;
    let service = request.parameter("service").unwrap_or_else(|| config.path().to_owned());
    let environment =
        request.parameter("environment").or_else(|| request.parameter("stage")).or_else(|| config.environment.clone());
    let place = format!("capistrano:{service}:{}", environment.as_deref().unwrap_or("production"));
    // What the lines before told of a release: the revision that a rollback returns to may be among them.
    let mut revisions: BTreeMap<&str, &str> = BTreeMap::new();
    let mut current: Option<(&str, &str)> = None;
    let mut events = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fault = |problem: String| HookError::malformed(format_args!("line {}: {problem}", index + 1));
        let is_known = index < request.n_known_lines;
        let read = Line::read(line.trim());
        if is_known && read.is_none() {
            continue;
        }
        let line = read.ok_or_else(|| fault(format!("`{}` is neither a deploy nor a rollback", clip(line, 60))))?;
        let event = match line {
            Line::Deployed { branch, revision, release, user } => {
                let at =
                    release_time(release).ok_or_else(|| fault(format!("`{}` is no release", clip(release, 60))))?;
                let previous = current.replace((release, revision)).map(|(_, revision)| revision.to_owned());
                revisions.insert(release, revision);
                DeployEvent {
                    id: Some(format!("{place}:{release}")),
                    version: Some(revision.to_owned()),
                    previous_version: previous,
                    started_at: Some(at),
                    actor: Some(user.to_owned()),
                    labels: [("ref".to_owned(), branch.to_owned()), ("release".to_owned(), release.to_owned())].into(),
                    ..DeployEvent::default()
                }
            }
            Line::RolledBack { release, user } => {
                let version = revisions.get(release).copied();
                let taken_back = current.take();
                current = version.map(|version| (release, version));
                DeployEvent {
                    id: Some(format!("{place}:rollback:{release}:{}", request.received_at.0 / ROLLBACK_REPEAT_MS)),
                    kind: Kind::Rollback,
                    version: Some(version.unwrap_or(release).to_owned()),
                    previous_version: taken_back.map(|(_, revision)| revision.to_owned()),
                    rollback_of: taken_back.map(|(release, _)| format!("{place}:{release}")),
                    actor: Some(user.to_owned()),
                    labels: [("release".to_owned(), release.to_owned())].into(),
                    ..DeployEvent::default()
                }
            }
        };
        if is_known {
            continue;
        }
        let event = DeployEvent {
            service: service.clone(),
            environment: environment.clone(),
            status: Some(Status::Succeeded),
            live_at: event.started_at,
            finished_at: event.started_at,
            ..event
        };
        events.push(foreign(dated(event, request.received_at)));
    }
    match events.len() {
        0 => Err(HookError::malformed("it holds no line")),
        _ => Ok(Parsed::Events { events, delivery_id: None }),
    }
}

/// One line of the log, in Capistrano's default words.
enum Line<'l> {
    Deployed { branch: &'l str, revision: &'l str, release: &'l str, user: &'l str },
    RolledBack { release: &'l str, user: &'l str },
}

impl<'l> Line<'l> {
    fn read(line: &'l str) -> Option<Self> {
        if let Some((user, release)) = line.split_once(" rolled back to release ") {
            return Some(Self::RolledBack { release: release.trim(), user });
        }
        let (branch, rest) = line.strip_prefix("Branch ")?.split_once(" (at ")?;
        let (revision, rest) = rest.split_once(") deployed as release ")?;
        let (release, user) = rest.split_once(" by ")?;
        Some(Self::Deployed { branch, revision, release, user })
    }
}

/// The moment of a release named `20240301100122`, which Capistrano takes in UTC.
fn release_time(release: &str) -> Option<UnixMillis> {
    let moment = DateTime::strptime("%Y%m%d%H%M%S", release).ok()?;
    Some(UnixMillis(TimeZone::UTC.to_timestamp(moment).ok()?.as_millisecond()))
}
