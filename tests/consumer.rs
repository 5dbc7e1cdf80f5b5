//! The Kafka seam against librdkafka's mock cluster, which speaks the real protocol in process.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "whatever goes wrong in a harness fails the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use lakehead::batch::{Commits, Committed, OffsetRange, Offsets, RawBatch, TopicPartition};
use lakehead::kafka::librdkafka::Librdkafka;
use lakehead::kafka::{Consumer, Jump, Kafka, KafkaErrorKind, Polled, Props, Subscription, Wanted};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

const PATIENCE: Duration = Duration::from_secs(30);

type Mock = MockCluster<'static, DefaultProducerContext>;

fn cluster(topic: &str, partitions: i32) -> (Mock, Props) {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(topic, partitions, 1).unwrap();
    let props = [
        ("bootstrap.servers", cluster.bootstrap_servers().as_str()),
        ("group.id", "connect-test"),
        ("auto.offset.reset", "earliest"),
        ("session.timeout.ms", "6000"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()));
    (cluster, props.into())
}

fn produce(cluster: &Mock, topic: &str, partitions: i32, records: std::ops::Range<i64>) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    for i in records {
        let (key, value) = (format!("k{i}"), format!("v{i}"));
        let mut record = BaseRecord::to(topic).partition((i % i64::from(partitions)) as i32).key(&key).timestamp(1_000 + i);
        if i % 10 != 3 {
            record = record.payload(&value);
        }
        if i % 100 == 7 {
            record = record.headers(OwnedHeaders::new().insert(Header { key: "h", value: Some("x") }).insert(Header { key: "n", value: None::<&str> }));
        }
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

fn consumer(props: &Props, topic: &str) -> Box<dyn Consumer> {
    Librdkafka::default().consumer(props, &Subscription::Topics(vec![topic.to_owned()])).unwrap()
}

async fn next(consumer: &mut Box<dyn Consumer>, wanted: Wanted) -> Polled {
    tokio::time::timeout(PATIENCE, consumer.next(wanted)).await.expect("an event")
}

/// Takes records until `rows` have come; rebalances are acknowledged at once.
async fn take(consumer: &mut Box<dyn Consumer>, rows: usize) -> Vec<RawBatch> {
    let mut batches = Vec::new();
    while batches.iter().map(RawBatch::len).sum::<usize>() < rows {
        match next(consumer, Wanted::Everything).await {
            Polled::Records(more) => batches.extend(more),
            Polled::Assigned(_) | Polled::Revoked { .. } | Polled::Trouble(_) => {}
            Polled::Jumped(jumps) => panic!("{jumps:?}"),
            Polled::Failed(error) => panic!("{error}"),
        }
    }
    batches
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_arrives_once_in_order_with_key_timestamp_headers_and_tombstones() {
    let (cluster, props) = cluster("t", 3);
    produce(&cluster, "t", 3, 0..3_000);
    let mut member = consumer(&props, "t");
    let batches = take(&mut member, 3_000).await;
    let mut next_offset: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for batch in &batches {
        let expected = next_offset.insert(batch.from.clone(), batch.span.end).unwrap_or(0);
        assert_eq!(batch.span.start, expected);
        assert_eq!(batch.offsets.values().to_vec(), (batch.span.start..batch.span.end).collect::<Vec<_>>());
        for row in 0..batch.len() {
            let i = batch.offsets.value(row) * 3 + i64::from(batch.from.partition);
            assert_eq!(batch.keys.value(row), format!("k{i}").as_bytes());
            assert_eq!(batch.timestamps.value(row), 1_000 + i);
            assert_eq!(batch.values.is_null(row), i % 10 == 3);
            let headers = batch.headers.as_ref().map_or(0, |h| h.value(row).len());
            assert_eq!(headers, if i % 100 == 7 { 2 } else { 0 });
            if headers == 2 {
                let pairs = batch.headers.as_ref().unwrap().value(row);
                assert_eq!(pairs.as_struct().column(0).as_string::<i32>().value(0), "h");
                assert!(pairs.as_struct().column(1).is_null(1));
            }
        }
    }
    assert_eq!(next_offset.values().copied().collect::<Vec<_>>(), [1_000; 3]);
    member.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_starts_where_the_group_has_committed() {
    let (cluster, props) = cluster("t", 1);
    produce(&cluster, "t", 1, 0..100);
    let mut first = consumer(&props, "t");
    take(&mut first, 100).await;
    let from = TopicPartition::new("t", 0);
    assert_eq!(first.committed(std::slice::from_ref(&from)).await.unwrap(), Commits::new());
    let commits = Commits::from([(from.clone(), Committed { offset: 40, metadata: "LH1.äß".to_owned() })]);
    first.commit(&commits).await.unwrap();
    assert_eq!(first.committed(&[from]).await.unwrap(), commits);
    first.close().await;
    let mut second = consumer(&props, "t");
    assert_eq!(take(&mut second, 60).await[0].span.start, 40);
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_delivers_again_from_there_and_nothing_older() {
    let (cluster, props) = cluster("t", 1);
    produce(&cluster, "t", 1, 0..500);
    let mut member = consumer(&props, "t");
    take(&mut member, 500).await;
    member.seek(&Offsets::from([(TopicPartition::new("t", 0), 250)])).await.unwrap();
    let again = take(&mut member, 250).await;
    assert_eq!((again[0].span.start, again.iter().map(RawBatch::len).sum::<usize>()), (250, 250));
    member.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_takes_no_records_still_gives_up_partitions_and_the_other_gets_them() {
    let (cluster, props) = cluster("t", 2);
    produce(&cluster, "t", 2, 0..200);
    let mut first = consumer(&props, "t");
    while !matches!(next(&mut first, Wanted::Rebalances).await, Polled::Assigned(p) if p.len() == 2) {}
    let mut second = consumer(&props, "t");
    let revoked = loop {
        if let Polled::Revoked { partitions, lost, done } = next(&mut first, Wanted::Rebalances).await {
            assert!(!lost);
            let early = tokio::time::timeout(Duration::from_secs(2), second.next(Wanted::Rebalances)).await;
            assert!(!matches!(early, Ok(Polled::Assigned(p)) if !p.is_empty()), "the partition was handed on before it was given up");
            drop(done);
            break partitions;
        }
    };
    assert_eq!(revoked.len(), 1, "cooperative: only what moves is revoked");
    let batches = take(&mut second, 100).await;
    assert!(batches.iter().all(|b| revoked.contains(&b.from)));
    second.close().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_is_interrupted_by_a_rebalance_that_waits_for_the_caller() {
    let (cluster, props) = cluster("t", 2);
    produce(&cluster, "t", 2, 0..200);
    let mut first = consumer(&props, "t");
    take(&mut first, 200).await;
    let mut second = consumer(&props, "t");
    let seeking = tokio::time::Instant::now();
    // Until the rebalance comes, seeks succeed; when it waits for us, the seek must say so instead of waiting for ever.
    let interrupted = loop {
        let all = Offsets::from([(TopicPartition::new("t", 0), 0), (TopicPartition::new("t", 1), 0)]);
        let sought = tokio::time::timeout(PATIENCE, first.seek(&all)).await.expect("a seek ends");
        if sought.is_err() {
            break matches!(next(&mut first, Wanted::Rebalances).await, Polled::Revoked { .. });
        }
        assert!(seeking.elapsed() < PATIENCE, "no rebalance came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(interrupted);
    assert!(!take(&mut second, 1).await.is_empty());
    second.close().await;
    first.close().await;
}

/// Produces so much that the mock broker deletes the oldest records of its only partition; what the log holds then.
async fn overflow(cluster: &Mock, member: &mut Box<dyn Consumer>) -> OffsetRange {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    let value = vec![b'x'; 10_000];
    for _ in 0..800 {
        producer.send(BaseRecord::<(), [u8]>::to("t").partition(0).payload(&value)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let from = TopicPartition::new("t", 0);
    let log = member.logs(std::slice::from_ref(&from)).await.unwrap()[&from];
    assert!(log.start > 100 && log.end == 900, "{log}");
    log
}

/// Takes events until the partition jumps; records may come before.
async fn jump(member: &mut Box<dyn Consumer>) -> Jump {
    loop {
        match next(member, Wanted::Everything).await {
            Polled::Jumped(jumps) => return jumps.into_iter().next().unwrap(),
            Polled::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_not_in_the_log_any_more_are_reported_before_others_come() {
    for reset in ["earliest", "latest"] {
        let (cluster, mut props) = cluster("t", 1);
        props.insert("auto.offset.reset".to_owned(), reset.to_owned());
        let mut member = consumer(&props, "t");
        while !matches!(next(&mut member, Wanted::Rebalances).await, Polled::Assigned(p) if p.len() == 1) {}
        let from = TopicPartition::new("t", 0);
        // Also where a partition was assigned just now.
        member.seek(&Offsets::from([(from.clone(), 0)])).await.unwrap();
        produce(&cluster, "t", 1, 0..100);
        take(&mut member, 100).await;
        let log = overflow(&cluster, &mut member).await;
        for wanted in [50, 5_000] {
            member.seek(&Offsets::from([(from.clone(), wanted)])).await.unwrap();
            let later = async {
                tokio::time::sleep(Duration::from_secs(3)).await;
                produce(&cluster, "t", 1, 0..1); // behind the end, the first record that comes instead tells
            };
            let (jumped, ()) = tokio::join!(jump(&mut member), later);
            assert_eq!((jumped.wanted, jumped.log.start), (wanted, log.start), "{reset}");
            let found: &[Option<i64>] = match (reset, wanted) {
                // By the first record that comes, or by looking at the log while none has come.
                ("earliest", 50) => &[Some(log.start), None],
                ("earliest", _) => &[Some(log.start)],
                (_, 50) => &[None],
                _ => &[Some(901)],
            };
            assert!(found.contains(&jumped.found), "{reset}: {jumped:?}");
        }
        // Nothing of the partition came since, and all of it comes from where it is sought.
        member.seek(&Offsets::from([(from.clone(), log.start)])).await.unwrap();
        let rows = usize::try_from(902 - log.start).unwrap();
        let batches = take(&mut member, rows).await;
        assert_eq!((batches[0].span.start, batches.last().unwrap().span.end), (log.start, 902), "{reset}");
        member.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_offsets_and_without_a_place_to_begin_fails_by_name() {
    let (cluster, mut props) = cluster("t", 1);
    produce(&cluster, "t", 1, 0..10);
    props.insert("auto.offset.reset".to_owned(), "none".to_owned());
    let mut member = consumer(&props, "t");
    let error = loop {
        match next(&mut member, Wanted::Everything).await {
            Polled::Failed(error) => break error,
            Polled::Records(batches) => panic!("{batches:?}"),
            _ => {}
        }
    };
    assert!(error.message.contains("auto.offset.reset=none"), "{error}");
    member.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seek_that_a_rebalance_came_before_holds_nobody_up() {
    let (cluster, props) = cluster("t", 2);
    produce(&cluster, "t", 2, 0..200);
    let mut first = consumer(&props, "t");
    take(&mut first, 200).await;
    let mut second = consumer(&props, "t");
    let both: Offsets = [0, 1].map(|number| (TopicPartition::new("t", number), 0)).into();
    let gone = loop {
        let Err(error) = tokio::time::timeout(PATIENCE, first.seek(&both)).await.expect("a seek ends") else { continue };
        assert_eq!(error.kind, KafkaErrorKind::Interrupted);
        match next(&mut first, Wanted::Rebalances).await {
            Polled::Revoked { partitions, .. } => break partitions,
            other => panic!("{other:?}"),
        }
    };
    let kept: Offsets = both.into_iter().filter(|(tp, _)| !gone.contains(tp)).collect();
    let began = tokio::time::Instant::now();
    while tokio::time::timeout(PATIENCE, first.seek(&kept)).await.expect("a seek ends").is_err() {
        next(&mut first, Wanted::Rebalances).await;
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}: the seek of what is not ours any more was tried for 10 s", began.elapsed());
    second.close().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_does_not_answer_keeps_nobody_from_learning_what_others_hold() {
    let cluster = MockCluster::new(2).unwrap();
    cluster.create_topic("t", 3, 1).unwrap();
    cluster.coordinator(MockCoordinator::Group("connect-test".to_owned()), 1).unwrap();
    (0..3).for_each(|number| cluster.partition_leader("t", number, Some(if number == 0 { 2 } else { 1 })).unwrap());
    produce(&cluster, "t", 3, 0..300);
    let props = [("bootstrap.servers", cluster.bootstrap_servers()), ("group.id", "connect-test".to_owned()), ("auto.offset.reset", "earliest".to_owned())];
    let mut member = consumer(&props.map(|(key, value)| (key.to_owned(), value)).into(), "t");
    take(&mut member, 300).await;
    cluster.broker_down(2).unwrap();
    let all = [0, 1, 2, 7].map(|number| TopicPartition::new("t", number));
    let held = tokio::time::timeout(PATIENCE, member.logs(&all)).await.expect("an answer").unwrap();
    assert_eq!(held, [1, 2].map(|number| (all[number].clone(), OffsetRange { start: 0, end: 100 })).into());
    member.close().await;
}
