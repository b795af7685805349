//! An alert as a Slack message: `text` for notifications and screen readers, blocks for the eye.
//!
//! Limits and escapes as of <https://api.slack.com/reference/block-kit/blocks> and
//! <https://api.slack.com/reference/surfaces/formatting#escaping>: 150 characters in a header, 3,000 in a
//! section's text, 50 blocks; `&`, `<` and `>` are entities, or whoever titles a commit could mention `<!channel>`.

use serde_json::{Value, json};

use crate::{
    alert::{Alert, Shipped, Suspected, Told},
    chat,
    figures::clip,
};

/// A header block's limit, in characters.
const MAX_HEADER: usize = 150;
/// A section's limit. An alert has at most five sections, which keeps the message far below the
/// unwritten limit of about 13,000 characters for all of it.
const MAX_SECTION: usize = 3000;
/// An image's address.
const MAX_IMAGE_URL: usize = 3000;
/// An address that would push a section over its limit is left out rather than cut: half a link leads nowhere.
const MAX_URL: usize = 600;

/// The body to post. With `image`, the graph is a picture in the message, which Slack fetches from us.
pub fn message(alert: &Alert, image: bool) -> Value {
    let mut blocks = vec![header(alert)];
    match alert.told {
        Told::Regressed => {
            blocks.push(section(&moved(alert)));
            blocks.push(section(&suspect(alert)));
            blocks.push(context(&others(alert)));
        }
        Told::Recovered => blocks.push(section(&recovered(alert))),
    }
    if image && alert.graph_url.len() <= MAX_IMAGE_URL {
        let alt_text = clip(&chat::line(alert), 2000);
        blocks.push(json!({ "type": "image", "image_url": alert.graph_url, "alt_text": alt_text }));
    }
    blocks.push(section(&links(alert)));
    json!({ "text": clip(&escape(&chat::line(alert)), MAX_SECTION), "blocks": blocks })
}

/// A message as chat would show it, in plain text: blocks without their marks, links as their label with the address
/// in brackets. A message without blocks shows its `text`; one with neither is empty.
pub fn plain(message: &Value) -> String {
    let text = |value: &Value| value.as_str().map(unmark).unwrap_or_default();
    let show = |block: &Value| match block["type"].as_str() {
        Some("context") => {
            block["elements"].as_array().into_iter().flatten().map(|element| text(&element["text"])).collect()
        }
        Some("image") => format!("[image] {}", block["image_url"].as_str().unwrap_or_default()),
        _ => text(&block["text"]["text"]),
    };
    match message["blocks"].as_array() {
        Some(blocks) => blocks.iter().map(show).collect::<Vec<String>>().join("\n"),
        None => text(&message["text"]),
    }
}

/// mrkdwn without its marks: `<url|label>` as `label [url]`, bold and the two emoji of ours as plain signs.
fn unmark(mrkdwn: &str) -> String {
    let mut plain = String::with_capacity(mrkdwn.len());
    let mut rest = mrkdwn;
    while let Some((before, after)) = rest.split_once('<') {
        plain.push_str(before);
        let Some((link, after)) = after.split_once('>') else {
            rest = after;
            continue;
        };
        match link.split_once('|') {
            Some((url, label)) => plain.push_str(&format!("{label} [{url}]")),
            None => plain.push_str(link),
        }
        rest = after;
    }
    plain.push_str(rest);
    let plain = plain.replace(":red_circle:", "●").replace(":large_green_circle:", "○").replace('*', "");
    plain.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// A text in mrkdwn, its three control characters as entities.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A link in mrkdwn. A `|` in the address would end it, so that and `>` travel percent-encoded.
fn link(url: &str, label: &str) -> String {
    let url = url.replace('|', "%7C").replace('<', "%3C").replace('>', "%3E").replace('&', "&amp;");
    match url.len() > MAX_URL {
        true => escape(label),
        false => format!("<{url}|{}>", escape(label).replace('|', "¦")),
    }
}

fn header(alert: &Alert) -> Value {
    let mark = match alert.told {
        Told::Regressed => ":red_circle:",
        Told::Recovered => ":large_green_circle:",
    };
    // Plain text is shown as it is and takes no entities.
    json!({ "type": "header", "text": { "type": "plain_text", "emoji": true, "text": clip(&format!("{mark} {}", alert.headline), MAX_HEADER) } })
}

fn section(mrkdwn: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": clip(mrkdwn, MAX_SECTION) } })
}

fn context(mrkdwn: &str) -> Value {
    json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": clip(mrkdwn, MAX_SECTION) }] })
}

fn moved(alert: &Alert) -> String {
    let mut lines = vec![escape(&alert.period)];
    lines.extend(alert.moved.iter().map(|moved| format!("• *{}*: {}", escape(&moved.what), escape(&moved.figures))));
    if alert.n_more_moved > 0 {
        lines.push(format!("• and {}", chat::more_signals(alert.n_more_moved)));
    }
    lines.join("\n")
}

fn shipped(deploy: &Shipped) -> String {
    let by = deploy.actor.as_ref().map(|actor| format!(" by *{}*", escape(actor))).unwrap_or_default();
    format!("{}{by}, {}", link(&deploy.page_url, &deploy.change), escape(&deploy.at))
}

fn suspect(alert: &Alert) -> String {
    let Some(Suspected { odds, deploy, reasons }) = &alert.suspect else {
        return format!("*No deploy stands out*: {} that it was none of them", escape(&alert.none_odds));
    };
    let mut lines = vec![format!("*Suspect, {}:* {}", escape(odds), shipped(deploy))];
    let diff = deploy.diff_url.as_ref().map(|url| link(url, "diff"));
    match (&deploy.title, diff) {
        (Some(title), Some(diff)) => lines.push(format!("> {} ({diff})", escape(title))),
        (Some(title), None) => lines.push(format!("> {}", escape(title))),
        (None, Some(diff)) => lines.push(diff),
        (None, None) => {}
    }
    lines.extend(reasons.iter().map(|reason| format!("• {}", escape(reason))));
    lines.join("\n")
}

fn others(alert: &Alert) -> String {
    let runners_up = alert.runners_up.iter().map(|other| format!("{} {}", shipped(&other.deploy), escape(&other.odds)));
    let mut parts: Vec<String> = runners_up.collect();
    parts.push(format!("none of them {}", escape(&alert.none_odds)));
    format!("Else: {}", parts.join(" · "))
}

fn recovered(alert: &Alert) -> String {
    let mended_by = alert.mended_by.as_ref().map_or_else(|| "no known deploy".to_owned(), shipped);
    let mut lines = vec![escape(&alert.period), format!("*Mended by* {mended_by}")];
    lines.extend(
        alert
            .suspect
            .as_ref()
            .map(|suspect| format!("Suspect was {} ({})", shipped(&suspect.deploy), escape(&suspect.odds))),
    );
    lines.join("\n")
}

fn links(alert: &Alert) -> String {
    let mut links = vec![link(&alert.graph_url, "Graph")];
    if alert.told == Told::Regressed {
        links.push(link(&alert.blame_url, "Blame"));
    }
    links.push(link(&alert.incident_url, "Incident"));
    links.join(" · ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::fixtures;

    fn built(incident: &deployline_schemas::Incident, deploys: &BTreeMap<String, deployline_schemas::Deploy>) -> Value {
        message(&Alert::new(incident, deploys, "https://deploys.example").unwrap(), true)
    }

    #[test]
    fn a_regression_fills_text_and_blocks() {
        insta::assert_json_snapshot!(built(&fixtures::confirmed(), &fixtures::deploys()));
    }

    #[test]
    fn a_recovery_fills_text_and_blocks() {
        insta::assert_json_snapshot!(built(&fixtures::recovered(), &fixtures::deploys()));
    }

    #[test]
    fn a_message_reads_as_chat_would_show_it() {
        insta::assert_snapshot!(plain(&built(&fixtures::confirmed(), &fixtures::deploys())));
        assert_eq!(plain(&json!({ "text": "a &amp; *b*" })), "a & b");
        assert_eq!(plain(&json!({ "text": "<broken" })), "broken");
    }

    #[test]
    fn nobody_is_mentioned_by_a_title() {
        let mut deploys = fixtures::deploys();
        let hostile = "<!channel> <https://evil.example|click> & co";
        for deploy in deploys.values_mut() {
            deploy.title = Some(hostile.to_owned());
            deploy.actor = Some(hostile.to_owned());
            deploy.version = Some(hostile.to_owned());
        }
        let body = built(&fixtures::confirmed(), &deploys);
        // A header and an image's alternative text are plain text, which mentions nobody.
        let blocks =
            body["blocks"].as_array().unwrap().iter().filter(|b| b["type"] != "header" && b["type"] != "image");
        let mrkdwn = blocks.map(Value::to_string).fold(body["text"].to_string(), |all, block| all + &block);
        assert!(!mrkdwn.contains("<!channel>") && !mrkdwn.contains("<https://evil"), "{mrkdwn}");
        assert!(mrkdwn.contains("&lt;!channel&gt;"));
    }

    #[test]
    fn whatever_comes_in_stays_within_the_limits() {
        let mut incident = fixtures::confirmed();
        let long = "ü&<".repeat(5000);
        incident.service = long.clone();
        incident.signals = vec![incident.signals[0].clone(); 40];
        incident.signals[0].signal = long.clone();
        incident.suspects[0].evidence[0].text = long.clone();
        let mut deploys = fixtures::deploys();
        for deploy in deploys.values_mut() {
            deploy.actor = Some(long.clone());
            deploy.diff_url = Some(format!("https://git.example/{}", "x".repeat(5000)));
        }
        let body = built(&incident, &deploys);
        let length = |text: &Value| text.as_str().unwrap().chars().count();
        let blocks = body["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        for block in blocks {
            match block["type"].as_str().unwrap() {
                "header" => assert!(length(&block["text"]["text"]) <= MAX_HEADER),
                "section" => assert!(length(&block["text"]["text"]) <= MAX_SECTION),
                "context" => assert!(length(&block["elements"][0]["text"]) <= MAX_SECTION),
                "image" => assert!(length(&block["alt_text"]) <= 2000),
                other => panic!("unexpected block {other}"),
            }
        }
        assert!(body.to_string().chars().count() < 13_000, "{}", body.to_string().len());
    }
}
