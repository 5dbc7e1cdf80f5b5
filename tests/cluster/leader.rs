//! Who may write the config topic where sources are exactly once: the leader alone, and whoever led before is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakehead::clock::Clock;
use lakehead::cluster::assignor::Shares;
use lakehead::cluster::board::Board;
use lakehead::cluster::configs::{TargetState, records};
use lakehead::cluster::log::Isolation;
use lakehead::cluster::membership::{Leadership, Standing};
use lakehead::kafka::librdkafka::Librdkafka;
use lakehead::kafka::{KafkaErrorKind, Props};
use tokio::sync::watch;

use super::servers;

/// A worker's board, and its standing.
struct Worker {
    board: Board,
    standing: watch::Sender<Standing>,
}

impl Worker {
    async fn join(group: &str) -> Self {
        let mut props = Props::from([("bootstrap.servers".to_owned(), servers::Kafka::shared().bootstrap()), ("group.id".to_owned(), group.to_owned())]);
        for purpose in ["config", "status"] {
            props.insert(format!("{purpose}.storage.topic"), format!("{group}-{purpose}"));
            props.insert(format!("{purpose}.storage.replication.factor"), "1".to_owned());
        }
        let (board, _changes) = Board::join(&props, Isolation::Settled, Clock::system()).await.expect("a board");
        let (standing, followed) = watch::channel(Standing::default());
        let clients = Props::from([("bootstrap.servers".to_owned(), servers::Kafka::shared().bootstrap())]);
        board.reserve(Arc::new(Librdkafka::default()), clients, group, &format!("{group}-config"), followed);
        Self { board, standing }
    }

    /// It takes itself for the leader of a new generation.
    fn leads(&self) {
        let leadership = Arc::new(Leadership { urls: BTreeMap::new(), shares: Shares { assignments: BTreeMap::new(), owned: BTreeMap::new() } });
        self.standing.send_modify(|standing| {
            standing.leadership = Some(leadership);
            standing.rebalances += 1;
        });
    }

    async fn configure(&self, connector: &str) -> Result<(), KafkaErrorKind> {
        let config = BTreeMap::from([("connector.class".to_owned(), Some("X".to_owned()))]);
        self.board.write(&records::connector(connector, &config, None)).await.map_err(|error| error.kind)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_followed_by_another_writes_nothing_until_it_leads_again() {
    let (first, second) = tokio::join!(Worker::join("privilege"), Worker::join("privilege"));
    first.leads();
    first.configure("a").await.expect("the leader writes");
    second.leads();
    second.configure("b").await.expect("the next leader writes");
    // It does not know that it leads no more.
    for _ in 0..2 {
        assert_eq!(first.configure("zombie").await, Err(KafkaErrorKind::Fenced));
    }
    // What any member may write, it may.
    first.board.write(&[records::target_state("a", TargetState::Paused)]).await.expect("no leader is needed");
    second.configure("c").await.expect("it still leads");
    let names = |worker: &Worker| worker.board.snapshot().connectors().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&second), ["a", "b", "c"]);
    assert_eq!(second.board.snapshot().target_state("a"), Some(TargetState::Paused));
    // Its group has elected it again.
    first.leads();
    first.configure("d").await.expect("the leader writes");
    assert_eq!(names(&first), ["a", "b", "c", "d"]);
    assert_eq!(second.configure("zombie").await, Err(KafkaErrorKind::Fenced));
}
