//! The page in a real browser.

use std::{process::Command, time::Duration};

use anyhow::{Context, ensure};
use deployline_tests::{
    github::Deployment,
    server::{Server, Settings},
    shop::now,
    wait::eventually,
};
use serde_json::{Value, json};

/// Chromium by the names that distributions give it.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

#[test]
fn what_a_stranger_writes_into_a_deploy_is_text_on_the_page_and_never_runs() {
    let server = Server::start(&Settings::default()).unwrap();
    let attack = r#"<img src="x" onerror="document.title='owned'"><script>document.title='owned'</script>"#;
    let mut delivery = Deployment::new(9, "checkout", attack, now()).status("success", now());
    let mut payload: Value = serde_json::from_slice(&delivery.body).unwrap();
    payload["deployment_status"]["description"] = json!(attack);
    payload["deployment_status"]["log_url"] = json!("javascript:document.title='owned'");
    payload["deployment"]["ref"] = json!(attack);
    delivery.body = payload.to_string().into_bytes();
    let answer = server.deliver(&delivery).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let listed = || Ok((!server.deploys(&[])?["deploys"].as_array().context("deploys")?.is_empty()).then_some(()));
    eventually("the deploy", Duration::from_secs(10), listed).unwrap();

    for page in ["/", "/d/github:Codertocat%2FHello-World:9"] {
        let document = dump(&server.url(page)).unwrap();
        assert!(document.contains("checkout") && document.contains("&lt;script&gt;"), "{page}: {document}");
        assert!(!document.contains("<title>owned"), "{page} ran a stranger's script: {document}");
        assert!(!document.contains("<img src=\"x\""), "{page} made a stranger's markup an element: {document}");
        assert!(!document.contains("href=\"javascript:"), "{page} has a stranger's link that would run: {document}");
    }
}

/// The document as the browser has it once it is loaded and its scripts have run.
fn dump(url: &str) -> anyhow::Result<String> {
    let profile = tempfile::tempdir()?;
    let mut command = None;
    for browser in BROWSERS {
        let found = Command::new(browser).arg("--version").output().is_ok();
        command = command.or(found.then(|| Command::new(browser)));
    }
    let output = command
        .context("no Chromium: run `scripts/setup test`")?
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--timeout=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(url)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
