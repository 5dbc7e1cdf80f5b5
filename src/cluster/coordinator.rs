//! A group's coordinator: which broker it is, and the four requests that a member sends to it.
//!
//! [`Coordinator`] is the seam; [`Broker`] asks real ones. What a coordinator refuses comes back by what the member does about it, not by Kafka's error code.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest};
use kafka_protocol::protocol::StrBytes;

use super::broker::connection::{Asked, refused};
use super::broker::{Address, Lane, Network, transient};
use super::protocol::PROTOCOL_TYPE;
use crate::kafka::{KafkaError, KafkaErrorKind};

/// What a member asks of its coordinator.
#[async_trait]
pub trait Coordinator: fmt::Debug + Send + Sync {
    /// Joins, or joins again; answered when all members have, or the time for it is up.
    ///
    /// # Errors
    /// [`Refusal`].
    async fn join(&self, member: &str, offers: Vec<(&'static str, Vec<u8>)>) -> Result<Joined, Refusal>;

    /// Brings what the leader has given to whom (others bring nothing), and takes away what one is given.
    ///
    /// # Errors
    /// [`Refusal`].
    async fn sync(&self, member: &Member, given: Vec<(String, Vec<u8>)>) -> Result<Vec<u8>, Refusal>;

    /// Says that one is alive.
    ///
    /// # Errors
    /// [`Refusal`].
    async fn heartbeat(&self, member: &Member, patience: Duration) -> Result<(), Refusal>;

    /// Leaves.
    ///
    /// # Errors
    /// [`Refusal`].
    async fn leave(&self, member: &str) -> Result<(), Refusal>;
}

/// A member of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id, which the coordinator has given it.
    pub id: String,
    /// The generation.
    pub generation: i32,
}

/// A generation that one has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Oneself in it.
    pub member: Member,
    /// The leader's id.
    pub leader: String,
    /// The protocol that all members speak.
    pub protocol: String,
    /// For the leader: every member's id and metadata.
    pub members: Vec<(String, Bytes)>,
}

/// Why a coordinator did not do what it was asked, by what to do about it.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// Join again, under this id.
    NeedsId(String),
    /// The id is not known (any more): join as a new member.
    UnknownMember,
    /// The generation is over: join again.
    IllegalGeneration,
    /// The members are joining: join, too.
    Rebalancing,
    /// Try again.
    Unavailable(KafkaError),
    /// Trying again does not help.
    Refused(KafkaError),
}

/// The coordinator that Kafka's brokers have for a group.
pub struct Broker {
    group: String,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    network: Arc<Network>,
    /// Finds the coordinator.
    finder: Lane,
    /// Carries what waits for other members.
    joins: Lane,
    /// Carries heartbeats, which do not wait behind it.
    beats: Lane,
    found: Mutex<Option<Address>>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("group", &self.group).field("found", &self.found).finish_non_exhaustive()
    }
}

impl Broker {
    /// Of that group; nobody is asked yet.
    #[must_use]
    pub fn new(network: &Arc<Network>, group: &str, session_timeout: Duration, rebalance_timeout: Duration) -> Self {
        let lane = || Lane::new(network);
        let (finder, joins, beats) = (lane(), lane(), lane());
        Self { group: group.to_owned(), session_timeout, rebalance_timeout, network: Arc::clone(network), finder, joins, beats, found: Mutex::new(None) }
    }

    /// Where it is; asks for that if it is not known.
    async fn address(&self) -> Result<Address, Refusal> {
        if let Some(known) = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(known);
        }
        let answer = self.finder.ask_any(&FindCoordinatorRequest::default().with_key(self.text())).await.map_err(by_kind)?;
        if let Some(error) = answer.error_code.err() {
            return Err(self.refusal(error, "looking for the coordinator"));
        }
        let Some(address) = Address::told(&answer.host, answer.port) else {
            return Err(Refusal::Unavailable(transient(format!("group {} has no coordinator at the moment", self.group))));
        };
        tracing::debug!(group = self.group, coordinator = %address, "coordinator found");
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(address.clone());
        Ok(address)
    }

    async fn ask<R: Asked>(&self, lane: &Lane, request: &R, patience: Duration) -> Result<R::Response, Refusal> {
        let address = self.address().await?;
        lane.ask(&address, request, patience).await.map_err(|error| {
            self.forget(&address);
            by_kind(error)
        })
    }

    /// It is looked for anew, unless that has been done already.
    fn forget(&self, address: &Address) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.as_ref() == Some(address) {
            *found = None;
        }
    }

    fn text(&self) -> StrBytes {
        StrBytes::from(self.group.clone())
    }

    /// What to do about a code.
    fn check(&self, code: i16, doing: &str) -> Result<(), Refusal> {
        code.err().map_or(Ok(()), |error| Err(self.refusal(error, doing)))
    }

    fn refusal(&self, error: ResponseError, doing: &str) -> Refusal {
        match error {
            ResponseError::UnknownMemberId => Refusal::UnknownMember,
            ResponseError::IllegalGeneration => Refusal::IllegalGeneration,
            ResponseError::RebalanceInProgress => Refusal::Rebalancing,
            ResponseError::NotCoordinator | ResponseError::CoordinatorNotAvailable => {
                *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Refusal::Unavailable(refused(error, &format!("{doing} of group {}", self.group)))
            }
            other => by_kind(refused(other, &format!("{doing} of group {}", self.group))),
        }
    }
}

/// What a person must mend does not heal by itself.
fn by_kind(error: KafkaError) -> Refusal {
    if error.kind == KafkaErrorKind::Transient { Refusal::Unavailable(error) } else { Refusal::Refused(error) }
}

fn ms(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

#[async_trait]
impl Coordinator for Broker {
    async fn join(&self, member: &str, offers: Vec<(&'static str, Vec<u8>)>) -> Result<Joined, Refusal> {
        let offer = |(name, metadata): (&'static str, Vec<u8>)| {
            JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str(name)).with_metadata(Bytes::from(metadata))
        };
        let request = JoinGroupRequest::default()
            .with_group_id(self.text().into())
            .with_session_timeout_ms(ms(self.session_timeout))
            .with_rebalance_timeout_ms(ms(self.rebalance_timeout))
            .with_member_id(StrBytes::from(member.to_owned()))
            .with_protocol_type(StrBytes::from_static_str(PROTOCOL_TYPE))
            .with_protocols(offers.into_iter().map(offer).collect());
        // The answer waits for the other members, for as long as they may take.
        let patience = self.network.request_timeout.max(self.rebalance_timeout + Duration::from_secs(5));
        let answer = self.ask(&self.joins, &request, patience).await?;
        if answer.error_code.err() == Some(ResponseError::MemberIdRequired) {
            return Err(Refusal::NeedsId(answer.member_id.to_string()));
        }
        self.check(answer.error_code, "becoming a member")?;
        Ok(Joined {
            member: Member { id: answer.member_id.to_string(), generation: answer.generation_id },
            leader: answer.leader.to_string(),
            protocol: answer.protocol_name.map(|name| name.to_string()).unwrap_or_default(),
            members: answer.members.into_iter().map(|member| (member.member_id.to_string(), member.metadata)).collect(),
        })
    }

    async fn sync(&self, member: &Member, given: Vec<(String, Vec<u8>)>) -> Result<Vec<u8>, Refusal> {
        let given = given
            .into_iter()
            .map(|(member, assignment)| SyncGroupRequestAssignment::default().with_member_id(StrBytes::from(member)).with_assignment(Bytes::from(assignment)));
        let request = SyncGroupRequest::default()
            .with_group_id(self.text().into())
            .with_generation_id(member.generation)
            .with_member_id(StrBytes::from(member.id.clone()))
            .with_assignments(given.collect());
        let patience = self.network.request_timeout.max(self.rebalance_timeout + Duration::from_secs(5));
        let answer = self.ask(&self.joins, &request, patience).await?;
        self.check(answer.error_code, "taking an assignment")?;
        Ok(answer.assignment.to_vec())
    }

    async fn heartbeat(&self, member: &Member, patience: Duration) -> Result<(), Refusal> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.text().into())
            .with_generation_id(member.generation)
            .with_member_id(StrBytes::from(member.id.clone()));
        let answer = self.ask(&self.beats, &request, patience).await?;
        self.check(answer.error_code, "staying a member")
    }

    async fn leave(&self, member: &str) -> Result<(), Refusal> {
        let request = LeaveGroupRequest::default().with_group_id(self.text().into()).with_member_id(StrBytes::from(member.to_owned()));
        let answer = self.ask(&self.beats, &request, self.session_timeout.min(self.network.request_timeout)).await?;
        self.check(answer.error_code, "leaving")
    }
}
