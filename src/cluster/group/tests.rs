//! A member against a coordinator that follows a script, in virtual time.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;

/// What the coordinator does when the member joins next.
enum Join {
    Refuse(Refusal),
    /// The member leads; the others' metadata.
    Lead(i32, Vec<(&'static str, Metadata)>),
    /// Somebody else leads and gives this.
    Follow(i32, Assignment),
}

/// A coordinator with a script. When the script is at its end, joining waits for ever.
#[derive(Default)]
struct Script {
    joins: Mutex<VecDeque<Join>>,
    protocol: &'static str,
    /// What the leader's last sync was to be answered with; `None` = what it gave itself.
    gives: Mutex<Option<Assignment>>,
    /// What heartbeats are answered with, if not well.
    beats: Mutex<Option<Refusal>>,
    /// What was asked, without heartbeats.
    asked: Mutex<Vec<String>>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    fn new(joins: Vec<Join>) -> Arc<Self> {
        Self::agreeing_by("sessioned", joins)
    }

    fn agreeing_by(protocol: &'static str, joins: Vec<Join>) -> Arc<Self> {
        Arc::new(Self { joins: Mutex::new(joins.into()), protocol, ..Self::default() })
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("free"))
    }

    fn beats(&self, refusal: Option<Refusal>) {
        *self.beats.lock().expect("free") = refusal;
    }
}

#[async_trait]
impl Coordinator for Script {
    async fn join(&self, member: &str, offers: Vec<(&'static str, Vec<u8>)>) -> Result<Joined, Refusal> {
        let metadata = offers.first().expect("an offer").1.clone();
        let says = Metadata::parse(&metadata).expect("metadata");
        let has = says.allocation.map_or("nothing".to_owned(), |has| text(&has.assigned));
        self.asked.lock().expect("free").push(format!("{member:?} joins at {} with {has}", says.config_offset));
        let next = self.joins.lock().expect("free").pop_front();
        let joined = |generation, leader: &str, members| Joined {
            member: Member { id: "me".to_owned(), generation },
            leader: leader.to_owned(),
            protocol: self.protocol.to_owned(),
            members,
        };
        match next {
            Some(Join::Refuse(refusal)) => Err(refusal),
            Some(Join::Lead(generation, others)) => {
                let others = others.into_iter().map(|(id, metadata)| (id.to_owned(), metadata.to_bytes(Protocol::Sessioned).into()));
                Ok(joined(generation, "me", others.chain([("me".to_owned(), metadata.into())]).collect()))
            }
            Some(Join::Follow(generation, gives)) => {
                *self.gives.lock().expect("free") = Some(gives);
                Ok(joined(generation, "leader", Vec::new()))
            }
            None => std::future::pending().await,
        }
    }

    async fn sync(&self, member: &Member, given: Vec<(String, Vec<u8>)>) -> Result<Vec<u8>, Refusal> {
        for (member, assignment) in &given {
            let assignment = Assignment::parse(assignment).expect("an assignment");
            let why = if assignment.failed() { "failed".to_owned() } else { text(&assignment.assigned) };
            self.asked.lock().expect("free").push(format!("{member} is given {why}"));
        }
        let gives = self.gives.lock().expect("free").take();
        let own = || given.into_iter().find(|(id, _)| *id == member.id).expect("the leader gives itself something").1;
        Ok(gives.map_or_else(own, |gives| gives.to_bytes(Protocol::Sessioned)))
    }

    async fn heartbeat(&self, _member: &Member, _patience: Duration) -> Result<(), Refusal> {
        self.beats.lock().expect("free").clone().map_or(Ok(()), Err)
    }

    async fn leave(&self, member: &str) -> Result<(), Refusal> {
        self.asked.lock().expect("free").push(format!("{member:?} leaves"));
        Ok(())
    }
}

/// A config topic that has been read to `offset` and is `end` long.
#[derive(Debug)]
struct Topic {
    work: Work,
    offset: Mutex<i64>,
    end: Option<i64>,
}

#[async_trait]
impl Configs for Topic {
    fn configured(&self) -> Configured {
        Configured { offset: *self.offset.lock().expect("free"), work: self.work.clone() }
    }

    async fn catch_up(&self, _patience: Duration) -> Result<(), KafkaError> {
        let unreadable = || KafkaError::new(KafkaErrorKind::Transient, "the config topic has no leader".to_owned());
        *self.offset.lock().expect("free") = self.end.ok_or_else(unreadable)?;
        Ok(())
    }
}

fn text(work: &Work) -> String {
    let connectors = work.connectors.iter().map(ToString::to_string);
    let all: Vec<_> = connectors.chain(work.tasks.iter().map(ToString::to_string)).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" ") }
}

const OFFSET: i64 = 7;

fn gives(assigned: &str, revoked: &str) -> Assignment {
    let (assigned, revoked) = (Work::of(assigned), Work::of(revoked));
    Assignment { leader: "leader".to_owned(), leader_url: "http://leader/".to_owned(), config_offset: OFFSET, assigned, revoked, ..Assignment::default() }
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let props = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Settings::from_props(&props, "http://me/").expect("settings")
}

/// A member; its config topic holds `a` with a task, and `b`.
fn member(script: &Arc<Script>, pairs: &[(&str, &str)], offset: i64, end: Option<i64>) -> Group {
    let topic = Topic { work: Work::of("a b a-0"), offset: Mutex::new(offset), end };
    Group::join(settings(pairs), Arc::clone(script) as Arc<dyn Coordinator>, Arc::new(topic), Clock::system())
}

fn usual(script: &Arc<Script>) -> Group {
    member(script, &[], OFFSET, Some(OFFSET))
}

/// The next event as text; it is acknowledged.
async fn next(group: &mut Group) -> String {
    held(group).await.0
}

/// The same, not acknowledged before the second part is dropped.
async fn held(group: &mut Group) -> (String, Option<Acknowledge>) {
    match timeout(Duration::from_secs(3600), group.next()).await.expect("an event") {
        None => ("over".to_owned(), None),
        Some(Event::Revoked { work, lost, done }) => (format!("{} {}", if lost { "lost" } else { "revoked" }, text(&work)), Some(done)),
        Some(Event::Assigned { work, generation, done }) => (format!("{generation}: {}", text(&work)), Some(done)),
        Some(Event::Failed(error)) => (format!("failed: {error}"), None),
    }
}

/// Lets the member do all that it does at this moment.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_only_member_leads_and_gives_itself_everything() {
    let script = Script::new(vec![Join::Refuse(Refusal::NeedsId("me".to_owned())), Join::Lead(1, Vec::new())]);
    let mut group = usual(&script);
    assert_eq!(next(&mut group).await, "1: a b a-0");
    assert_eq!(script.asked(), [r#""" joins at 7 with nothing"#, r#""me" joins at 7 with nothing"#, "me is given a b a-0"]);
    let standing = group.standing().borrow().clone();
    assert_eq!((standing.member.as_str(), standing.generation, standing.leader_url.as_str(), standing.rebalancing), ("me", 1, "http://me/", false));
    assert_eq!(standing.leadership.and_then(|leads| leads.url_of_task(&super::super::TaskId::new("a", 0)).map(str::to_owned)), Some("http://me/".to_owned()));
}

/// What a lost member did goes on when the last of the others has heard that it is to join, so that nobody waits as long as `heartbeat.interval.ms` may be.
#[tokio::test(start_paused = true)]
async fn a_member_hears_of_a_rebalance_within_a_second_whatever_its_heartbeat_interval() {
    for (interval, within_ms) in [("9000", 1_000), ("3000", 1_000), ("400", 400)] {
        let script = Script::new(vec![Join::Follow(1, gives("a", ""))]);
        let mut group = member(&script, &[("heartbeat.interval.ms", interval)], OFFSET, Some(OFFSET));
        assert_eq!(next(&mut group).await, "1: a");
        settle().await;
        script.asked();
        script.beats(Some(Refusal::Rebalancing));
        sleep(Duration::from_millis(within_ms)).await;
        settle().await;
        assert_eq!(script.asked(), [r#""me" joins at 7 with a"#], "heartbeat.interval.ms={interval}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_revoked_has_ended_before_the_member_joins_again() {
    let script = Script::new(vec![Join::Follow(1, gives("a b", "")), Join::Follow(2, gives("", "b"))]);
    let mut group = usual(&script);
    assert_eq!(next(&mut group).await, "1: a b");
    settle().await;
    script.asked();
    script.beats(Some(Refusal::Rebalancing));
    let (event, done) = held(&mut group).await;
    assert_eq!((event.as_str(), script.asked()), ("revoked b", vec![r#""me" joins at 7 with a b"#.to_owned()]));
    script.beats(None);
    sleep(Duration::from_secs(30)).await;
    assert!(script.asked().is_empty(), "b still runs here, so nobody else may get it");
    drop(done);
    assert_eq!(next(&mut group).await, "2: a");
    settle().await;
    assert_eq!(script.asked(), [r#""me" joins at 7 with a"#], "others get b now");
}

#[tokio::test(start_paused = true)]
async fn eager_members_end_everything_before_they_join() {
    let script = Script::agreeing_by("default", vec![Join::Follow(1, gives("a b", "")), Join::Follow(2, gives("a", ""))]);
    let mut group = usual(&script);
    assert_eq!(next(&mut group).await, "1: a b");
    group.rejoin("a connector is new");
    assert_eq!((next(&mut group).await.as_str(), next(&mut group).await.as_str()), ("revoked a b", "2: a"));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_cut_off_gives_up_before_others_may_start() {
    let script = Script::new(vec![Join::Follow(1, gives("a", ""))]);
    let mut group = usual(&script);
    assert_eq!(next(&mut group).await, "1: a");
    let started = Instant::now();
    script.beats(Some(Refusal::Unavailable(KafkaError::new(KafkaErrorKind::Transient, "no route".to_owned()))));
    assert_eq!(next(&mut group).await, "lost a");
    let waited = started.elapsed();
    assert!(waited > Duration::from_secs(6) && waited < Duration::from_secs(10), "session.timeout.ms is 10 s: {waited:?}");
    settle().await;
    assert_eq!(group.standing().borrow().trouble.as_ref().map(|trouble| trouble.message.clone()), Some("no route".to_owned()));
    assert_eq!(script.asked().last().map(String::as_str), Some(r#""me" joins at 7 with a"#), "the leader may still keep it for this member");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_known_any_more_ends_everything_and_joins_as_a_new_one() {
    // What it had may be with others after session.timeout.ms and the delay; until then the leader keeps it.
    for (delay, pause_s, claims) in [("300000", 20, "a"), ("0", 0, "a"), ("0", 20, "nothing")] {
        let script = Script::new(vec![Join::Follow(1, gives("a", ""))]);
        let mut group = member(&script, &[("scheduled.rebalance.max.delay.ms", delay)], OFFSET, Some(OFFSET));
        assert_eq!(next(&mut group).await, "1: a");
        settle().await;
        script.asked();
        script.beats(Some(Refusal::UnknownMember));
        if pause_s > 0 {
            tokio::time::advance(Duration::from_secs(pause_s)).await; // the process is stopped for that long
        }
        assert_eq!(next(&mut group).await, "lost a");
        settle().await;
        let expected = format!(r#""" joins at 7 with {claims}"#);
        assert_eq!(script.asked().last(), Some(&expected), "{delay} {pause_s}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_herder_that_takes_too_long_costs_the_membership() {
    let script = Script::new(vec![Join::Follow(1, gives("a", "")), Join::Follow(2, gives("", "a"))]);
    let mut group = usual(&script);
    assert_eq!(next(&mut group).await, "1: a");
    group.rejoin("b is gone");
    let (event, done) = held(&mut group).await;
    assert_eq!(event, "revoked a");
    script.asked();
    sleep(Duration::from_secs(59)).await;
    assert!(script.asked().is_empty());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(script.asked(), [r#""me" leaves"#], "rebalance.timeout.ms is 60 s");
    drop(done);
    settle().await;
    assert_eq!(script.asked(), [r#""" joins at 7 with none"#]);
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_before_the_config_topic_is_read_as_far_as_the_leader_has() {
    // The member reads on to the assignment's offset, and starts.
    let script = Script::new(vec![Join::Follow(1, gives("a", ""))]);
    assert_eq!(next(&mut member(&script, &[], 3, Some(OFFSET))).await, "1: a");
    assert_eq!(script.asked().len(), 1);
    // The topic has become longer meanwhile: the assignment says nothing about that.
    let script = Script::new(vec![Join::Follow(1, gives("a", "")), Join::Follow(2, Assignment { config_offset: 9, ..gives("b", "") })]);
    assert_eq!(next(&mut member(&script, &[], 3, Some(9))).await, "2: a b");
    assert_eq!(script.asked(), [r#""" joins at 3 with nothing"#, r#""me" joins at 9 with a"#]);
    // The leader says that it is behind itself: all read on and join again.
    let failed = Assignment { error: super::super::protocol::CONFIG_MISMATCH, ..gives("", "") };
    let script = Script::new(vec![Join::Follow(1, failed), Join::Follow(2, gives("a", ""))]);
    assert_eq!(next(&mut usual(&script)).await, "2: a");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_cannot_read_the_config_topic_leaves_and_gives_up_in_the_end() {
    let again = |generation| Join::Follow(generation, Assignment { config_offset: 9, ..gives("", "") });
    let script = Script::new(std::iter::once(Join::Follow(1, gives("a", ""))).chain((2..9).map(again)).collect());
    let mut group = member(&script, &[], OFFSET, None);
    assert_eq!(next(&mut group).await, "1: a");
    settle().await;
    script.asked();
    let started = Instant::now();
    group.rejoin("b is new");
    assert_eq!(next(&mut group).await, "lost a");
    let waited = started.elapsed().as_secs();
    assert!((60..80).contains(&waited), "a tenth of 300 s divided by 5, 4, 3, 2 and 1: {waited} s");
    assert_eq!(script.asked().iter().filter(|asked| asked.ends_with("leaves")).count(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_has_read_less_reads_on_or_sends_all_to_read() {
    let further = Metadata { url: "http://other/".to_owned(), config_offset: 9, allocation: None };
    for (end, expected) in [(Some(9), ["me is given a a-0", "other is given b"]), (None, ["me is given failed", "other is given failed"])] {
        let script = Script::new(vec![Join::Lead(1, vec![("other", further.clone())])]);
        let _group = member(&script, &[], OFFSET, end);
        settle().await;
        let asked = script.asked();
        assert_eq!(asked.get(1..3), Some(expected.map(str::to_owned).as_slice()), "{asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_ends_with_a_rebalance() {
    let script = Script::new(vec![Join::Follow(1, Assignment { delay_ms: 5_000, ..gives("a", "") })]);
    let mut group = usual(&script);
    assert_eq!(next(&mut group).await, "1: a");
    script.asked();
    sleep(Duration::from_millis(4_900)).await;
    assert!(script.asked().is_empty());
    sleep(Duration::from_millis(200)).await;
    assert_eq!(script.asked(), [r#""me" joins at 7 with a"#]);
}

#[tokio::test(start_paused = true)]
async fn trouble_is_waited_for_and_what_a_person_must_mend_is_reported() {
    let trouble = || Join::Refuse(Refusal::Unavailable(KafkaError::new(KafkaErrorKind::Transient, "not yet".to_owned())));
    let denied = Refusal::Refused(KafkaError::new(KafkaErrorKind::Denied, "no READ on the group".to_owned()));
    let script = Script::new(vec![trouble(), trouble(), Join::Refuse(Refusal::Rebalancing), Join::Follow(1, gives("a", "")), Join::Refuse(denied)]);
    let mut group = usual(&script);
    assert_eq!(next(&mut group).await, "1: a");
    assert!(group.standing().borrow().trouble.is_none());
    group.rejoin("b is new");
    for expected in ["lost a", "failed: no READ on the group", "over"] {
        assert_eq!(next(&mut group).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_is_said_and_being_dropped_is_not() {
    let script = Script::new(vec![Join::Follow(1, gives("a", ""))]);
    let mut group = usual(&script);
    assert_eq!(next(&mut group).await, "1: a");
    script.asked();
    group.leave().await;
    assert_eq!(script.asked(), [r#""me" leaves"#]);
    group.leave().await;
    assert_eq!(next(&mut group).await, "over");
    assert!(script.asked().is_empty());

    let script = Script::new(vec![Join::Follow(1, gives("a", ""))]);
    let mut group = usual(&script);
    assert_eq!(next(&mut group).await, "1: a");
    script.asked();
    drop(group);
    settle().await;
    assert!(script.asked().is_empty());
}

#[test]
fn settings_are_refused_by_name() {
    for (key, value) in [("connect.protocol", "lazy"), ("session.timeout.ms", "ten"), ("heartbeat.interval.ms", "10000")] {
        let props = Props::from([(key.to_owned(), value.to_owned())]);
        let error = Settings::from_props(&props, "http://me/").expect_err("refused");
        assert!(error.kind == KafkaErrorKind::Config && error.message.contains(&format!("{key}={value:?}")), "{error}");
    }
}
