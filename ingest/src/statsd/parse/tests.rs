use proptest::prelude::*;

use super::*;

/// What a packet holds, one text an item: `name[#tags] sample[@rate]`, or `!reason`.
fn items(packet: &[u8]) -> Vec<String> {
    let mut items = Vec::new();
    parse(packet, |item| {
        items.push(match item {
            Ok(Item::Metric(Metric { key, sample, rate })) => {
                let tags = if key.tags.is_empty() { String::new() } else { format!("#{}", key.tags.escape_ascii()) };
                let rate = if rate == 1.0 { String::new() } else { format!("@{rate}") };
                let sample = match sample {
                    Sample::Counter(value) => format!("c{value}"),
                    Sample::Timer(value) => format!("t{value}"),
                    Sample::Gauge(value) => format!("g{value}"),
                    Sample::GaugeDelta(value) => format!("g{value:+}"),
                    Sample::Set(member) => format!("s{}", member.escape_ascii()),
                };
                format!("{}{tags} {sample}{rate}", key.name.escape_ascii())
            }
            Ok(Item::Event(event)) => {
                format!(
                    "event {}/{}/{}",
                    event.title.escape_ascii(),
                    event.text.escape_ascii(),
                    event.fields.escape_ascii()
                )
            }
            Ok(Item::ServiceCheck(check)) => {
                format!("check {}/{}/{}", check.name.escape_ascii(), check.status, check.fields.escape_ascii())
            }
            Err(bad) => format!("!{:?}", bad.reason),
        });
    });
    items
}

#[track_caller]
fn check(packet: &str, expected: &[&str]) {
    assert_eq!(items(packet.as_bytes()), expected, "{packet:?}");
}

#[test]
fn each_type_is_taken() {
    check("a:1|c", &["a c1"]);
    check("a:1.5|c", &["a c1.5"]);
    check("a:-4|c", &["a c-4"]);
    check("a:320|ms", &["a t320"]);
    check("a:0.25|h", &["a t0.25"]);
    check("a:-0.25|d", &["a t-0.25"]);
    check("a:10|g\na:+5|g\na:-3|g", &["a g10", "a g+5", "a g-3"]);
    check("a:x|s\na:|s", &["a sx", "a s0"]);
    check("a:10.0.0.1:80|s", &["a s10.0.0.1:80"]);
}

#[test]
fn a_line_that_makes_no_sense_costs_only_itself() {
    check(
        "ok:1|c\nname\n:1|c\na:x|c\nb:1|q\nc:1\nok:2|c\n",
        &["ok c1", "!NoValue", "!NoName", "!Value", "!Type", "!NoValue", "ok c2"],
    );
    check("a:-5|ms\na:inf|g\na:nan|c\na:1e999|ms", &["!NegativeTimer", "!NotFinite", "!NotFinite", "!NotFinite"]);
    check("a:|c", &["!Value"]);
    check("a:|", &["!NoValue"]);
    check("", &[]);
    check("\n\r\n", &[]);
}

#[test]
fn sample_rates_are_above_zero_and_finite() {
    check("a:2|c|@0.1", &["a c2@0.1"]);
    check("a:10|ms|@0.5", &["a t10@0.5"]);
    for rate in ["@0", "@-1", "@nan", "@inf", "@", "@x", "@1e-320"] {
        check(&format!("a:1|c|{rate}"), &["!SampleRate"]);
    }
    check("a:1e300|c|@1e-300", &["!NotFinite"]);
    check("a:1|c|0.1", &["!Field"]);
    check("a:1|c|", &["!Field"]);
}

#[test]
fn both_forms_of_several_values() {
    check("a:1|c:2|c:3|c", &["a c1", "a c2", "a c3"]);
    check("a:1:2:3|c", &["a c1", "a c2", "a c3"]);
    check("a:1|c|@0.5:2|ms:+3|g", &["a c1@0.5", "a t2", "a g+3"]);
    check("a:1:x:3|ms|@0.5|#t:v", &["a#t:v t1@0.5", "!Value", "a#t:v t3@0.5"]);
    check("a:1|c:2:3", &["a c1", "!NoValue", "!NoValue"]);
    check("a:1|c:y|s|#t:v", &["a#t:v c1", "a#t:v sy"]);
}

#[test]
fn dogstatsd_fields_are_understood() {
    check("a:1|c|#env:prod,host:a", &["a#env:prod,host:a c1"]);
    check("a:1|c|@0.5|#env:prod|c:ci-83f|T1656581400", &["a#env:prod c1@0.5"]);
    check("a:1|c|#env:prod|@0.5", &["a#env:prod c1@0.5"]);
    check("a:1|d|e:it-false,cn-x|card:low", &["a t1"]);
    check("_e{5,4}:title|text|p:low|#a:b", &["event title/text/p:low|#a:b"]);
    check("_e{5,4}:title|tex", &["!Event"]);
    check("_e{9999999999999999999999,1}:a|b", &["!Event"]);
    check("_sc|db.up|2|m:a: b", &["check db.up/2/m:a: b"]);
    check("_sc|db.up|0", &["check db.up/0/"]);
    check("_sc|db.up|7", &["!ServiceCheck"]);
    check("_scheduled:1|c", &["_scheduled c1"]);
}

#[test]
fn ends_of_lines_and_blanks_are_forgiven() {
    check("a:1|c\r\nb:2|ms \n", &["a c1", "b t2"]);
    check("a: 1 |c", &["a c1"]);
}

/// A number as senders write it.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![(0u32..100_000).prop_map(|n| n.to_string()), (0f64..1e6).prop_map(|n| format!("{n:.3}"))]
}

proptest! {
    #[test]
    fn any_bytes_are_taken_without_a_panic(packet in proptest::collection::vec(any::<u8>(), 0..300)) {
        items(&packet);
    }

    #[test]
    fn near_misses_are_taken_without_a_panic(packet in r"([a-c_]{0,3}[:|@#{}\n,;e-]{0,2}[0-9.]{0,3}(c|ms|g|s|h|_sc|_e)?){0,12}") {
        items(packet.as_bytes());
    }

    #[test]
    fn what_goes_in_packed_comes_out_as_sent(values in proptest::collection::vec(number(), 1..10), etsy in any::<bool>()) {
        let body = if etsy { values.join("|ms:") } else { values.join(":") };
        let expected: Vec<f64> = values.iter().map(|value| value.parse().unwrap()).collect();
        let packet = format!("name:{body}|ms");
        let mut taken = Vec::new();
        parse(packet.as_bytes(), |item| match item {
            Ok(Item::Metric(Metric { sample: Sample::Timer(value), .. })) => taken.push(value),
            other => panic!("{other:?}"),
        });
        prop_assert_eq!(taken, expected);
    }
}
