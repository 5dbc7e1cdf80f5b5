//! Against Kafka: what the log itself does not have is no loss, and what it has is one.

use std::time::Duration;

use lakehead::batch::OffsetRange;
use lakehead::commit::{Intent, LaneIntent};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use crate::world::{Server, Spec, World, file};

const PATIENCE: Duration = Duration::from_secs(60);

/// A broker with the topic `t`.
struct Broker {
    server: Server,
    commits: TopicPartitionList,
}

impl Broker {
    async fn start(partitions: i32) -> Self {
        let broker = Self { server: Server::start("kafka.sh"), commits: TopicPartitionList::new() };
        let created = broker.admin().create_topics([&NewTopic::new("t", partitions, TopicReplication::Fixed(1))], &AdminOptions::new()).await.unwrap();
        created.into_iter().for_each(|created| drop(created.unwrap()));
        broker
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.server.address());
        client
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    /// Writes so many records, each part in a transaction: its marker takes an offset behind it.
    fn send_in_transactions(&self, partition: i32, parts: &[usize]) {
        let id = format!("audit-{partition}");
        let producer: BaseProducer = self.client().set("transactional.id", id).create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        for part in parts {
            producer.begin_transaction().unwrap();
            self.send_by(&producer, partition, *part);
            producer.commit_transaction(PATIENCE).unwrap();
        }
    }

    fn send(&self, partition: i32, records: usize) {
        self.send_by(&self.client().create().unwrap(), partition, records);
    }

    fn send_by(&self, producer: &BaseProducer, partition: i32, records: usize) {
        for _ in 0..records {
            producer.send(BaseRecord::<(), str>::to("t").partition(partition).payload("{}")).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    async fn delete_below(&self, partition: i32, offset: i64) {
        let mut below = TopicPartitionList::new();
        below.add_partition_offset("t", partition, Offset::Offset(offset)).unwrap();
        self.admin().delete_records(&below, &AdminOptions::new().operation_timeout(Some(PATIENCE))).await.unwrap();
    }

    fn will_commit(&mut self, partition: i32, offset: i64, metadata: &str) {
        self.commits.add_partition_offset("t", partition, Offset::Offset(offset)).unwrap();
        self.commits.find_partition("t", partition).unwrap().set_metadata(metadata);
    }

    fn commit(&self) {
        let consumer: BaseConsumer = self.client().set("group.id", "connect-sink").create().unwrap();
        consumer.commit(&self.commits, CommitMode::Sync).unwrap();
    }
}

fn in_a_row(partition: i32) -> Vec<Spec> {
    [0..100, 100..200, 200..300].map(|offsets| file("p", partition, offsets, ".parquet")).into()
}

/// Two paths take turns over these offsets.
fn taking_turns(partition: i32, offsets: impl Iterator<Item = i64>) -> [Spec; 2] {
    let (a, b): (Vec<i64>, Vec<i64>) = offsets.partition(|offset| offset % 2 == 0);
    [file("kind=a", partition, a, ".parquet"), file("kind=b", partition, b, ".parquet")]
}

/// Verdict, offsets that the log does not have, and each problem with its first range.
fn judged(report: &Value, partition: usize) -> (String, u64, Vec<(String, Option<(i64, i64)>)>) {
    let partition = report["partitions"].as_array().unwrap().iter().find(|found| found["partition"] == partition).unwrap();
    let problem = |problem: &Value| {
        let range = problem["ranges"].get(0).map(|range| (range[0].as_i64().unwrap(), range[1].as_i64().unwrap()));
        (problem["kind"].as_str().unwrap().to_owned(), range)
    };
    let problems = partition["problems"].as_array().unwrap().iter().map(problem).collect();
    (partition["verdict"].as_str().unwrap().to_owned(), partition["log_gaps"].as_u64().unwrap(), problems)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_has_and_files_have_not_is_lost() {
    let (world, mut broker) = (World::folder(), Broker::start(12).await);
    let mut files = Vec::new();
    // 0: all is well.
    broker.send(0, 300);
    broker.will_commit(0, 300, "");
    files.extend(in_a_row(0));
    // 1: offsets 100 and 201 are the markers of transactions.
    broker.send_in_transactions(1, &[100, 100]);
    broker.will_commit(1, 202, "");
    files.extend([file("p", 1, 0..100, ".parquet"), file("p", 1, 101..201, ".parquet")]);
    // 2: a file is gone.
    broker.send(2, 300);
    broker.will_commit(2, 300, "");
    files.extend(in_a_row(2).into_iter().filter(|file| file.offsets[0] != 100));
    // 3: more was committed than there are files.
    broker.send(3, 300);
    broker.will_commit(3, 300, "");
    files.extend(in_a_row(3).into_iter().take(2));
    // 4: a file reaches past the committed offset, and no plan says that it may.
    broker.send(4, 300);
    broker.will_commit(4, 200, "");
    files.extend(in_a_row(4));
    // 5: the same with a plan.
    broker.send(5, 300);
    let lane = LaneIntent { ahead: None, files: vec![OffsetRange { start: 200, end: 300 }] };
    let intent = Intent { configuration: 1, lanes: [("".into(), lane)].into(), clock: Vec::new() };
    broker.will_commit(5, 200, &intent.text(200));
    files.extend(in_a_row(5));
    // 6: files that take turns, and a marker among their rows, at 10.
    broker.send_in_transactions(6, &[10, 10]);
    broker.will_commit(6, 22, "");
    files.extend(taking_turns(6, (0..10).chain(11..21)));
    // 7: the same, and 15 is lost.
    broker.send_in_transactions(7, &[10, 10]);
    broker.will_commit(7, 22, "");
    files.extend(taking_turns(7, (0..10).chain(11..15).chain(16..21)));
    // 8: the log begins at 100, and files have nothing from 50 to 150.
    broker.send(8, 300);
    broker.delete_below(8, 100).await;
    broker.will_commit(8, 300, "");
    files.extend([file("p", 8, 0..50, ".parquet"), file("p", 8, 150..300, ".parquet")]);
    // 9: the first file is gone. 10: so are all.
    broker.send(9, 300);
    broker.will_commit(9, 300, "");
    files.extend(in_a_row(9).into_iter().skip(1));
    broker.send(10, 5);
    broker.will_commit(10, 5, "");
    // 11: what is open is not committed, and not missed.
    broker.send(11, 300);
    broker.will_commit(11, 100, "");
    files.extend(in_a_row(11).into_iter().take(1));
    broker.commit();
    world.put(&files).await;

    let address = broker.server.address();
    let group = ["--group", "connect-sink", "--bootstrap-servers", &address];
    let said = world.verify(&[&group[..], &["--json"]].concat()).await;
    assert_eq!(said.code, 1, "{}", said.text);
    let (json, _) = said.text.rsplit_once('\n').unwrap();
    let report: Value = serde_json::from_str(json).unwrap();
    type Expected<'a> = (&'a str, u64, &'a [(&'a str, Option<(i64, i64)>)]);
    let expected: [Expected<'_>; 12] = [
        ("proven", 0, &[]),
        ("proven", 2, &[]),
        ("violated", 0, &[("missing", Some((100, 200)))]),
        ("violated", 0, &[("missing", Some((200, 300)))]),
        ("violated", 0, &[("unplanned", None)]),
        ("proven", 0, &[]),
        ("proven", 2, &[]),
        ("violated", 2, &[("missing", Some((15, 16)))]),
        ("violated", 0, &[("missing", Some((100, 150))), ("unclear", Some((50, 100)))]),
        ("violated", 0, &[("missing", Some((0, 100)))]),
        ("violated", 0, &[("missing", Some((0, 5)))]),
        ("proven", 0, &[]),
    ];
    for (partition, (verdict, log_gaps, problems)) in expected.into_iter().enumerate() {
        let problems = problems.iter().map(|(kind, range)| ((*kind).to_owned(), *range)).collect();
        assert_eq!(judged(&report, partition), (verdict.to_owned(), log_gaps, problems), "partition {partition}\n{json}");
    }
    let text = world.verify(&group).await;
    text.assert(1, &["t-1", "proven", "committed 202, 2 offsets that the log does not have", "the log has these records, and no file"]);
    text.assert(1, &["t-5", "proven", "committed 200, 1 files past it"]);
    // What the log has before the first file may be left to whoever deleted it; partition 10 has no first file.
    let since = world.verify(&[&group[..], &["--since-first-file", "--json"]].concat()).await;
    let report: Value = serde_json::from_str(since.text.rsplit_once('\n').unwrap().0).unwrap();
    assert_eq!(judged(&report, 9).0, "proven");
    // The bucket alone cannot tell markers from losses.
    let alone: Value = serde_json::from_str(world.verify(&["--json"]).await.text.rsplit_once('\n').unwrap().0).unwrap();
    assert_eq!(judged(&alone, 1), ("violated".to_owned(), 0, vec![("missing".to_owned(), Some((100, 101)))]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_brokers_is_no_answer() {
    let world = World::folder();
    world.verify(&["--group", "g"]).await.assert(3, &["--group needs --bootstrap-servers"]);
}
