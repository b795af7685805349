//! The main job, end to end, on real input: one hook, one bad graph, one alert, one answer. Once on each bus.

use std::{thread, time::Duration};

use anyhow::{Context, ensure};
use deployline_schemas::blame::{Blame, Verdict};
use deployline_tests::{
    github::Deployment,
    picture::Picture,
    server::{Bus, Server},
    shop::{Shop, errors_of, now},
    traffic::Library,
    wait::eventually,
};

/// Longest wait for a message. At StatsD's own pace an alert takes about a minute; here the pace is ten times as fast.
const ALERT: Duration = Duration::from_secs(60);
/// The light theme's colour of the deploy that is held to be the cause.
const GUILTY: [u8; 3] = [0xc4, 0x4d, 0x00];
/// The light theme's grid.
const GRID: [u8; 3] = [0xe4, 0xe6, 0xe9];
const SIZE: (u32, u32) = (1000, 420);

#[test]
fn the_guilty_deploy_is_told_named_and_drawn_on_the_embedded_bus() {
    main_job(Bus::Embedded).unwrap();
}

#[test]
fn the_guilty_deploy_is_told_named_and_drawn_over_kafka() {
    main_job(Bus::kafka().unwrap()).unwrap();
}

fn main_job(bus: Bus) -> anyhow::Result<()> {
    let mut shop = Shop::open(bus, 7)?;
    shop.deploy("search", "bo")?;
    // The healthy present is part of the baseline.
    thread::sleep(Duration::from_secs(5));
    both_clients_are_heard(&shop.server)?;

    let guilty = shop.deploy("checkout", "ana")?;
    shop.break_service("checkout")?;
    // Far enough for a line of its own on the picture.
    thread::sleep(Duration::from_secs(2));
    shop.deploy("images", "dee")?;

    let alert = shop.chat.wait_for("[REGRESSED]", ALERT)?;
    ensure!(alert.text().contains("checkout"), "the alert names no service: {}", alert.text());
    ensure!(alert.text().contains("by ana"), "the alert names another deploy: {}", alert.text());

    blame_names(&shop.server, &guilty)?;
    the_picture_has_the_line(&shop.server, &guilty)?;

    let back = shop.roll_back("checkout", "ana")?;
    shop.mend_service("checkout")?;
    let recovered = shop.chat.wait_for("[RECOVERED]", ALERT)?;
    ensure!(recovered.text().contains("rollback"), "the recovery names no rollback: {}", recovered.text());
    let incidents: serde_json::Value = shop.server.get("/api/v1/incidents", &[])?.json()?;
    ensure!(incidents["incidents"][0]["mended_by"] == back.deploy_id(), "{incidents:#}");
    // Each change is told once, and nothing else is.
    ensure!(shop.chat.messages().len() == 2, "told more than twice: {:#?}", shop.chat.messages());
    Ok(())
}

/// The ticks that only one client sends are series by now.
fn both_clients_are_heard(server: &Server) -> anyhow::Result<()> {
    for library in [Library::Statsd, Library::HotShots] {
        let heard = || {
            let answer = server.get("/graph.svg", &[("target", library.ticks())])?;
            Ok((answer.status == 200 && !answer.text().contains("nothing is called")).then_some(()))
        };
        eventually(&format!("the ticks of {library:?}"), Duration::from_secs(10), heard)?;
    }
    Ok(())
}

fn blame_names(server: &Server, guilty: &Deployment) -> anyhow::Result<()> {
    let output = server.cli(&["blame", &errors_of("checkout"), "--json"])?;
    ensure!(output.status.success(), "blame: {}", String::from_utf8_lossy(&output.stderr));
    let blame: Blame = serde_json::from_slice(&output.stdout)?;
    ensure!(blame.verdict == Verdict::Regressed, "{blame:#?}");
    let suspect = blame.suspects.first().context("no suspect")?;
    ensure!(suspect.deploy_id.as_deref() == Some(guilty.deploy_id().as_str()), "{blame:#?}");
    ensure!(suspect.probability > 0.5, "{blame:#?}");
    let total: f64 = blame.suspects.iter().map(|suspect| suspect.probability).sum();
    ensure!((total - 1.0).abs() < 1e-6, "the odds sum to {total}");

    // For people it says the same.
    let output = server.cli(&["blame", &errors_of("checkout")])?;
    let told = String::from_utf8_lossy(&output.stdout);
    let suspect = format!("checkout {} by ana", &guilty.sha[..7]);
    let header = told.lines().next().context("the blame says nothing")?;
    ensure!(header.contains(&suspect), "not told of {suspect}:\n{told}");
    Ok(())
}

/// The picture shows the guilty deploy's line in the column that its time belongs in.
fn the_picture_has_the_line(server: &Server, guilty: &Deployment) -> anyhow::Result<()> {
    let live_at = server.deploy(&guilty.deploy_id())?.live_at.context("a success is live")?;
    let series = errors_of("checkout");
    // A picture ends at the present, whatever is asked for.
    let (from_s, until_s) = (live_at.as_secs() - 200, now().as_secs());
    let [from, until, width, height] = [from_s, until_s, SIZE.0.into(), SIZE.1.into()].map(|number| number.to_string());
    let query =
        [("target", series.as_str()), ("from", &from), ("until", &until), ("width", &width), ("height", &height)];

    let svg = server.get("/graph.svg", &query)?;
    ensure!(svg.status == 200 && svg.content_type.starts_with("image/svg+xml"), "{} {}", svg.status, svg.content_type);
    ensure!(svg.text().contains(&guilty.sha[..9]), "the SVG does not say which deploy");

    let png = server.get("/graph.png", &query)?;
    ensure!(png.status == 200 && png.content_type == "image/png", "{} {}", png.status, png.text());
    let picture = Picture::decode(&png.body)?;
    ensure!(picture.size() == SIZE, "{:?}", picture.size());
    let (left, right) = picture.widest_row(GRID, 6).context("no grid line")?;
    let (column, n_pixels) = picture.column_of(GUILTY, 40).context("no line of a guilty deploy")?;
    ensure!(n_pixels > SIZE.1 as usize / 3, "a line of {n_pixels} pixels is no line");
    let share = (live_at.0 - from_s * 1000) as f64 / ((until_s - from_s) * 1000) as f64;
    let expected = f64::from(left) + share * f64::from(right + 1 - left);
    // A line may be two or three pixels wide; a second is four here, so that a neighbour's line would be seen.
    ensure!((f64::from(column) - expected).abs() <= 2.0, "column {column}, expected {expected:.1} in {left}..={right}");
    Ok(())
}
