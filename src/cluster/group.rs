//! A member of a Connect group: joins it, takes what the leader gives, leads when it is elected (upstream's `WorkerCoordinator`, and what
//! `DistributedHerder` does about assignments).
//!
//! ```text
//!      ┌────────────────────────────────────────────────────────────────────────────┐
//!      ▼                                                                            │ a rebalance, a delay that is over, a request of the herder
//!   join ─► (leader: assign) ─► sync ─► end what is not ours ─► read configs ─► run the rest ─► stay
//! ```
//! The herder is handed one event at a time and acknowledges it, so that what is revoked has ended before the member joins again and others get it. Heartbeats
//! go on meanwhile ([`super::pulse`]).
//!
//! Nothing runs on two workers because one of them is cut off: a member that could not tell the coordinator that it is alive gives up everything one
//! heartbeat interval before the coordinator may give it to others, whether or not it hears of that. (Upstream's workers give up after one heartbeat
//! interval without a coordinator, and after a pause of the process only when they are told.)

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Work;
use super::assignor::{Assignor, Round};
use super::broker::{Backoff, invalid, millis};
use super::coordinator::{Coordinator, Joined, Member, Refusal};
use super::membership::{Acknowledge, Configs, Configured, Event, Leadership, Membership, Standing};
use super::protocol::{Assignment, Metadata, Protocol};
use super::pulse::{Pulse, Verdict};
use crate::clock::Clock;
use crate::kafka::{KafkaError, KafkaErrorKind, Props};

/// How often reading the config topic is tried again by a member that keeps its work meanwhile.
const UNSYNCED_TRIES: u32 = 5;
/// The longest time between two heartbeats, where `heartbeat.interval.ms` is longer: members hear by their heartbeats that another one is lost and that they are to
/// join, and what the lost one did waits for the last of them.
const MOST_BETWEEN_BEATS: Duration = Duration::from_secs(1);
/// How often members join again at once because they have read different amounts of the config topic; after that they take their time.
const MISMATCHES: u32 = 3;

/// What a member of a group is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where this worker's REST API is, with a `/` at the end.
    pub url: String,
    /// `connect.protocol`.
    pub protocol: Protocol,
    /// `session.timeout.ms`: how long the coordinator waits for a heartbeat.
    pub session_timeout: Duration,
    /// `rebalance.timeout.ms`: how long members may take to end what they run.
    pub rebalance_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `scheduled.rebalance.max.delay.ms`: how long the work of a lost member waits for it.
    pub max_delay: Duration,
    /// `worker.sync.timeout.ms`: how long reading the config topic may take.
    pub sync_timeout: Duration,
    /// `worker.unsync.backoff.ms`: how long a member that could not read it stays away.
    pub unsync_backoff: Duration,
    /// Between tries.
    pub backoff: Backoff,
}

impl Settings {
    /// From a worker's properties.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] names the property.
    pub fn from_props(props: &Props, url: &str) -> Result<Self, KafkaError> {
        let protocol = props.get("connect.protocol").map_or("sessioned", |value| value.trim());
        let known = Protocol::from_setting(protocol).ok_or_else(|| invalid("connect.protocol", protocol, "give eager, compatible or sessioned"))?;
        let settings = Self {
            url: url.to_owned(),
            protocol: known,
            session_timeout: millis(props, "session.timeout.ms", 10_000)?,
            rebalance_timeout: millis(props, "rebalance.timeout.ms", 60_000)?,
            heartbeat_interval: millis(props, "heartbeat.interval.ms", 3_000)?,
            max_delay: millis(props, "scheduled.rebalance.max.delay.ms", 300_000)?,
            sync_timeout: millis(props, "worker.sync.timeout.ms", 3_000)?,
            unsync_backoff: millis(props, "worker.unsync.backoff.ms", 300_000)?,
            backoff: Backoff { first: millis(props, "retry.backoff.ms", 100)?, most: millis(props, "retry.backoff.max.ms", 1_000)? },
        };
        if settings.heartbeat_interval >= settings.session_timeout {
            let value = settings.heartbeat_interval.as_millis().to_string();
            return Err(invalid("heartbeat.interval.ms", &value, "it must be less than session.timeout.ms, better a third of it"));
        }
        Ok(settings)
    }

    /// How long after its last heartbeat a member may be sure that nobody else has its work.
    fn lease(&self) -> Duration {
        self.session_timeout.saturating_sub(self.heartbeat_interval)
    }
}

/// The herder's end of a member.
#[derive(Debug)]
pub struct Group {
    events: mpsc::Receiver<Event>,
    wishes: watch::Sender<u64>,
    leave: mpsc::Sender<oneshot::Sender<()>>,
    standing: watch::Receiver<Standing>,
    _task: tokio_util::task::AbortOnDropHandle<()>,
}

impl Group {
    /// Begins to join. When this is dropped without [`Membership::leave`], the group finds out after the session timeout.
    #[must_use]
    pub fn join(settings: Settings, coordinator: Arc<dyn Coordinator>, configs: Arc<dyn Configs>, clock: Clock) -> Self {
        let (events, taken) = mpsc::channel(1);
        let (leave, leaves) = mpsc::channel(1);
        let (wishes, wished) = watch::channel(0);
        let standing = watch::Sender::new(Standing { generation: -1, rebalancing: true, ..Standing::default() });
        let known = standing.subscribe();
        let patience = settings.lease().saturating_sub(settings.heartbeat_interval).max(settings.heartbeat_interval);
        let pulse = Pulse::start(Arc::clone(&coordinator), settings.heartbeat_interval.min(MOST_BETWEEN_BEATS), patience, settings.backoff);
        let assignor = Assignor::new(u32::try_from(settings.max_delay.as_millis()).unwrap_or(u32::MAX));
        let (own, tries) = (Own { generation: -1, ..Own::default() }, Tries::default());
        let life = Life { settings, coordinator, configs, clock, events, wished, leaves, standing, pulse, assignor, own, tries };
        let task = tokio::spawn(life.run());
        Self { events: taken, wishes, leave, standing: known, _task: tokio_util::task::AbortOnDropHandle::new(task) }
    }
}

#[async_trait]
impl Membership for Group {
    async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    fn rejoin(&self, reason: &str) {
        tracing::debug!(reason, "asking for a rebalance");
        self.wishes.send_modify(|wishes| *wishes += 1);
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    async fn leave(&mut self) {
        let (done, left) = oneshot::channel();
        // Events that were not taken would keep the member waiting.
        self.events.close();
        if self.leave.send(done).await.is_ok() {
            left.await.ok();
        }
    }
}

/// Why a round ended.
enum End {
    /// Join again.
    Again,
    /// Join again after a while: something could not be reached.
    Later(KafkaError),
    /// Others may have what runs here, or get it soon: everything must end.
    Lost(&'static str),
    /// The herder asks to leave, or is gone.
    Leave(Option<oneshot::Sender<()>>),
    /// A person must mend something.
    Failed(KafkaError),
}

/// What a member has.
#[derive(Debug, Default)]
struct Own {
    /// Its id.
    id: String,
    /// What was last agreed on.
    protocol: Option<Protocol>,
    /// What it says of itself when it joins.
    allocation: Option<Assignment>,
    /// What the herder was told to run.
    running: Work,
    /// The last generation that was completed.
    generation: i32,
    /// Until when it keeps its work although it has left the group.
    excused_until: Option<Instant>,
    /// When it is to join again without further reason.
    rejoin_at: Option<Instant>,
}

/// How often in succession something did not come through.
#[derive(Debug, Default)]
struct Tries {
    /// Joining.
    joining: u32,
    /// Reading the config topic.
    unsynced: u32,
    /// Having read as much of it as the leader.
    mismatched: u32,
}

/// The member's task.
struct Life {
    settings: Settings,
    coordinator: Arc<dyn Coordinator>,
    configs: Arc<dyn Configs>,
    clock: Clock,
    events: mpsc::Sender<Event>,
    /// Counts the herder's wishes for a rebalance.
    wished: watch::Receiver<u64>,
    leaves: mpsc::Receiver<oneshot::Sender<()>>,
    standing: watch::Sender<Standing>,
    pulse: Pulse,
    assignor: Assignor,
    own: Own,
    tries: Tries,
}

/// What ends a wait early, beside trouble.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Nothing: the member is joining already.
    Joined,
    /// A rebalance, or a wish for one.
    Rebalance,
}

impl Life {
    async fn run(mut self) {
        loop {
            let Err(end) = self.round().await else { continue };
            let end = match end {
                End::Lost(why) => self.lose(why).await.err(),
                other => Some(other),
            };
            match end {
                None | Some(End::Again | End::Lost(_)) => {}
                Some(End::Later(error)) => {
                    tracing::info!(%error, "not a member of the group at the moment; trying again");
                    self.standing.send_modify(|standing| standing.trouble = Some(Arc::new(error)));
                    let wait = sleep(self.settings.backoff.before(self.tries.joining));
                    self.tries.joining += 1;
                    if let Err(End::Leave(done)) = self.meanwhile(wait, Until::Joined).await {
                        return self.leave(done).await;
                    }
                }
                Some(End::Leave(done)) => return self.leave(done).await,
                Some(End::Failed(error)) => return self.fail(error).await,
            }
        }
    }

    /// From one rebalance to the next.
    async fn round(&mut self) -> Result<(), End> {
        self.standing.send_modify(|standing| (standing.rebalancing, standing.leadership) = (true, None));
        if self.own.protocol == Some(Protocol::Eager) {
            let all = std::mem::take(&mut self.own.running);
            self.revoke(all, false).await?;
            self.own.allocation = None;
        }
        let (joined, configured) = self.join().await?;
        let (assignment, leadership) = self.sync(&joined, configured).await?;
        self.tries.joining = 0;
        self.take(&joined.member, assignment, leadership).await?;
        self.stay().await
    }

    async fn join(&mut self) -> Result<(Joined, Configured), End> {
        self.own.rejoin_at = None;
        self.wished.mark_unchanged(); // what was wished until now is in the metadata
        let configured = self.configs.configured();
        let metadata = Metadata { url: self.settings.url.clone(), config_offset: configured.offset, allocation: self.own.allocation.clone() };
        let (coordinator, id, offers) = (Arc::clone(&self.coordinator), self.own.id.clone(), metadata.offers(self.settings.protocol));
        let joined = self.meanwhile(async move { coordinator.join(&id, offers).await }, Until::Joined).await?;
        let joined = joined.map_err(|refusal| self.end(refusal))?;
        self.own.id.clone_from(&joined.member.id);
        self.pulse.of(Some(joined.member.clone()));
        Ok((joined, configured))
    }

    async fn sync(&mut self, joined: &Joined, configured: Configured) -> Result<(Assignment, Option<Leadership>), End> {
        let foreign = |what: String| End::Failed(KafkaError::new(KafkaErrorKind::Config, format!("{what}; give the workers a group.id of their own")));
        let protocol = Protocol::from_wire_name(&joined.protocol).ok_or_else(|| foreign(format!("the group agrees by the protocol {:?}", joined.protocol)))?;
        self.own.protocol = Some(protocol);
        let (mut given, mut leadership) = (Vec::new(), None);
        if joined.leader == joined.member.id {
            let members = joined.members.iter().map(|(id, bytes)| Metadata::parse(bytes).map(|metadata| (id.clone(), metadata)));
            let members: BTreeMap<_, _> = members.collect::<Result<_, _>>().map_err(|why| foreign(why.to_string()))?;
            let led = self.lead(joined, protocol, &members, configured).await?;
            given = led.shares.assignments.iter().map(|(member, assignment)| (member.clone(), assignment.to_bytes(protocol))).collect();
            leadership = Some(led);
        }
        let (coordinator, member, sent) = (Arc::clone(&self.coordinator), joined.member.clone(), Instant::now());
        let answer = self.meanwhile(async move { coordinator.sync(&member, given).await }, Until::Joined).await?;
        let bytes = answer.map_err(|refusal| self.end(refusal))?;
        self.pulse.seen(&joined.member, sent);
        let unread = |why| End::Later(KafkaError::new(KafkaErrorKind::Transient, format!("what the leader {} assigns: {why}", joined.leader)));
        Ok((Assignment::parse(&bytes).map_err(unread)?, leadership))
    }

    /// What the leader does: whoever has read less of the config topic than another member reads on before it decides.
    async fn lead(&mut self, joined: &Joined, protocol: Protocol, members: &BTreeMap<String, Metadata>, mut configured: Configured) -> Result<Leadership, End> {
        let furthest = members.values().map(|member| member.config_offset).max().unwrap_or(-1);
        if configured.offset < furthest {
            let read = self.catch_up().await?;
            if let Err(error) = read {
                tracing::warn!(%error, "the leader could not read the config topic to its end; all members join again");
            }
            configured = self.configs.configured();
        }
        let round = Round {
            protocol,
            leader: &joined.leader,
            members,
            configured: &configured.work,
            config_offset: configured.offset,
            last_completed_generation: self.own.generation,
            generation: joined.member.generation,
            now_ms: self.clock.now().timestamp_millis(),
        };
        let shares = self.assignor.assign(&round);
        Ok(Leadership { urls: members.iter().map(|(id, metadata)| (id.clone(), metadata.url.clone())).collect(), shares })
    }

    /// Carries out an assignment: ends what is not ours any more, and runs the rest once everything it needs is known.
    async fn take(&mut self, member: &Member, told: Assignment, leadership: Option<Leadership>) -> Result<(), End> {
        let (failed, offset, revoked) = (told.failed(), told.config_offset, told.revoked.clone());
        let has = if self.own.protocol == Some(Protocol::Eager) { told } else { told.on_top_of(self.own.allocation.as_ref()) };
        let delay = u64::try_from(has.delay_ms).ok().filter(|delay| *delay > 0).map(Duration::from_millis);
        self.own.rejoin_at = delay.map(|delay| Instant::now() + delay);
        (self.own.generation, self.own.excused_until) = (member.generation, None);
        self.standing.send_modify(|standing| {
            standing.member.clone_from(&member.id);
            standing.generation = member.generation;
            standing.protocol = self.own.protocol;
            standing.leader.clone_from(&has.leader);
            standing.leader_url.clone_from(&has.leader_url);
            standing.rebalances += 1;
            standing.trouble = None;
        });
        tracing::info!(
            generation = member.generation,
            leader = has.leader_url,
            connectors = has.assigned.connectors.len(),
            tasks = has.assigned.tasks.len(),
            "assigned"
        );
        let gone = self.own.running.without(&[&has.assigned]);
        self.own.running.remove(&gone);
        let work = has.assigned.clone();
        self.own.allocation = Some(Assignment { revoked: Work::default(), ..has });
        self.revoke(gone, false).await?;
        if failed || self.configs.configured().offset < offset {
            self.synchronise(failed, offset).await?;
        }
        if revoked.is_empty() {
            let leadership = leadership.map(Arc::new);
            self.standing.send_modify(|standing| (standing.rebalancing, standing.leadership) = (false, leadership));
        }
        self.own.running.clone_from(&work);
        self.hand_over(|done| Event::Assigned { work, generation: member.generation, done }).await?;
        if revoked.is_empty() { Ok(()) } else { Err(End::Again) } // others get it in the next round
    }

    /// Reads the config topic, because the leader has read more of it than this member, or less than others.
    async fn synchronise(&mut self, failed: bool, offset: i64) -> Result<(), End> {
        if let Err(error) = self.catch_up().await? {
            return Err(self.unsynced(&error).await);
        }
        self.tries.unsynced = 0;
        let read = self.configs.configured().offset;
        if !failed && read == offset {
            self.tries.mismatched = 0;
            return Ok(());
        }
        // Where it has become longer meanwhile, the assignment says nothing about what is new.
        self.tries.mismatched += 1;
        let message = format!("this worker has read the config topic to offset {read}, the assignment is for offset {offset}");
        Err(if self.tries.mismatched < MISMATCHES { End::Again } else { End::Later(KafkaError::new(KafkaErrorKind::Transient, message)) })
    }

    async fn catch_up(&mut self) -> Result<Result<(), KafkaError>, End> {
        let (configs, patience) = (Arc::clone(&self.configs), self.settings.sync_timeout);
        self.meanwhile(async move { timeout(patience, configs.catch_up(patience)).await }, Until::Joined).await.map(|read| {
            read.unwrap_or_else(|_| Err(KafkaError::new(KafkaErrorKind::Transient, format!("the config topic was not read in {} ms", patience.as_millis()))))
        })
    }

    /// Leaves the group for a while, because the config topic cannot be read; what runs goes on for the first few times.
    async fn unsynced(&mut self, error: &KafkaError) -> End {
        tracing::warn!(%error, "the config topic cannot be read to the end that the assignment was made for; leaving the group for a while");
        self.standing.send_modify(|standing| standing.trouble = Some(Arc::new(error.clone())));
        self.part().await;
        let mut wait = self.settings.unsync_backoff;
        if self.own.protocol != Some(Protocol::Eager) {
            wait = self.settings.max_delay / 10 / (UNSYNCED_TRIES - self.tries.unsynced.min(UNSYNCED_TRIES - 1));
            self.tries.unsynced += 1;
            // The leader keeps for `max_delay` what a member had that left.
            if self.tries.unsynced > UNSYNCED_TRIES || wait.is_zero() {
                self.tries.unsynced = 0;
                return End::Lost("the config topic cannot be read");
            }
            self.own.excused_until = Some(Instant::now() + wait + self.settings.lease());
        }
        match self.meanwhile(sleep(wait), Until::Joined).await {
            Ok(()) => End::Again,
            Err(end) => end,
        }
    }

    /// Until there is a reason to join again.
    async fn stay(&mut self) -> Result<(), End> {
        self.hear(Until::Rebalance)?; // it may have come while something else was waited for
        let at = self.own.rejoin_at;
        let delay = async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        self.meanwhile(delay, Until::Rebalance).await?;
        Err(End::Again)
    }

    /// Waits for `what`, and for everything that may end the wait.
    async fn meanwhile<T>(&mut self, what: impl Future<Output = T>, until: Until) -> Result<T, End> {
        tokio::pin!(what);
        loop {
            let seen = self.pulse.changes.borrow().seen;
            let lease = self.own.excused_until.unwrap_or(seen).max(seen + self.settings.lease());
            tokio::select! {
                biased;
                leave = self.leaves.recv() => return Err(End::Leave(leave)),
                wished = self.wished.changed(), if until == Until::Rebalance => return Err(if wished.is_ok() { End::Again } else { End::Leave(None) }),
                changed = self.pulse.changes.changed() => match changed {
                    Ok(()) => self.hear(until)?,
                    Err(_) => return Err(End::Leave(None)),
                },
                () = sleep_until(lease), if !self.own.running.is_empty() => {
                    return Err(End::Lost("the group's coordinator has not answered for too long"));
                }
                out = &mut what => return Ok(out),
            }
        }
    }

    /// What the last heartbeat means.
    fn hear(&mut self, until: Until) -> Result<(), End> {
        let beat = self.pulse.changes.borrow_and_update().clone();
        let is_present = beat.member.as_ref().is_some_and(|member| member.id == self.own.id);
        let is_current = beat.member.as_ref().is_some_and(|member| member.generation == self.own.generation);
        match beat.verdict {
            _ if !is_present => Ok(()),
            Verdict::Unknown => {
                self.forget_id();
                Err(End::Lost("the coordinator does not know this member any more"))
            }
            Verdict::Refused(error) => Err(End::Failed(error)),
            Verdict::Silent(error) => {
                self.standing.send_modify(|standing| standing.trouble = Some(Arc::new(error)));
                Ok(())
            }
            // While joining, the generation may be over because the next one is complete, and its answer on its way.
            Verdict::Join | Verdict::OtherGeneration if until == Until::Rebalance && is_current => Err(End::Again),
            Verdict::Alive | Verdict::Join | Verdict::OtherGeneration => {
                if self.standing.borrow().trouble.is_some() {
                    self.standing.send_modify(|standing| standing.trouble = None);
                }
                Ok(())
            }
        }
    }

    /// What to do about a refusal to join or to give an assignment.
    fn end(&mut self, refusal: Refusal) -> End {
        match refusal {
            Refusal::NeedsId(id) => {
                self.own.id = id;
                End::Again
            }
            Refusal::UnknownMember => {
                self.forget_id();
                End::Lost("the coordinator does not know this member")
            }
            Refusal::IllegalGeneration | Refusal::Rebalancing => End::Again,
            Refusal::Unavailable(error) => End::Later(error),
            Refusal::Refused(error) => End::Failed(error),
        }
    }

    /// Ends everything, because others may have it. What it had is claimed again where the leader still keeps it for this member.
    async fn lose(&mut self, why: &str) -> Result<(), End> {
        let all = std::mem::take(&mut self.own.running);
        if !all.is_empty() {
            tracing::warn!(why, connectors = all.connectors.len(), tasks = all.tasks.len(), "not a member of the group any more: ending all that runs here");
        }
        let kept_for = self.settings.session_timeout + self.settings.max_delay;
        if self.pulse.changes.borrow().seen.elapsed() >= kept_for {
            self.own.allocation = None;
        }
        self.revoke(all, true).await
    }

    fn forget_id(&mut self) {
        self.own.id.clear();
        self.pulse.of(None);
        self.standing.send_modify(|standing| standing.member.clear());
    }

    async fn revoke(&mut self, work: Work, lost: bool) -> Result<(), End> {
        if work.is_empty() { Ok(()) } else { self.hand_over(|done| Event::Revoked { work, lost, done }).await }
    }

    /// Gives the herder an event and waits until it is done with it. A herder that takes longer than the rebalance timeout costs the membership, so that
    /// others go on without this worker.
    async fn hand_over(&mut self, event: impl FnOnce(Acknowledge) -> Event) -> Result<(), End> {
        let (done, taken) = Acknowledge::pair();
        let (events, event) = (self.events.clone(), event(done));
        let handing = async move {
            if events.send(event).await.is_ok() {
                taken.await.ok();
            }
        };
        tokio::pin!(handing);
        let late = sleep(self.settings.rebalance_timeout);
        tokio::pin!(late);
        let mut is_late = false;
        loop {
            tokio::select! {
                () = &mut handing => return if is_late { Err(End::Lost("this worker took longer than rebalance.timeout.ms")) } else { Ok(()) },
                leave = self.leaves.recv() => return Err(End::Leave(leave)),
                () = &mut late, if !is_late => {
                    is_late = true;
                    tracing::warn!(timeout_ms = self.settings.rebalance_timeout.as_millis(), "connectors or tasks take too long to start or end; leaving the group until they have");
                    self.part().await;
                }
            }
        }
    }

    /// Tells the coordinator that this member is none any more.
    async fn part(&mut self) {
        let id = std::mem::take(&mut self.own.id);
        self.forget_id();
        if !id.is_empty()
            && let Err(refusal) = self.coordinator.leave(&id).await
        {
            tracing::debug!(?refusal, "the group could not be told that this member leaves; it finds out after session.timeout.ms");
        }
    }

    async fn leave(mut self, done: Option<oneshot::Sender<()>>) {
        // Whoever is dropped without a word is as good as killed.
        if done.is_some() {
            self.part().await;
            tracing::info!("left the group");
        }
    }

    async fn fail(mut self, error: KafkaError) {
        let all = std::mem::take(&mut self.own.running);
        self.standing.send_modify(|standing| standing.trouble = Some(Arc::new(error.clone())));
        self.part().await;
        if self.revoke(all, true).await.is_ok() {
            self.events.send(Event::Failed(error)).await.ok();
        }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("own", &self.own).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
