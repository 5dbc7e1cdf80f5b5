//! Members of a real group share out connectors and tasks, and take over from those who are gone.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lakehead::clock::Clock;
use lakehead::cluster::coordinator::Broker;
use lakehead::cluster::group::{Group, Settings};
use lakehead::cluster::membership::{Configs, Configured, Event, Membership, Standing};
use lakehead::cluster::{TaskId, Work};
use lakehead::kafka::{KafkaError, Props};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Long enough for a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const SESSION: Duration = Duration::from_millis(3_000);

/// Configurations that all members of a test share.
#[derive(Debug, Default)]
struct Shared(Mutex<Configured>);

#[async_trait]
impl Configs for Shared {
    fn configured(&self) -> Configured {
        self.0.lock().expect("free").clone()
    }

    async fn catch_up(&self, _patience: Duration) -> Result<(), KafkaError> {
        Ok(())
    }
}

impl Shared {
    /// This many connectors with this many tasks each.
    fn hold(&self, connectors: u32, tasks: u32) {
        let mut configured = self.0.lock().expect("free");
        configured.offset += 1;
        configured.work = Work::default();
        for connector in (0..connectors).map(|number| format!("c{number}")) {
            configured.work.tasks.extend((0..tasks).map(|task| TaskId::new(&connector, task)));
            configured.work.connectors.insert(connector.into());
        }
    }
}

/// A worker that runs what it is told to.
struct Worker {
    runs: watch::Receiver<Work>,
    standing: watch::Receiver<Standing>,
    asks: tokio::sync::mpsc::Sender<Ask>,
    task: JoinHandle<()>,
}

enum Ask {
    Rejoin,
    Leave,
}

impl Worker {
    fn start(group: &str, name: &str, configs: &Arc<Shared>, more: &[(&str, &str)]) -> Self {
        let network = super::network();
        let session = SESSION.as_millis().to_string();
        let mut props = Props::from([
            ("session.timeout.ms".to_owned(), session),
            ("heartbeat.interval.ms".to_owned(), "500".to_owned()),
            ("scheduled.rebalance.max.delay.ms".to_owned(), "0".to_owned()),
        ]);
        props.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let settings = Settings::from_props(&props, &format!("http://{name}:8083/")).expect("settings");
        let coordinator = Broker::new(&network, group, settings.session_timeout, settings.rebalance_timeout);
        let mut member = Group::join(settings, Arc::new(coordinator), Arc::clone(configs) as Arc<dyn Configs>, Clock::system());
        let (running, runs) = watch::channel(Work::default());
        let standing = member.standing();
        let (asks, mut asked) = tokio::sync::mpsc::channel(1);
        let task = tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = member.next() => event,
                    ask = asked.recv() => match ask {
                        Some(Ask::Rejoin) => {
                            member.rejoin("the test changed what is configured");
                            continue;
                        }
                        Some(Ask::Leave) => {
                            running.send_replace(Work::default());
                            member.leave().await;
                            return;
                        }
                        None => return,
                    },
                };
                match event {
                    Some(Event::Revoked { work, .. }) => running.send_modify(|runs| runs.remove(&work)),
                    Some(Event::Assigned { work, .. }) => drop(running.send_replace(work)),
                    Some(Event::Failed(error)) => panic!("{error}"),
                    None => return,
                }
            }
        });
        Self { runs, standing, asks, task }
    }

    async fn ask(&self, ask: Ask) {
        self.asks.send(ask).await.unwrap_or_else(|_| panic!("the worker is gone"));
    }

    /// As kill -9: it says nothing.
    fn kill(self) {
        self.task.abort();
    }
}

/// Waits until these workers run all of it, each thing once and each worker about as much, with one leader.
async fn shared_out(configs: &Shared, workers: &[&Worker]) {
    let all = configs.configured().work;
    let settled = async {
        loop {
            let runs: Vec<Work> = workers.iter().map(|worker| worker.runs.borrow().clone()).collect();
            let count = runs.iter().map(|work| work.connectors.len() + work.tasks.len()).sum::<usize>();
            let tasks: Vec<usize> = runs.iter().map(|work| work.tasks.len()).collect();
            let is_even = tasks.iter().max().unwrap_or(&0) - tasks.iter().min().unwrap_or(&0) <= 1;
            let leaders: BTreeSet<_> = workers.iter().map(|worker| worker.standing.borrow().leader_url.clone()).collect();
            let leads = workers.iter().filter(|worker| worker.standing.borrow().leadership.is_some()).count();
            let is_quiet = workers.iter().all(|worker| !worker.standing.borrow().rebalancing);
            if runs.iter().collect::<Work>() == all
                && count == all.connectors.len() + all.tasks.len()
                && is_even
                && leaders.len() == 1
                && leads == 1
                && is_quiet
            {
                return;
            }
            let mut changes: Vec<_> = workers.iter().flat_map(|worker| [worker.runs.clone().changed_soon(), worker.standing.clone().changed_soon()]).collect();
            futures::future::select_all(changes.iter_mut()).await;
        }
    };
    if timeout(PATIENCE, settled).await.is_err() {
        let runs: Vec<_> = workers.iter().map(|worker| (worker.runs.borrow().clone(), worker.standing.borrow().clone())).collect();
        panic!("work is not shared out: {runs:#?}");
    }
}

/// Waiting for any of several values.
trait ChangedSoon {
    fn changed_soon(self) -> futures::future::BoxFuture<'static, ()>;
}

impl<T: Send + Sync + 'static> ChangedSoon for watch::Receiver<T> {
    fn changed_soon(mut self) -> futures::future::BoxFuture<'static, ()> {
        Box::pin(async move {
            // A value that changed between the look and the wait must not be missed for long.
            drop(timeout(Duration::from_millis(50), self.changed()).await);
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_work_and_take_over_from_the_killed() {
    let configs = Arc::new(Shared::default());
    configs.hold(3, 4);
    let start = |name: &str| Worker::start("connect-share", name, &configs, &[]);
    let first = start("w1");
    shared_out(&configs, &[&first]).await;
    let second = start("w2");
    shared_out(&configs, &[&first, &second]).await;
    let third = start("w3");
    shared_out(&configs, &[&first, &second, &third]).await;

    // The leader is killed: another one leads, and its work is with the others.
    let leader = first.standing.borrow().leader_url.clone();
    let mut workers = vec![first, second, third];
    let at = workers.iter().position(|worker| worker.standing.borrow().leadership.is_some()).expect("a leader");
    let killed = Instant::now();
    workers.remove(at).kill();
    shared_out(&configs, &[&workers[0], &workers[1]]).await;
    let waited = killed.elapsed();
    println!("work of the killed leader is shared out after {waited:?}");
    assert!(waited < SESSION + Duration::from_secs(10), "{waited:?}");
    assert_ne!(workers[0].standing.borrow().leader_url, leader);

    // New configurations are shared out by whoever leads.
    configs.hold(4, 4);
    workers[0].ask(Ask::Rejoin).await;
    shared_out(&configs, &[&workers[0], &workers[1]]).await;

    // One leaves: nobody waits for the session timeout.
    let left = Instant::now();
    workers[1].ask(Ask::Leave).await;
    shared_out(&configs, &[&workers[0]]).await;
    println!("work of the one that left is taken over after {:?}", left.elapsed());
    assert!(left.elapsed() < SESSION, "{:?}", left.elapsed());
    workers[0].ask(Ask::Leave).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eager_and_cooperative_members_agree_on_what_both_speak() {
    let configs = Arc::new(Shared::default());
    configs.hold(2, 3);
    let sessioned = Worker::start("connect-mixed", "w1", &configs, &[]);
    shared_out(&configs, &[&sessioned]).await;
    let eager = Worker::start("connect-mixed", "w2", &configs, &[("connect.protocol", "eager")]);
    shared_out(&configs, &[&sessioned, &eager]).await;
    assert_eq!(sessioned.standing.borrow().protocol.map(|protocol| protocol.wire_name()), Some("default"));
    eager.ask(Ask::Leave).await;
    shared_out(&configs, &[&sessioned]).await;
    sessioned.ask(Ask::Leave).await;
}
