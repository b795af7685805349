//! Addresses of our own pages, and which addresses from outside may be shown as links.

use deployline_schemas::{UnixMillis, incident::MovedSignal, signal::SignalKind};

/// A deploy's page.
pub fn deploy(base_url: &str, id: &str) -> String {
    format!("{base_url}/d/{}", encode(id))
}

/// An incident's page.
pub fn incident(base_url: &str, id: &str) -> String {
    format!("{base_url}/incidents/{}", encode(id))
}

/// The page that ranks the suspects for a signal at a moment.
pub fn blame(base_url: &str, moved: Option<&MovedSignal>, at: UnixMillis) -> String {
    let series = moved.map(|moved| format!("series={}&", encode(&moved.series))).unwrap_or_default();
    format!("{base_url}/blame?{series}at={}", encode(&at.to_string()))
}

/// The graph of a signal with every deploy in the window as a line; `format` is `png` or `svg`.
/// A ratio is asked for by its signal, so that the quotient is drawn and not the numerator.
pub fn graph(base_url: &str, format: &str, moved: Option<&MovedSignal>, from: UnixMillis, until: UnixMillis) -> String {
    let target = match moved {
        Some(moved) if moved.kind == SignalKind::Ratio => {
            format!("signal={}&service={}&", encode(&moved.signal), encode(&moved.service))
        }
        Some(moved) => format!("target={}&", encode(&moved.series)),
        None => String::new(),
    };
    format!("{base_url}/graph.{format}?{target}from={}&until={}", from.as_secs(), until.as_secs())
}

/// An address that came from outside, if it may be a link: only http and https, without white space or control characters.
pub fn outside(url: &str) -> Option<&str> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let web = matches!(scheme.as_deref(), Some("http" | "https"));
    (web && !url.chars().any(|c| c.is_whitespace() || c.is_control())).then_some(url)
}

/// Percent-encodes all but RFC 3986's unreserved characters: safe in a path segment and in a query's value.
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn ids_and_names_are_encoded() {
        assert_eq!(deploy("http://d", "a/b ü?"), "http://d/d/a%2Fb%20%C3%BC%3F");
    }

    #[test]
    fn a_ratio_is_drawn_by_its_signal_and_anything_else_by_its_series() {
        let signals = fixtures::confirmed().signals;
        let window = (UnixMillis::from_secs(100), UnixMillis::from_secs(200));
        let url = |moved| graph("", "svg", moved, window.0, window.1);
        assert_eq!(url(Some(&signals[0])), "/graph.svg?signal=error%20ratio&service=checkout&from=100&until=200");
        assert_eq!(
            url(Some(&signals[1])),
            "/graph.svg?target=stats.timers.payments.latency.upper_95&from=100&until=200"
        );
        assert_eq!(url(None), "/graph.svg?from=100&until=200");
    }

    #[test]
    fn only_web_addresses_become_links() {
        assert_eq!(outside("https://git.example/x"), Some("https://git.example/x"));
        for url in ["javascript:alert(1)", "//git.example", "https://x y", "data://x"] {
            assert_eq!(outside(url), None, "{url}");
        }
    }
}
