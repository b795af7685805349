//! `kill -9` at a random moment of the main job: no acknowledged deploy is lost, no alert is sent twice.

use std::{
    collections::BTreeSet,
    env,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use deployline_tests::{
    server::{Bus, Server},
    shop::{Shop, now},
};

/// The kill comes within so long of the bad deploy: before, while or after the alert goes out.
const KILL_WITHIN: Duration = Duration::from_secs(12);
/// Longest wait for the alert after the restart.
const ALERT: Duration = Duration::from_secs(60);
/// How long a second telling would have to show itself.
const QUIET: Duration = Duration::from_secs(10);
/// A deploy is told of so often.
const PACE: Duration = Duration::from_millis(100);

#[test]
fn a_kill_loses_no_acknowledged_deploy_and_repeats_no_alert_on_the_embedded_bus() {
    kill(Bus::Embedded).unwrap();
}

#[test]
fn a_kill_loses_no_acknowledged_deploy_and_repeats_no_alert_over_kafka() {
    kill(Bus::kafka().unwrap()).unwrap();
}

fn kill(bus: Bus) -> anyhow::Result<()> {
    let seed =
        env::var("DEPLOYLINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    let moment = KILL_WITHIN.mul_f64(fastrand::Rng::with_seed(seed).f64());
    println!("DEPLOYLINE_TEST_SEED={seed}: kill -9 {:.3} s after the bad deploy, bus {bus:?}", moment.as_secs_f64());
    let mut shop = Shop::open(bus, seed)?;
    thread::sleep(Duration::from_secs(3));

    let guilty = shop.deploy("checkout", "ana")?;
    shop.break_service("checkout")?;
    let mut acknowledged = BTreeSet::from([guilty.deploy_id()]);

    // The kill comes from another thread, so that it can meet a delivery half way.
    let pid = shop.server.pid();
    let killer = thread::spawn(move || {
        thread::sleep(moment);
        Command::new("kill").args(["-KILL", &pid.to_string()]).status()
    });
    let end = Instant::now() + KILL_WITHIN + Duration::from_secs(5);
    loop {
        let deployment = shop.deployment("search", "bo");
        // No answer means no promise; any answer but 202 would be a refusal of a sound delivery.
        let Ok(answer) = shop.server.deliver(&deployment.status("success", now())) else { break };
        ensure!(answer.status == 202, "answered {}: {}", answer.status, answer.text());
        acknowledged.insert(deployment.deploy_id());
        ensure!(Instant::now() < end, "the process outlived its kill");
        thread::sleep(PACE);
    }
    ensure!(killer.join().is_ok_and(|status| status.is_ok_and(|status| status.success())), "kill did not kill");
    shop.server.kill9()?;
    let told_before = shop.chat.messages().len();
    shop.server.restart()?;

    shop.chat.wait_for("[REGRESSED]", ALERT)?;
    thread::sleep(QUIET);
    let regressed: Vec<_> =
        shop.chat.messages().into_iter().filter(|message| message.text().contains("[REGRESSED]")).collect();
    ensure!(regressed.len() == 1, "told {} times ({told_before} before the kill): {regressed:#?}", regressed.len());
    ensure!(regressed[0].text().contains("by ana"), "{}", regressed[0].text());

    let kept = all_deploys(&shop.server)?;
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    ensure!(lost.is_empty(), "{} of {} acknowledged deploys are lost: {lost:?}", lost.len(), acknowledged.len());
    println!("{} acknowledged deploys, all kept; {told_before} alerts before the kill, 1 in all", acknowledged.len());
    Ok(())
}

/// The ids of all deploys, page after page; a deploy that is listed twice is an error.
fn all_deploys(server: &Server) -> anyhow::Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let mut query = vec![("limit", "50"), ("from", "-1d")];
        if !cursor.is_empty() {
            query.push(("cursor", &cursor));
        }
        let page = server.deploys(&query)?;
        for item in page["deploys"].as_array().context("a page has deploys")? {
            let id = item["id"].as_str().context("a deploy has an id")?;
            ensure!(ids.insert(id.to_owned()), "{id} is listed twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return Ok(ids),
        }
    }
}
