//! Rounds of rebalances as stories, after those of upstream's own tests, and the laws that hold for every story.

use proptest::prelude::*;

use super::*;

const MAX_DELAY: u32 = 300_000;

/// A cluster: what its members have and what there is to do, with a leader that never dies.
struct Cluster {
    leader: Incremental,
    held: BTreeMap<String, Work>,
    configured: Work,
    generation: i32,
    last_completed: i32,
    now_ms: i64,
    moves: BTreeMap<String, incremental::Moves>,
}

impl Cluster {
    /// With these connectors, each as `name:tasks`.
    fn new(max_delay_ms: u32, connectors: &str) -> Self {
        let mut cluster = Self {
            leader: Incremental::new(max_delay_ms),
            held: BTreeMap::new(),
            configured: Work::default(),
            generation: -1,
            last_completed: -1,
            now_ms: 1_000_000,
            moves: BTreeMap::new(),
        };
        connectors.split_whitespace().for_each(|connector| cluster.create(connector));
        cluster
    }

    fn create(&mut self, connector: &str) {
        let (name, tasks) = connector.split_once(':').expect("name:tasks");
        self.delete(name);
        self.configured.connectors.insert(name.into());
        self.configured.tasks.extend((0..tasks.parse().expect("a number")).map(|task| TaskId::new(name, task)));
    }

    fn delete(&mut self, name: &str) {
        self.configured.connectors.remove(name);
        self.configured.tasks.retain(|task| *task.connector != *name);
    }

    fn join(&mut self, members: &str) {
        self.held.extend(members.split_whitespace().map(|member| (member.to_owned(), Work::default())));
    }

    fn leave(&mut self, member: &str) -> Work {
        self.held.remove(member).expect("a member")
    }

    fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
    }

    /// A round that all members hear of, and carry out.
    fn rebalance(&mut self) {
        self.compute();
        self.last_completed = self.generation;
        for (member, moves) in &self.moves {
            let held = self.held.get_mut(member).expect("only members are told something");
            held.remove(&moves.revoked);
            held.add(&moves.assigned);
            assert_eq!(*held, moves.owned, "{member} has what the leader thinks");
        }
    }

    /// A round of which nobody hears: the leader's answer does not arrive, or another rebalance begins.
    fn compute(&mut self) {
        self.generation += 1;
        self.moves = self.leader.assign(&self.held, &self.configured, self.last_completed, self.generation, self.now_ms);
        assert!(self.moves.keys().eq(self.held.keys()), "all members are told something");
        for (member, moves) in &self.moves {
            let held = &self.held[member];
            assert!(!moves.assigned.intersects(held) && moves.revoked.without(&[held]).is_empty(), "{member}: {moves:?} of {held:?}");
            assert!(moves.assigned.without(&[&self.configured]).is_empty(), "{member} gets what is not there");
        }
    }

    /// Numbers of connectors and of tasks by member, in order of size.
    fn loads(&self) -> (Vec<usize>, Vec<usize>) {
        let sorted = |of: fn(&Work) -> usize| {
            let mut sizes: Vec<usize> = self.held.values().map(of).collect();
            sizes.sort_unstable();
            sizes
        };
        (sorted(|work| work.connectors.len()), sorted(|work| work.tasks.len()))
    }

    #[track_caller]
    fn assert_loads(&self, connectors: &[usize], tasks: &[usize]) {
        assert_eq!(self.loads(), (connectors.to_vec(), tasks.to_vec()));
    }

    fn delay(&self) -> i64 {
        i64::from(self.leader.delay_ms())
    }

    fn is_revoking(&self) -> bool {
        self.moves.values().any(|moves| !moves.revoked.is_empty())
    }

    fn is_quiet(&self) -> bool {
        self.moves.values().all(|moves| moves.revoked.is_empty() && moves.assigned.is_empty())
    }

    #[track_caller]
    fn assert_complete(&self) {
        let (connectors, tasks) = self.loads();
        assert!(connectors.last() <= connectors.first().map(|least| least + 1).as_ref(), "{connectors:?} is not balanced");
        assert!(tasks.last() <= tasks.first().map(|least| least + 1).as_ref(), "{tasks:?} is not balanced");
        assert_eq!(connectors.iter().sum::<usize>(), self.configured.connectors.len(), "each connector is with one member");
        assert_eq!(tasks.iter().sum::<usize>(), self.configured.tasks.len(), "each task is with one member");
        assert_eq!(self.held.values().collect::<Work>(), self.configured);
    }

    /// Rebalances as members ask for them: at once after they gave something back, and when a delay is over. Returns the number of rounds.
    fn settle(&mut self) -> usize {
        for round in 1..=20 {
            let before = self.held.clone();
            self.rebalance();
            for (member, held) in &self.held {
                let (before, revoked) = (&before[member], &self.moves[member].revoked);
                let kept = before.shared_with(held);
                assert_eq!(kept, before.without(&[revoked]), "what is not revoked goes on");
                let others: Work = self.held.iter().filter(|(other, _)| *other != member).map(|(_, work)| work).collect();
                assert!(!revoked.intersects(&others), "what is revoked here is given to others in a later round");
            }
            match (self.is_revoking(), self.delay()) {
                (true, _) => {}
                (false, 0) => return round,
                (false, delay) => self.pass(delay),
            }
        }
        panic!("no end after 20 rounds: {:?}", self.loads());
    }
}

#[test]
fn a_worker_joins() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4");
    cluster.join("w1");
    cluster.rebalance();
    cluster.assert_loads(&[2], &[8]);
    cluster.join("w2");
    cluster.rebalance();
    cluster.assert_loads(&[0, 1], &[0, 4]);
    cluster.rebalance();
    assert!(!cluster.is_revoking());
    cluster.assert_loads(&[1, 1], &[4, 4]);
    cluster.rebalance();
    assert!(cluster.is_quiet() && cluster.delay() == 0);
    cluster.assert_complete();
}

#[test]
fn workers_that_join_one_by_one_wait_longer_each_time() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4 c3:4");
    cluster.join("w1");
    cluster.rebalance();
    cluster.assert_loads(&[3], &[12]);
    cluster.join("w2");
    cluster.rebalance();
    cluster.assert_loads(&[0, 2], &[0, 6]);
    cluster.join("w3");
    cluster.rebalance();
    assert_eq!(cluster.delay(), 40);
    cluster.assert_loads(&[0, 1, 2], &[3, 3, 6]);
    cluster.pass(40);
    cluster.join("w4");
    cluster.rebalance();
    assert_eq!(cluster.delay(), 0);
    cluster.assert_loads(&[0, 0, 1, 1], &[0, 3, 3, 3]);
    cluster.join("w5");
    cluster.rebalance();
    assert_eq!(cluster.delay(), 1600);
    cluster.assert_loads(&[0, 0, 1, 1, 1], &[1, 2, 3, 3, 3]);
    cluster.pass(1600);
    cluster.join("w6");
    cluster.rebalance();
    assert_eq!(cluster.delay(), 0);
    cluster.assert_loads(&[0, 0, 0, 1, 1, 1], &[0, 1, 2, 2, 2, 2]);
    cluster.rebalance();
    cluster.assert_loads(&[0, 0, 0, 1, 1, 1], &[2, 2, 2, 2, 2, 2]);
    cluster.assert_complete();
}

#[test]
fn with_a_delay_of_0_nothing_waits() {
    let mut cluster = Cluster::new(0, "c1:4 c2:4 c3:4");
    cluster.join("w1");
    cluster.rebalance();
    cluster.join("w2");
    cluster.rebalance();
    cluster.assert_loads(&[0, 2], &[0, 6]);
    cluster.join("w3");
    cluster.rebalance();
    assert!(cluster.is_revoking() && cluster.delay() == 0, "again in the next round");
    cluster.assert_loads(&[0, 1, 1], &[3, 3, 4]);
    cluster.rebalance();
    cluster.assert_loads(&[1, 1, 1], &[4, 4, 4]);
    cluster.leave("w2");
    cluster.rebalance();
    assert!(!cluster.is_revoking());
    cluster.assert_loads(&[1, 2], &[6, 6]);
    cluster.assert_complete();
}

#[test]
fn workers_that_join_during_a_delay_get_what_is_free_and_no_more() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4 c3:4");
    cluster.join("w1");
    cluster.rebalance();
    cluster.join("w2");
    cluster.rebalance();
    cluster.join("w3");
    cluster.rebalance();
    cluster.assert_loads(&[0, 1, 2], &[3, 3, 6]);
    cluster.pass(cluster.delay() / 2);
    cluster.join("w4");
    cluster.rebalance();
    assert!(cluster.delay() == 20 && !cluster.is_revoking());
    cluster.assert_loads(&[0, 0, 1, 2], &[0, 3, 3, 6]);
    cluster.pass(cluster.delay());
    cluster.join("w5");
    cluster.rebalance();
    assert_eq!(cluster.delay(), 0);
    cluster.assert_loads(&[0, 0, 0, 1, 1], &[0, 0, 2, 3, 3]);
    cluster.rebalance();
    assert!(!cluster.is_revoking());
    cluster.assert_loads(&[0, 0, 1, 1, 1], &[2, 2, 2, 3, 3]);
    cluster.assert_complete();
}

#[test]
fn what_a_lost_worker_had_waits_for_the_delay() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4");
    cluster.join("w1 w2");
    cluster.rebalance();
    cluster.assert_loads(&[1, 1], &[4, 4]);
    cluster.leave("w2");
    cluster.rebalance();
    assert!(cluster.delay() == 300_000 && cluster.is_quiet());
    cluster.pass(150_000);
    cluster.rebalance();
    assert!(cluster.delay() == 150_000 && cluster.is_quiet());
    cluster.pass(150_001);
    cluster.rebalance();
    assert_eq!(cluster.delay(), 0);
    cluster.assert_loads(&[2], &[8]);
    cluster.assert_complete();
}

#[test]
fn a_worker_that_comes_back_in_time_gets_what_it_had() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4");
    cluster.join("w1 w2");
    cluster.rebalance();
    let had = cluster.leave("w2");
    cluster.rebalance();
    cluster.pass(225_000);
    cluster.join("w2-again");
    cluster.rebalance();
    assert!(cluster.delay() == 75_000 && cluster.is_quiet());
    cluster.pass(75_000);
    cluster.rebalance();
    assert!(cluster.delay() == 0 && !cluster.is_revoking());
    assert_eq!(cluster.held["w2-again"], had);
    cluster.assert_complete();
}

#[test]
fn a_worker_that_comes_back_and_goes_for_good_gets_nothing() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4 c3:4");
    cluster.join("w1 w2 w3");
    cluster.rebalance();
    cluster.leave("w2");
    cluster.rebalance();
    cluster.pass(100_000);
    cluster.join("w2-again");
    cluster.rebalance();
    cluster.pass(100_000);
    cluster.leave("w2-again");
    cluster.rebalance();
    assert!(cluster.delay() == 100_000 && cluster.is_quiet());
    cluster.pass(100_000);
    cluster.rebalance();
    cluster.assert_loads(&[1, 2], &[6, 6]);
    cluster.assert_complete();
}

#[test]
fn all_workers_that_came_during_the_delay_share_what_was_lost() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4 c3:4 c4:4");
    cluster.join("w1 w2");
    cluster.rebalance();
    cluster.leave("w2");
    cluster.join("w3");
    cluster.rebalance();
    assert!(cluster.is_quiet());
    cluster.pass(100_000);
    cluster.join("w4");
    cluster.rebalance();
    cluster.pass(200_000);
    cluster.rebalance();
    assert!(cluster.is_revoking(), "w1 has more than its share, and gives in the same round");
    assert_eq!((cluster.held["w3"].tasks.len(), cluster.held["w4"].tasks.len()), (4, 4));
    cluster.settle();
    cluster.assert_complete();
}

#[test]
fn a_new_leader_knows_of_no_delay() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4");
    cluster.join("w1 w2 w3");
    cluster.rebalance();
    cluster.assert_loads(&[0, 1, 1], &[2, 3, 3]);
    cluster.leave("w1");
    cluster.leader = Incremental::new(MAX_DELAY);
    cluster.rebalance();
    assert_eq!(cluster.delay(), 0);
    cluster.assert_loads(&[1, 1], &[4, 4]);
    cluster.join("w1");
    cluster.rebalance();
    cluster.assert_loads(&[0, 1, 1], &[0, 3, 3]);
    cluster.rebalance();
    cluster.assert_loads(&[0, 1, 1], &[2, 3, 3]);
    cluster.assert_complete();
}

#[test]
fn a_new_leader_ends_what_is_deleted() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4");
    cluster.join("w1 w2");
    cluster.rebalance();
    cluster.leader = Incremental::new(MAX_DELAY);
    cluster.delete("c1");
    cluster.settle();
    cluster.assert_complete();
}

#[test]
fn an_assignment_that_nobody_heard_of_is_made_again_without_delay() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4");
    cluster.join("w1 w2");
    cluster.compute();
    cluster.assert_loads(&[0, 0], &[0, 0]);
    cluster.rebalance();
    assert_eq!(cluster.delay(), 0);
    cluster.assert_loads(&[1, 1], &[4, 4]);
    cluster.assert_complete();
}

#[test]
fn a_revocation_that_nobody_heard_of_is_made_again_later() {
    for leader_knows in [false, true] {
        let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4");
        cluster.join("w1 w2");
        cluster.rebalance();
        cluster.join("w3");
        cluster.compute();
        assert!(cluster.is_revoking());
        if leader_knows {
            cluster.last_completed = cluster.generation; // the leader itself got through
        }
        cluster.rebalance();
        assert_eq!(cluster.delay(), 40);
        cluster.assert_loads(&[0, 1, 1], &[0, 4, 4]);
        cluster.pass(40);
        cluster.rebalance();
        cluster.assert_loads(&[0, 1, 1], &[0, 3, 3]);
        cluster.rebalance();
        cluster.assert_loads(&[0, 1, 1], &[2, 3, 3]);
        cluster.assert_complete();
    }
}

#[test]
fn deleted_connectors_end_at_once() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4 c3:4");
    cluster.join("w1 w2");
    cluster.rebalance();
    cluster.assert_loads(&[1, 2], &[6, 6]);
    cluster.delete("c3");
    cluster.rebalance();
    assert!(cluster.is_revoking() && cluster.delay() == 0);
    cluster.assert_loads(&[1, 1], &[4, 4]);
    cluster.delete("c1");
    cluster.delete("c2");
    cluster.rebalance();
    cluster.assert_loads(&[0, 0], &[0, 0]);
    cluster.rebalance();
    assert!(cluster.is_quiet());
}

#[test]
fn fewer_tasks_are_deleted_tasks() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:6");
    cluster.join("w1 w2");
    cluster.rebalance();
    cluster.create("c1:2");
    cluster.settle();
    cluster.assert_complete();
    assert_eq!(cluster.held.values().collect::<Work>(), Work::of("c1 c1-0 c1-1"));
}

#[test]
fn what_runs_twice_ends_everywhere_and_starts_again_once() {
    let mut cluster = Cluster::new(MAX_DELAY, "c1:4 c2:4");
    cluster.join("w1");
    cluster.rebalance();
    cluster.held.insert("w2".to_owned(), Work::of("c1 c1-0 c1-1 c1-2 c1-3"));
    cluster.rebalance();
    cluster.assert_loads(&[0, 1], &[0, 4]);
    cluster.rebalance();
    assert!(!cluster.is_revoking());
    cluster.assert_loads(&[1, 1], &[4, 4]);
    cluster.assert_complete();
    cluster.rebalance();
    assert!(cluster.is_quiet());
}

#[test]
fn new_work_goes_to_whom_has_least() {
    let mut cluster = Cluster::new(MAX_DELAY, "");
    cluster.held =
        [("w0", "a b t-0 t-1"), ("w1", "c d e t-2 t-3 t-4"), ("w2", "f t-5"), ("w3", "")].map(|(name, work)| (name.to_owned(), Work::of(work))).into();
    cluster.configured = Work::of("a b c d e f g h i j k l t-0 t-1 t-2 t-3 t-4 t-5 t-6 t-7 t-8 t-9 t-10 t-11");
    cluster.rebalance();
    cluster.assert_loads(&[3, 3, 3, 3], &[3, 3, 3, 3]);
    assert_eq!(cluster.moves["w3"].assigned, Work::of("g i l t-6 t-8 t-11"), "the first by name among equals");
}

fn metadata(config_offset: i64, allocation: Option<&str>) -> Metadata {
    let allocation = allocation.map(|work| Assignment { assigned: Work::of(work), ..Assignment::default() });
    Metadata { url: format!("http://at-{config_offset}/"), config_offset, allocation }
}

fn round<'a>(protocol: Protocol, members: &'a BTreeMap<String, Metadata>, configured: &'a Work, config_offset: i64) -> Round<'a> {
    Round { protocol, leader: "m1", members, configured, config_offset, last_completed_generation: -1, generation: 1, now_ms: 0 }
}

#[test]
fn a_leader_that_has_read_less_sends_all_to_read() {
    let members = BTreeMap::from([("m1".to_owned(), metadata(5, None)), ("m2".to_owned(), metadata(7, Some("a")))]);
    let configured = Work::of("a b");
    for protocol in [Protocol::Eager, Protocol::Compatible, Protocol::Sessioned] {
        let shares = Assignor::new(MAX_DELAY).assign(&round(protocol, &members, &configured, 6));
        let told = Assignment { error: CONFIG_MISMATCH, leader: "m1".into(), leader_url: "http://at-5/".into(), config_offset: 7, ..Assignment::default() };
        assert_eq!(shares.assignments, BTreeMap::from([("m1".to_owned(), told.clone()), ("m2".to_owned(), told)]));
        assert!(shares.owned.is_empty());
    }
    for (leader_at, expected) in [(7, 7), (9, 9)] {
        let shares = Assignor::new(MAX_DELAY).assign(&round(Protocol::Sessioned, &members, &configured, leader_at));
        assert_eq!(shares.assignments["m2"].config_offset, expected, "a snapshot that was taken again counts");
        assert!(!shares.assignments["m2"].failed());
    }
}

#[test]
fn eager_rounds_tell_everything_and_incremental_ones_what_is_new() {
    let members = BTreeMap::from([("m1".to_owned(), metadata(5, Some("a b a-0 b-0"))), ("m2".to_owned(), metadata(5, None))]);
    let configured = Work::of("a b a-0 b-0 b-1");
    let shares = Assignor::new(MAX_DELAY).assign(&round(Protocol::Eager, &members, &configured, 5));
    let assigned = |member: &str| shares.assignments[member].assigned.clone();
    assert_eq!((assigned("m1"), assigned("m2")), (Work::of("a a-0 b-1"), Work::of("b b-0")));
    assert_eq!((shares.owner_of_connector("b"), shares.owner_of_task(&TaskId::new("b", 1))), (Some("m2"), Some("m1")));
    assert_eq!((shares.owner_of_connector("c"), shares.owner_of_task(&TaskId::new("c", 1))), (None, None));

    let shares = Assignor::new(MAX_DELAY).assign(&round(Protocol::Sessioned, &members, &configured, 5));
    let told = |member: &str| (shares.assignments[member].assigned.clone(), shares.assignments[member].revoked.clone());
    assert_eq!((told("m1"), told("m2")), ((Work::default(), Work::of("a")), (Work::of("b-1"), Work::default())));
    assert_eq!(shares.owned, BTreeMap::from([("m1".to_owned(), Work::of("b a-0 b-0")), ("m2".to_owned(), Work::of("b-1"))]));
}

/// Something that happens to a cluster.
#[derive(Debug, Clone)]
enum Event {
    Join(u8),
    Leave(u8),
    Create(u8, u32),
    Delete(u8),
    Pass(i64),
    Rebalance,
    Unheard,
    NewLeader,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..8_u8).prop_map(Event::Join),
        2 => (0..8_u8).prop_map(Event::Leave),
        2 => (0..6_u8, 0..7_u32).prop_map(|(name, tasks)| Event::Create(name, tasks)),
        1 => (0..6_u8).prop_map(Event::Delete),
        2 => (0..400_000_i64).prop_map(Event::Pass),
        5 => Just(Event::Rebalance),
        1 => Just(Event::Unheard),
        1 => Just(Event::NewLeader),
    ]
}

fn happen(cluster: &mut Cluster, event: &Event, max_delay_ms: u32) {
    match event {
        Event::Join(member) => drop(cluster.held.entry(format!("w{member}")).or_default()),
        Event::Leave(member) => drop(cluster.held.remove(&format!("w{member}"))),
        Event::Create(name, tasks) => cluster.create(&format!("c{name}:{tasks}")),
        Event::Delete(name) => cluster.delete(&format!("c{name}")),
        Event::Pass(ms) => cluster.pass(*ms),
        Event::Rebalance => cluster.rebalance(),
        Event::Unheard => cluster.compute(),
        Event::NewLeader => {
            cluster.leader = Incremental::new(max_delay_ms);
            cluster.last_completed = cluster.generation;
        }
    }
}

proptest! {
    /// Whatever happens, once it stops the cluster comes to rest, complete and balanced, in a few rounds and within two delays and the back-off.
    #[test]
    fn every_story_ends_well(events in proptest::collection::vec(event(), 0..40), max_delay_ms in prop_oneof![Just(0), Just(1), Just(5000), Just(MAX_DELAY)]) {
        let mut cluster = Cluster::new(max_delay_ms, "c0:3 c1:5");
        for event in &events {
            happen(&mut cluster, event, max_delay_ms);
        }
        cluster.join("w9");
        let start = cluster.now_ms;
        let rounds = cluster.settle();
        cluster.assert_complete();
        prop_assert!(rounds <= 8, "{} rounds", rounds);
        prop_assert!(cluster.now_ms - start <= 3 * i64::from(max_delay_ms), "after {} ms", cluster.now_ms - start);
        cluster.rebalance();
        prop_assert!(cluster.is_quiet() && cluster.delay() == 0, "rest is rest: {:?}", cluster.moves);
    }

    /// While it is waited for lost work, the others lose nothing, and what was lost stays where it is: nowhere.
    #[test]
    fn nothing_moves_during_a_delay(tasks in 1..9_u32, members in 2..6_u8, joins in 0..3_u8, at in 0..MAX_DELAY) {
        let mut cluster = Cluster::new(MAX_DELAY, &format!("a:{tasks} b:{tasks} c:1 d:2 e:1 f:0"));
        (0..members).for_each(|member| cluster.join(&format!("w{member}")));
        cluster.settle();
        let lost = cluster.leave("w1");
        prop_assume!(!lost.is_empty());
        cluster.rebalance();
        for newcomer in 0..joins {
            cluster.join(&format!("x{newcomer}"));
        }
        cluster.pass(i64::from(at));
        cluster.rebalance();
        prop_assert!(cluster.is_quiet());
        prop_assert_eq!(cluster.delay(), i64::from(MAX_DELAY - at));
        cluster.pass(cluster.delay());
        cluster.rebalance();
        let all: Work = cluster.held.values().collect();
        let revoked: Work = cluster.moves.values().map(|moves| &moves.revoked).collect();
        prop_assert!(lost.without(&[&all]).is_empty() && !revoked.intersects(&lost), "the lost work starts again at once");
        if joins == 1 {
            prop_assert!(lost.without(&[&cluster.held["x0"]]).is_empty(), "and whoever came back has it");
        }
    }
}
