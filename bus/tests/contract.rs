//! The contract of the bus. Both implementations pass the same tests; the Kafka half needs a real broker and fails
//! without one: `make kafka` or `scripts/kafka/kafka.sh start`.

// The claims are plain functions, which clippy does not take for tests.
#![allow(clippy::unwrap_used)]

mod testbed;

use std::{collections::BTreeSet, time::Duration};

use deployline_bus::{Bus, BusError, MAX_RECORD_BYTES, Position, Record, Recourse};
use deployline_schemas::{UnixMillis, time::wall_clock, topic::Topic};
use testbed::{Testbed, batch, drain, publish, values};
use tokio::time::timeout;

/// No claim of this file is about speed: this only ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs each claim on both buses, as `embedded::NAME` and `kafka::NAME`.
macro_rules! contract {
    ($($(#[$doc:meta])* $claim:ident;)*) => {
        mod embedded {
            $(
                $(#[$doc])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    super::timeout(super::PATIENCE, super::$claim(super::Testbed::embedded())).await.expect("in time");
                }
            )*
        }
        mod kafka {
            $(
                $(#[$doc])*
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $claim() {
                    super::timeout(super::PATIENCE, super::$claim(super::Testbed::kafka())).await.expect("in time");
                }
            )*
        }
    };
}

contract! {
    records_of_a_key_keep_their_order;
    records_survive_a_reopen;
    a_group_resumes_at_its_committed_offset;
    what_was_not_committed_is_delivered_again;
    offsets_never_move_back;
    groups_are_independent;
    keys_headers_and_bytes_come_back_as_they_went;
    a_large_batch_arrives_whole_and_in_order;
    a_record_of_the_largest_size_passes_and_a_larger_one_is_refused_whole;
    a_publish_wakes_a_waiting_subscriber;
    an_abandoned_wait_loses_no_record;
    members_of_a_group_get_each_record_once;
    a_member_that_leaves_hands_over_what_it_did_not_commit;
    a_subscription_sees_the_topics_that_it_asked_for;
    concurrent_publishers_each_get_their_own_positions;
    any_stretch_can_be_read;
    lag_counts_what_is_not_committed;
    a_forgotten_group_begins_at_the_earliest_records;
    pruned_records_are_gone_and_their_offsets_stay_spent;
    a_closed_bus_says_so_everywhere;
    a_name_that_no_group_can_have_is_refused;
}

async fn records_of_a_key_keep_their_order(bed: Testbed) {
    let bus = bed.open_partitioned(3).await;
    for round in 0..20 {
        let records = (0..6).map(|key| Record::new(format!("k{key}"), round.to_string())).collect();
        bus.publish(Topic::Deploys, records).await.unwrap();
    }
    let mut member = bus.subscribe("order", &[Topic::Deploys]).await.unwrap();
    let all = drain(&mut member, 120).await;
    let expected: Vec<_> = (0..20).map(|round| round.to_string()).collect();
    for key in 0..6 {
        let of_key: Vec<_> = all.iter().filter(|found| found.record.key == format!("k{key}")).cloned().collect();
        assert_eq!(values(&of_key), expected, "k{key}");
        assert!(of_key.windows(2).all(|pair| pair[0].position < pair[1].position), "k{key}");
    }
}

async fn records_survive_a_reopen(bed: Testbed) {
    let bus = bed.open().await;
    let positions = publish(&bus, Topic::Incidents, &["a", "b"]).await;
    bus.close().await.unwrap();
    let bus = bed.open().await;
    publish(&bus, Topic::Incidents, &["c"]).await;
    let all = bus.read(Topic::Incidents, positions[0], 10).await.unwrap();
    assert_eq!(values(&all), ["a", "b", "c"]);
    assert_eq!(all[1].position, positions[1]);
}

async fn a_group_resumes_at_its_committed_offset(bed: Testbed) {
    let bus = bed.open().await;
    publish(&bus, Topic::Deploys, &["a", "b", "c", "d"]).await;
    let mut member = bus.subscribe("catalog", &[Topic::Deploys]).await.unwrap();
    let first = batch(&mut member, 2).await;
    member.commit(&first).await.unwrap();
    member.close().await;
    bus.close().await.unwrap();

    let bus = bed.open().await;
    let mut member = bus.subscribe("catalog", &[Topic::Deploys]).await.unwrap();
    let rest = drain(&mut member, 4 - first.len()).await;
    assert_eq!([values(&first), values(&rest)].concat(), ["a", "b", "c", "d"]);
}

async fn what_was_not_committed_is_delivered_again(bed: Testbed) {
    let bus = bed.open().await;
    publish(&bus, Topic::Deploys, &["a", "b", "c"]).await;
    let mut member = bus.subscribe("catalog", &[Topic::Deploys]).await.unwrap();
    let all = drain(&mut member, 3).await;
    member.commit(&all[..1]).await.unwrap();
    member.close().await;

    let mut member = bus.subscribe("catalog", &[Topic::Deploys]).await.unwrap();
    assert_eq!(drain(&mut member, 2).await, all[1..]);
}

async fn offsets_never_move_back(bed: Testbed) {
    let bus = bed.open().await;
    publish(&bus, Topic::Deploys, &["a", "b", "c"]).await;
    let mut member = bus.subscribe("catalog", &[Topic::Deploys]).await.unwrap();
    let all = drain(&mut member, 3).await;
    member.commit(&all).await.unwrap();
    member.commit(&all[..1]).await.unwrap();
    member.commit(&[]).await.unwrap();
    assert_eq!(bus.lag("catalog", Topic::Deploys).await.unwrap(), 0);
}

async fn groups_are_independent(bed: Testbed) {
    let bus = bed.open().await;
    publish(&bus, Topic::Incidents, &["a", "b"]).await;
    let mut one = bus.subscribe("notify", &[Topic::Incidents]).await.unwrap();
    let mut other = bus.subscribe("catalog", &[Topic::Incidents]).await.unwrap();
    let seen = drain(&mut one, 2).await;
    one.commit(&seen).await.unwrap();
    assert_eq!(drain(&mut other, 2).await, seen);
}

async fn keys_headers_and_bytes_come_back_as_they_went(bed: Testbed) {
    let bus = bed.open().await;
    let sent = vec![
        Record::new("checkout/production", (0..=255).collect::<Vec<u8>>())
            .with_header("content-type", "application/cloudevents+json")
            .with_header("trace", "1")
            .with_header("trace", "2")
            .with_header("empty", ""),
        Record::new("ключ \"quoted\"\n", "").with_header("näme", "wért\u{0}'; DROP TABLE deploys"),
        Record::new("", "no key"),
    ];
    let before = wall_clock()();
    let positions = bus.publish(Topic::Quarantine, sent.clone()).await.unwrap();
    let after = wall_clock()();
    let mut member = bus.subscribe("bytes", &[Topic::Quarantine]).await.unwrap();
    let all = drain(&mut member, 3).await;
    for ((found, sent), position) in all.iter().zip(&sent).zip(positions) {
        assert_eq!((found.topic, found.position, &found.record), (Topic::Quarantine, position, sent));
        assert!((before..=after).contains(&found.appended_at), "{before} {} {after}", found.appended_at);
    }
    assert_eq!(all[0].record.header("trace"), Some("1"));
}

async fn a_large_batch_arrives_whole_and_in_order(bed: Testbed) {
    let bus = bed.open().await;
    let sent: Vec<_> = (0..5000).map(|n| Record::new("k", format!("{n:0>2000}"))).collect();
    let positions = bus.publish(Topic::Datapoints, sent.clone()).await.unwrap();
    assert!(positions.windows(2).all(|pair| pair[0].offset + 1 == pair[1].offset));
    let mut member = bus.subscribe("large", &[Topic::Datapoints]).await.unwrap();
    let mut received = Vec::new();
    while received.len() < sent.len() {
        let found = batch(&mut member, 700).await;
        assert!(found.len() <= 700, "{}", found.len());
        member.commit(&found).await.unwrap();
        received.extend(found);
    }
    assert!(received.iter().map(|found| &found.record).eq(&sent));
    assert!(received.iter().map(|found| found.position).eq(positions));
}

async fn a_record_of_the_largest_size_passes_and_a_larger_one_is_refused_whole(bed: Testbed) {
    let bus = bed.open().await;
    // Noise, so that compression does not make it small again.
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let largest = Record::new("k", (0..MAX_RECORD_BYTES - 65).map(|_| noise()).collect::<Vec<_>>());
    assert_eq!(largest.size_bytes(), MAX_RECORD_BYTES);
    let larger = Record::new("kk", largest.value.clone());
    let error = bus.publish(Topic::Deploys, vec![Record::new("k", "small"), larger]).await.unwrap_err();
    assert!(matches!(error, BusError::TooLarge { size_bytes: 1_000_001, .. }), "{error:?}");
    bus.publish(Topic::Deploys, vec![largest.clone()]).await.unwrap();
    let mut member = bus.subscribe("large", &[Topic::Deploys]).await.unwrap();
    assert!(batch(&mut member, 10).await[0].record == largest, "the small one beside the refused was not published");
}

async fn a_publish_wakes_a_waiting_subscriber(bed: Testbed) {
    let bus = bed.open().await;
    let mut member = bus.subscribe("wake", &[Topic::Deploys]).await.unwrap();
    let waiting = tokio::spawn(async move {
        let found = batch(&mut member, 10).await;
        (member, found)
    });
    publish(&bus, Topic::Deploys, &["a"]).await;
    let (mut member, found) = waiting.await.unwrap();
    assert_eq!(values(&found), ["a"]);
    let waiting = tokio::spawn(async move { batch(&mut member, 10).await });
    publish(&bus, Topic::Deploys, &["b"]).await;
    assert_eq!(values(&waiting.await.unwrap()), ["b"]);
}

async fn an_abandoned_wait_loses_no_record(bed: Testbed) {
    let bus = bed.open().await;
    let mut member = bus.subscribe("cancel", &[Topic::Deploys]).await.unwrap();
    let publisher = {
        let bus = bus.clone();
        tokio::spawn(async move {
            for n in 0..200 {
                publish(&bus, Topic::Deploys, &[&n.to_string()]).await;
            }
        })
    };
    let mut received = Vec::new();
    let mut n_polls = 0;
    while received.len() < 200 {
        // Dropped at a different point each time: after one poll, two, three, then whenever the publisher moves.
        n_polls = (n_polls + 1) % 4;
        let polls = async {
            for _ in 0..n_polls {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            found = member.next_batch(3) => received.extend(found.unwrap()),
            () = polls => {}
        }
    }
    publisher.await.unwrap();
    assert_eq!(values(&received), (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

async fn members_of_a_group_get_each_record_once(bed: Testbed) {
    let bus = bed.open_partitioned(4).await;
    let topics = [Topic::Deploys, Topic::Incidents];
    let mut one = bus.subscribe("shared", &topics).await.unwrap();
    // The first member has all partitions, has committed what it saw, and then the second one joins.
    publish(&bus, Topic::Deploys, &["first"]).await;
    let first = batch(&mut one, 1).await;
    one.commit(&first).await.unwrap();
    let mut other = bus.subscribe("shared", &topics).await.unwrap();

    for topic in topics {
        let records = (0..50).map(|n| Record::new(format!("k{n}"), format!("{}{n}", topic.suffix()))).collect();
        bus.publish(topic, records).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let (found, member) = tokio::select! {
            found = one.next_batch(7) => (found.unwrap(), &mut one),
            found = other.next_batch(7) => (found.unwrap(), &mut other),
        };
        member.commit(&found).await.unwrap();
        seen.extend(found);
    }
    let distinct: BTreeSet<_> = seen.iter().map(|found| (found.topic, found.position)).collect();
    assert_eq!((seen.len(), distinct.len()), (100, 100));
    assert!(!distinct.contains(&(Topic::Deploys, first[0].position)));
}

async fn a_member_that_leaves_hands_over_what_it_did_not_commit(bed: Testbed) {
    let bus = bed.open_partitioned(2).await;
    let mut one = bus.subscribe("handover", &[Topic::Deploys]).await.unwrap();
    let records: Vec<_> = (0..10).map(|n| Record::new(format!("k{n}"), n.to_string())).collect();
    bus.publish(Topic::Deploys, records).await.unwrap();
    let all = drain(&mut one, 10).await;
    one.commit(&all[..4]).await.unwrap();
    let mut other = bus.subscribe("handover", &[Topic::Deploys]).await.unwrap();
    // Dropped, as when its task is aborted.
    drop(one);
    let again = drain(&mut other, 6).await;
    let expected: BTreeSet<_> = values(&all[4..]).into_iter().collect();
    assert_eq!(values(&again).into_iter().collect::<BTreeSet<_>>(), expected);
    other.commit(&again).await.unwrap();
    assert_eq!(bus.lag("handover", Topic::Deploys).await.unwrap(), 0);
}

async fn a_subscription_sees_the_topics_that_it_asked_for(bed: Testbed) {
    let bus = bed.open().await;
    for topic in Topic::ALL {
        publish(&bus, topic, &[topic.suffix()]).await;
    }
    let mut member = bus.subscribe("some", &[Topic::Incidents, Topic::Deploys]).await.unwrap();
    let found = drain(&mut member, 2).await;
    assert_eq!(
        values(&found).into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from(["deploys", "incidents"].map(str::to_owned))
    );
    assert!(found.iter().all(|found| values(std::slice::from_ref(found)) == [found.topic.suffix()]));
    member.commit(&found).await.unwrap();
    publish(&bus, Topic::Quarantine, &["other"]).await;
    publish(&bus, Topic::Deploys, &["mine"]).await;
    assert_eq!(values(&batch(&mut member, 10).await), ["mine"]);
}

async fn concurrent_publishers_each_get_their_own_positions(bed: Testbed) {
    let bus = bed.open().await;
    let publishers: Vec<_> = (0..32)
        .map(|publisher| {
            let bus = bus.clone();
            tokio::spawn(async move {
                let mut sent = Vec::new();
                for n in 0..5 {
                    let value = format!("{publisher}/{n}");
                    sent.push((publish(&bus, Topic::Deploys, &[&value]).await[0], value));
                }
                sent
            })
        })
        .collect();
    let mut sent = Vec::new();
    for publisher in publishers {
        sent.extend(publisher.await.unwrap());
    }
    sent.sort();
    let mut member = bus.subscribe("many", &[Topic::Deploys]).await.unwrap();
    let all = drain(&mut member, 160).await;
    let received: Vec<_> =
        all.iter().map(|found| (found.position, values(std::slice::from_ref(found)).remove(0))).collect();
    assert_eq!(received, sent);
}

async fn any_stretch_can_be_read(bed: Testbed) {
    let bus = bed.open().await;
    let empty = bus.bounds(Topic::Quarantine).await.unwrap();
    assert_eq!((empty.len(), empty[0].partition, empty[0].first, empty[0].next), (1, 0, 0, 0));
    assert_eq!(read(&bus, 0, 10).await, [""; 0]);
    publish(&bus, Topic::Quarantine, &["a", "b", "c", "d"]).await;
    assert_eq!(bus.bounds(Topic::Quarantine).await.unwrap()[0].next, 4);
    assert_eq!(read(&bus, 0, 10).await, ["a", "b", "c", "d"]);
    assert_eq!(read(&bus, 1, 2).await, ["b", "c"]);
    assert_eq!(read(&bus, -5, 1).await, ["a"]);
    assert_eq!(read(&bus, 4, 10).await, [""; 0]);
    assert_eq!(read(&bus, 0, 0).await, [""; 0]);
    assert_eq!(bus.read(Topic::Quarantine, Position { partition: 7, offset: 0 }, 9).await.unwrap(), []);
}

async fn read(bus: &Bus, from: i64, max: usize) -> Vec<String> {
    let from = Position { partition: 0, offset: from };
    values(&bus.read(Topic::Quarantine, from, max).await.unwrap())
}

async fn lag_counts_what_is_not_committed(bed: Testbed) {
    let bus = bed.open().await;
    assert_eq!(bus.lag("slow", Topic::Deploys).await.unwrap(), 0);
    publish(&bus, Topic::Deploys, &["a", "b", "c"]).await;
    assert_eq!(bus.lag("slow", Topic::Deploys).await.unwrap(), 3);
    let mut member = bus.subscribe("slow", &[Topic::Deploys]).await.unwrap();
    let all = drain(&mut member, 3).await;
    member.commit(&all[..2]).await.unwrap();
    assert_eq!(bus.lag("slow", Topic::Deploys).await.unwrap(), 1);
}

async fn a_forgotten_group_begins_at_the_earliest_records(bed: Testbed) {
    let bus = bed.open().await;
    bus.forget("catalog").await.unwrap();
    publish(&bus, Topic::Deploys, &["a", "b", "c"]).await;
    let mut member = bus.subscribe("catalog", &[Topic::Deploys]).await.unwrap();
    let all = drain(&mut member, 3).await;
    member.commit(&all).await.unwrap();
    let error = bus.forget("catalog").await.unwrap_err();
    assert_eq!(error.recourse(), Recourse::Retry, "it has a member: {error:?}");
    member.close().await;

    bus.forget("catalog").await.unwrap();
    assert_eq!(bus.lag("catalog", Topic::Deploys).await.unwrap(), 3);
    let mut member = bus.subscribe("catalog", &[Topic::Deploys]).await.unwrap();
    assert_eq!(drain(&mut member, 3).await, all);
}

async fn pruned_records_are_gone_and_their_offsets_stay_spent(bed: Testbed) {
    let bus = bed.open().await;
    publish(&bus, Topic::Quarantine, &["a", "b"]).await;
    let last = bus.read(Topic::Quarantine, Position { partition: 0, offset: 1 }, 1).await.unwrap().remove(0);
    assert_eq!(bus.prune(Topic::Quarantine, UnixMillis(1)).await.unwrap(), 0);
    let later = UnixMillis(last.appended_at.0 + 1);
    assert_eq!(bus.prune(Topic::Quarantine, later).await.unwrap(), 2);
    assert_eq!(read(&bus, 0, 10).await, [""; 0]);
    bus.close().await.unwrap();
    let bus = bed.open().await;
    assert_eq!(publish(&bus, Topic::Quarantine, &["c"]).await[0].offset, 2);
    let bounds = bus.bounds(Topic::Quarantine).await.unwrap();
    assert_eq!((bounds[0].first, bounds[0].next), (2, 3));
    let mut member = bus.subscribe("late", &[Topic::Quarantine]).await.unwrap();
    assert_eq!(values(&drain(&mut member, 1).await), ["c"]);
}

async fn a_closed_bus_says_so_everywhere(bed: Testbed) {
    let bus = bed.open().await;
    bus.health().await.unwrap();
    publish(&bus, Topic::Deploys, &["a"]).await;
    let mut member = bus.subscribe("closed", &[Topic::Deploys]).await.unwrap();
    let found = drain(&mut member, 1).await;
    let mut waiting = bus.subscribe("waiting", &[Topic::Incidents]).await.unwrap();
    let waiting = tokio::spawn(async move { waiting.next_batch(1).await });
    bus.clone().close().await.unwrap();

    let from = found[0].position;
    let errors = [
        bus.publish(Topic::Deploys, vec![Record::new("k", "v")]).await.err(),
        bus.subscribe("closed", &[Topic::Deploys]).await.err(),
        bus.bounds(Topic::Deploys).await.err(),
        bus.read(Topic::Deploys, from, 1).await.err(),
        bus.lag("closed", Topic::Deploys).await.err(),
        bus.prune(Topic::Deploys, found[0].appended_at).await.err(),
        bus.health().await.err(),
        member.next_batch(1).await.err(),
        member.commit(&found).await.err(),
        waiting.await.unwrap().err(),
        bus.close().await.err(),
    ];
    for (index, error) in errors.into_iter().enumerate() {
        let error = error.unwrap_or_else(|| panic!("call {index} passed on a closed bus"));
        assert!(matches!(error, BusError::Closed), "call {index}: {error:?}");
        assert_eq!(error.recourse(), Recourse::Stop);
    }
}

async fn a_name_that_no_group_can_have_is_refused(bed: Testbed) {
    let bus = bed.open().await;
    for name in ["", "a b", "a/b", "ä", &"x".repeat(101)] {
        let error = bus.subscribe(name, &[Topic::Deploys]).await.err().unwrap();
        assert!(matches!(error, BusError::Group { .. }), "{name}: {error:?}");
    }
}
