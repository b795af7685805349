//! Charts that look like a shop's: seeded, so that every run draws the same.
#![allow(dead_code)] // Each test and bench uses some of them.

use deployline_render::{Chart, DeployMark, Line, MarkVerdict, Scale, Unit};
use deployline_schemas::{UnixMillis, deploy::Kind};

/// 2026-11-23T00:00:00Z.
pub const MIDNIGHT_S: i64 = 1_795_392_000;

/// SplitMix64 (Steele, Lea, Flood 2014), in `0.0..1.0`.
pub struct Random(pub u64);

impl Random {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// A daily wave with noise around `level`, every ten seconds of a window.
pub fn wave(label: &str, seed: u64, from_s: i64, until_s: i64, level: f64) -> Line {
    let mut random = Random(seed);
    let timestamps_s: Vec<i64> = (from_s..until_s).step_by(10).collect();
    let values = timestamps_s
        .iter()
        .map(|at| {
            let day = (*at as f64 / 86_400.0 * std::f64::consts::TAU - 2.0).sin();
            (level * (1.0 + 0.35 * day + 0.06 * random.normal())).max(0.0)
        })
        .collect();
    Line { label: label.to_owned(), timestamps_s, values, step_s: Some(10), ..Line::default() }
}

/// `n` deploys spread over a window.
pub fn deploys(n: usize, from_s: i64, until_s: i64) -> Vec<DeployMark> {
    const SERVICES: [&str; 5] = ["checkout", "search", "web", "payments", "inventory"];
    const ACTORS: [&str; 4] = ["ana", "bo", "chidi", "dorothea"];
    const KINDS: [Kind; 8] = [
        Kind::Deploy,
        Kind::Deploy,
        Kind::Deploy,
        Kind::Config,
        Kind::Flag,
        Kind::Rollback,
        Kind::Migration,
        Kind::Infra,
    ];
    let mut random = Random(n as u64);
    let mut pick = |n: usize| ((random.unit() * n as f64) as usize).min(n - 1);
    (0..n)
        .map(|index| {
            let at = UnixMillis::from_secs(from_s + pick((until_s - from_s) as usize) as i64);
            let took_s = pick(180) as i64;
            DeployMark {
                id: format!("deploy-{index:05}"),
                service: SERVICES[pick(5)].to_owned(),
                version: Some(format!("{:07x}", (pick(1 << 20) << 8) + index % 256)),
                actor: Some(ACTORS[pick(4)].to_owned()),
                kind: KINDS[pick(8)],
                at,
                started_at: UnixMillis(at.0 - took_s * 1000),
                ended_at: Some(at),
                verdict: MarkVerdict::Unknown,
                title: Some("Move the price rounding into the cart".to_owned()),
            }
        })
        .collect()
}

/// An hour of an error ratio that a deploy at 14:02:05 broke, with two innocent ones near it.
pub fn regression(width: u32, height: u32) -> Chart {
    let from_s = MIDNIGHT_S + 13 * 3600 + 1800;
    let until_s = from_s + 3600;
    let broke_s = MIDNIGHT_S + 14 * 3600 + 125;
    let mut errors = wave("checkout errors per request", 3, from_s, until_s, 0.004);
    let mut random = Random(9);
    for (at, value) in errors.timestamps_s.iter().zip(&mut errors.values) {
        if *at > broke_s + 40 {
            *value += 0.021 * (1.0 + 0.1 * random.normal());
        }
    }
    let mut expected = wave("", 4, from_s, until_s, 0.004);
    for (at, value) in expected.timestamps_s.iter().zip(&mut expected.values) {
        *value = 0.004 * (1.0 + 0.35 * (*at as f64 / 86_400.0 * std::f64::consts::TAU - 2.0).sin());
    }
    let mark =
        |id: &str, service: &str, version: &str, actor: &str, kind, at_s: i64, took_s: i64, verdict| DeployMark {
            id: id.to_owned(),
            service: service.to_owned(),
            version: Some(version.to_owned()),
            actor: Some(actor.to_owned()),
            kind,
            at: UnixMillis::from_secs(at_s),
            started_at: UnixMillis::from_secs(at_s - took_s),
            ended_at: Some(UnixMillis::from_secs(at_s)),
            verdict,
            title: Some("Move the price rounding into the cart".to_owned()),
        };
    Chart {
        width,
        height,
        title: "checkout: errors up 6× since 14:02".to_owned(),
        left: Scale { unit: Unit::Ratio, ..Scale::default() },
        from: UnixMillis::from_secs(from_s),
        until: UnixMillis::from_secs(until_s),
        lines: vec![errors],
        expected: Some(expected),
        onset: Some((UnixMillis::from_secs(broke_s + 20), UnixMillis::from_secs(broke_s + 70))),
        deploys: vec![
            mark("a", "search", "77ab01c", "bo", Kind::Deploy, from_s + 700, 90, MarkVerdict::Cleared),
            mark("b", "web", "c0ffee1", "chidi", Kind::Config, broke_s - 260, 15, MarkVerdict::Suspect(0.05)),
            mark("c", "checkout", "9bc1f2e", "ana", Kind::Deploy, broke_s, 45, MarkVerdict::Guilty(0.93)),
            mark("d", "inventory", "1d4f00d", "dorothea", Kind::Migration, broke_s + 900, 420, MarkVerdict::Unknown),
            mark("e", "checkout", "3f2a771", "ana", Kind::Rollback, broke_s + 1500, 20, MarkVerdict::Unknown),
        ],
        ..Chart::default()
    }
}

/// A day of five series at ten seconds with `n_deploys`.
pub fn day(width: u32, height: u32, n_deploys: usize) -> Chart {
    let (from_s, until_s) = (MIDNIGHT_S, MIDNIGHT_S + 86_400);
    let names = ["checkout", "search", "web", "payments", "inventory"];
    let line = |(index, name): (usize, &&str)| {
        wave(
            &format!("stats.timers.{name}.http.latency.upper_95"),
            index as u64,
            from_s,
            until_s,
            120.0 + 90.0 * index as f64,
        )
    };
    Chart {
        width,
        height,
        title: "95th percentile of latency by service".to_owned(),
        left: Scale { unit: Unit::Milliseconds, ..Scale::default() },
        from: UnixMillis::from_secs(from_s),
        until: UnixMillis::from_secs(until_s),
        lines: names.iter().enumerate().map(line).collect(),
        deploys: deploys(n_deploys, from_s, until_s),
        ..Chart::default()
    }
}
