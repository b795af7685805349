//! What depends on what: the arrows between the crates, one home for each heavy dependency, and the licences, bans and
//! sources of `deny.toml`.

use std::{collections::BTreeMap, path::Path, process::Command, sync::LazyLock};

use serde::Deserialize;

/// How far from `schemas` a crate stands. It may name crates of a lower rank only, so that crates of one rank never
/// name each other; crates that are not listed may name none.
const RANKS: [(&str, u8); 10] = [
    ("deployline-schemas", 0),
    ("deployline-bus", 1),
    ("deployline-store", 1),
    ("deployline-ingest", 2),
    ("deployline-correlate", 2),
    ("deployline-render", 2),
    ("deployline-notify", 3),
    ("deployline-web", 4),
    ("deployline-fuzz", 3),
    ("deployline", 5),
];

/// The tests drive the binary from outside: of the workspace they know the vocabulary, and read the bus as any consumer.
const TESTS: &str = "deployline-tests";
const TESTED_THROUGH: [&str; 2] = ["deployline-schemas", "deployline-bus"];

/// Heavy dependencies and the crates that may name them.
const HOMES: [(&str, &[&str]); 5] = [
    ("rdkafka", &["deployline-bus"]),
    ("polars", &["deployline-store", "deployline-correlate"]),
    ("plotters", &["deployline-render"]),
    ("warp", &["deployline-web"]),
    ("anyhow", &["deployline", TESTS]),
];

/// Crates so large that a second version of one costs minutes of every build.
const ONE_VERSION: [&str; 10] = [
    "hyper",
    "libsqlite3-sys",
    "plotters",
    "polars",
    "polars-core",
    "rdkafka",
    "rdkafka-sys",
    "rusqlite",
    "tokio",
    "warp",
];

/// The registry that crates come from, as Cargo writes it.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Clone, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Where it comes from; `None` for a crate of the workspace.
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Clone, Deserialize)]
struct Dependency {
    name: String,
}

/// Every crate of the lock file, for any platform.
static PACKAGES: LazyLock<Vec<Package>> = LazyLock::new(|| {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Metadata>(&output.stdout).expect("cargo metadata is JSON").packages
});

/// The lists of `deny.toml`, so that `cargo deny` and this test cannot drift apart.
fn deny() -> toml::Table {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deny.toml");
    std::fs::read_to_string(file).expect("deny.toml is there").parse().expect("deny.toml is TOML")
}

fn against_the_arrows(packages: &[Package]) -> Vec<String> {
    let ranks = BTreeMap::from(RANKS);
    let mut found = Vec::new();
    for package in packages.iter().filter(|package| package.source.is_none()) {
        for dependency in &package.dependencies {
            let Some(target) = ranks.get(dependency.name.as_str()) else { continue };
            let allowed = match ranks.get(package.name.as_str()) {
                Some(rank) => target < rank,
                None => package.name == TESTS && TESTED_THROUGH.contains(&dependency.name.as_str()),
            };
            if !allowed {
                found.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    found
}

fn away_from_home(packages: &[Package]) -> Vec<String> {
    let homes = BTreeMap::from(HOMES);
    let mut found = Vec::new();
    for package in packages.iter().filter(|package| package.source.is_none()) {
        for dependency in &package.dependencies {
            if homes.get(dependency.name.as_str()).is_some_and(|homes| !homes.contains(&package.name.as_str())) {
                found.push(format!("{} -> {}", package.name, dependency.name));
            }
        }
    }
    found
}

fn of_other_licences(packages: &[Package], allowed: &[&str]) -> Vec<String> {
    let allowed: Vec<_> = allowed.iter().map(|name| spdx::Licensee::parse(name).expect("an SPDX licence")).collect();
    let mut found = Vec::new();
    for package in packages {
        let Some(license) = &package.license else {
            found.push(format!("{} {} names no licence", package.name, package.version));
            continue;
        };
        // Lax: old manifests write `MIT/Apache-2.0`.
        let fits = spdx::Expression::parse_mode(license, spdx::ParseMode::LAX)
            .is_ok_and(|expression| expression.evaluate(|need| allowed.iter().any(|one| one.satisfies(need))));
        if !fits {
            found.push(format!("{} {} is under {license}", package.name, package.version));
        }
    }
    found
}

fn from_elsewhere(packages: &[Package]) -> Vec<String> {
    let foreign = |package: &&Package| package.source.as_deref().is_some_and(|source| source != REGISTRY);
    packages.iter().filter(foreign).map(|package| package.name.clone()).collect()
}

fn twice(packages: &[Package]) -> Vec<String> {
    let count = |name: &str| packages.iter().filter(|package| package.name == name).count();
    ONE_VERSION.into_iter().filter(|name| count(name) > 1).map(str::to_owned).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn dependencies_between_the_crates_point_one_way() {
    for (name, _) in RANKS {
        assert!(PACKAGES.iter().any(|package| package.name == name), "{name} has left the workspace");
    }
    assert_eq!(against_the_arrows(&PACKAGES), NONE);
}

#[test]
fn a_heavy_dependency_has_one_home() {
    assert_eq!(away_from_home(&PACKAGES), NONE);
}

#[test]
fn no_heavy_dependency_comes_in_two_versions() {
    assert_eq!(twice(&PACKAGES), NONE);
}

#[test]
fn licences_are_on_the_list() {
    let deny = deny();
    let allowed: Vec<&str> =
        deny["licenses"]["allow"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(of_other_licences(&PACKAGES, &allowed), NONE);
}

#[test]
fn crates_come_from_the_registry_alone() {
    assert_eq!(from_elsewhere(&PACKAGES), NONE);
}

#[test]
fn banned_crates_stay_out() {
    let deny = deny();
    let banned = deny["bans"]["deny"].as_array().unwrap();
    let found: Vec<&str> = banned
        .iter()
        .map(|ban| ban["crate"].as_str().unwrap())
        .filter(|name| PACKAGES.iter().any(|package| package.name == *name))
        .collect();
    assert_eq!(found, NONE);
}

/// The checks above pass on a sound workspace; this one shows that they can fail.
#[test]
fn each_rule_finds_what_it_is_for() {
    let package = |name: &str, license: &str, source: Option<&str>, dependencies: &[&str]| Package {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        license: Some(license.to_owned()),
        source: source.map(str::to_owned),
        dependencies: dependencies.iter().map(|name| Dependency { name: (*name).to_owned() }).collect(),
    };
    let bad = [
        package("deployline-store", "Apache-2.0", None, &["deployline-bus", "deployline-schemas"]),
        package("deployline-schemas", "Apache-2.0", None, &["deployline-web"]),
        package(TESTS, "Apache-2.0", None, &["deployline-web", "warp"]),
        package("polars", "GPL-3.0-only", Some(REGISTRY), &["warp"]),
        package("polars", "MIT/GPL-3.0-only", Some("git+https://example.com/polars"), &[]),
    ];
    assert_eq!(
        against_the_arrows(&bad),
        [
            "deployline-store -> deployline-bus",
            "deployline-schemas -> deployline-web",
            "deployline-tests -> deployline-web"
        ]
    );
    assert_eq!(away_from_home(&bad), ["deployline-tests -> warp"]);
    assert_eq!(of_other_licences(&bad, &["Apache-2.0", "MIT"]), ["polars 1.0.0 is under GPL-3.0-only"]);
    assert_eq!(from_elsewhere(&bad), ["polars"]);
    assert_eq!(twice(&bad), ["polars"]);
}
