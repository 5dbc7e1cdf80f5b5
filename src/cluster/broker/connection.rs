//! One connection to a broker: frames, correlation ids, and versions of requests that both sides speak.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DeleteGroupsRequest, DescribeConfigsRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    JoinGroupRequest, LeaveGroupRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest, OffsetFetchRequest, ProduceRequest,
    RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::{ResponseError, error::ParseResponseErrorCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::{Address, transient};
use crate::kafka::{KafkaError, KafkaErrorKind};

/// An answer that says it is longer is none.
const LONGEST_ANSWER: usize = 256 << 20;

/// A request that is made here: its name, and the newest version whose fields are filled in.
pub trait Asked: Request<Response: Send> + Send + Sync {
    /// For messages.
    const NAME: &'static str;
    /// The newest version to ask in.
    const NEWEST: i16;
}

macro_rules! asked {
    ($($request:ident $name:literal $newest:literal;)*) => {
        $(impl Asked for $request {
            const NAME: &'static str = $name;
            const NEWEST: i16 = $newest;
        })*
    };
}

asked! {
    ApiVersionsRequest "ApiVersions" 0;
    SaslHandshakeRequest "SaslHandshake" 1;
    SaslAuthenticateRequest "SaslAuthenticate" 1;
    FindCoordinatorRequest "FindCoordinator" 3;
    JoinGroupRequest "JoinGroup" 7;
    SyncGroupRequest "SyncGroup" 4;
    HeartbeatRequest "Heartbeat" 3;
    LeaveGroupRequest "LeaveGroup" 2;
    MetadataRequest "Metadata" 12;
    CreateTopicsRequest "CreateTopics" 7;
    OffsetFetchRequest "OffsetFetch" 7;
    OffsetCommitRequest "OffsetCommit" 8;
    OffsetDeleteRequest "OffsetDelete" 0;
    DeleteGroupsRequest "DeleteGroups" 2;
    DescribeConfigsRequest "DescribeConfigs" 4;
    ListOffsetsRequest "ListOffsets" 5;
    FetchRequest "Fetch" 11;
    ProduceRequest "Produce" 8;
}

/// What bytes come and go through.
pub trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// A connection on which a broker has said what it speaks.
pub struct Connection {
    stream: Box<dyn Stream>,
    peer: Address,
    client_id: StrBytes,
    versions: BTreeMap<i16, (i16, i16)>,
    correlation: i32,
    over: Option<Instant>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Connection {
    /// Asks the broker for the versions that it speaks.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Transient`].
    pub async fn open(stream: Box<dyn Stream>, peer: Address, client_id: &str) -> Result<Self, KafkaError> {
        let mut connection = Self { stream, peer, client_id: StrBytes::from(client_id.to_owned()), versions: BTreeMap::new(), correlation: 0, over: None };
        let answer = connection.exchange(&ApiVersionsRequest::default(), 0).await?;
        if let Some(error) = answer.error_code.err() {
            return Err(connection.broken::<ApiVersionsRequest>(&format!("the broker answers {error}")));
        }
        connection.versions = answer.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(connection)
    }

    /// The broker.
    #[must_use]
    pub fn peer(&self) -> &Address {
        &self.peer
    }

    /// The broker will not take requests after `lifetime`, until one authenticates again: this connection is then over.
    pub(super) fn expires_in(&mut self, lifetime: Duration) {
        self.over = Some(Instant::now() + lifetime);
    }

    /// True when it should not be used any more.
    pub(super) fn is_over(&self) -> bool {
        self.over.is_some_and(|over| Instant::now() >= over)
    }

    /// One request and its answer, in the newest version that both sides speak. After an error the connection is of no use.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Transient`] if the connection breaks, [`KafkaErrorKind::Fatal`] if the broker speaks none of our versions.
    pub async fn ask<R: Asked>(&mut self, request: &R) -> Result<R::Response, KafkaError> {
        let (min, max) = self.versions.get(&R::KEY).copied().unwrap_or((i16::MAX, i16::MIN));
        let version = max.min(R::NEWEST);
        if version < min.max(R::VERSIONS.min) {
            let ours = format!("{} to {}", R::VERSIONS.min, R::NEWEST);
            let theirs = if max < min { "none".to_owned() } else { format!("{min} to {max}") };
            let message = format!("broker {} cannot take {} in versions {ours} (it takes {theirs}); use brokers of Kafka 2.1 to 4", self.peer, R::NAME);
            return Err(KafkaError::new(KafkaErrorKind::Fatal, message));
        }
        self.exchange(request, version).await
    }

    async fn exchange<R: Asked>(&mut self, request: &R, version: i16) -> Result<R::Response, KafkaError> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = frame(request, version, self.correlation, &self.client_id).map_err(|why| self.broken::<R>(&why))?;
        let mut answer = self.carry(&frame).await.map_err(|why| self.broken::<R>(&why.to_string()))?;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version)).map_err(|why| self.broken::<R>(&format!("{why:#}")))?;
        if header.correlation_id != self.correlation {
            return Err(self.broken::<R>(&format!("the answer is to request {}, not {}", header.correlation_id, self.correlation)));
        }
        R::Response::decode(&mut answer, version).map_err(|why| self.broken::<R>(&format!("the answer in version {version} cannot be read: {why:#}")))
    }

    /// Bytes there, bytes back.
    async fn carry(&mut self, frame: &[u8]) -> std::io::Result<Bytes> {
        self.stream.write_all(frame).await?;
        self.stream.flush().await?;
        let len = self.stream.read_i32().await?;
        let Some(len) = usize::try_from(len).ok().filter(|len| *len <= LONGEST_ANSWER) else {
            return Err(std::io::Error::other(format!("an answer of {len} bytes; is this port a Kafka listener of this security.protocol?")));
        };
        let mut answer = BytesMut::zeroed(len);
        self.stream.read_exact(&mut answer).await?;
        Ok(answer.freeze())
    }

    fn broken<R: Asked>(&self, why: &str) -> KafkaError {
        transient(format!("{} to broker {}: {why}", R::NAME, self.peer))
    }
}

/// A request's bytes, its length before it.
fn frame<R: Asked>(request: &R, version: i16, correlation: i32, client_id: &StrBytes) -> Result<BytesMut, String> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(client_id.clone()));
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version)).map_err(|why| format!("{why:#}"))?;
    request.encode(&mut body, version).map_err(|why| format!("{why:#}"))?;
    let mut frame = BytesMut::with_capacity(body.len() + 4);
    frame.put_i32(i32::try_from(body.len()).map_err(|_| format!("{} bytes are too many for one request", body.len()))?);
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// What to do about what a broker answers; `doing` says what was tried.
pub(in crate::cluster) fn refused(error: ResponseError, doing: &str) -> KafkaError {
    let (kind, advice) = match error {
        ResponseError::GroupAuthorizationFailed => (KafkaErrorKind::Denied, "; the principal needs READ on the group"),
        ResponseError::TopicAuthorizationFailed => (KafkaErrorKind::Denied, "; the principal needs READ, WRITE, DESCRIBE and DESCRIBE_CONFIGS on the topic"),
        ResponseError::ClusterAuthorizationFailed => (KafkaErrorKind::Denied, "; the principal needs CREATE on the cluster, or the topics must exist"),
        ResponseError::SaslAuthenticationFailed => (KafkaErrorKind::Denied, "; check sasl.mechanism and sasl.jaas.config"),
        ResponseError::InconsistentGroupProtocol => {
            (KafkaErrorKind::Config, "; group.id is the id of a group of consumers, or of workers of another connect.protocol: use one of its own")
        }
        ResponseError::InvalidSessionTimeout => {
            (KafkaErrorKind::Config, "; session.timeout.ms must lie between group.min.session.timeout.ms and group.max.session.timeout.ms of the brokers")
        }
        ResponseError::InvalidGroupId => (KafkaErrorKind::Config, "; correct group.id"),
        ResponseError::GroupMaxSizeReached => (KafkaErrorKind::Config, "; the group has as many members as group.max.size of the brokers allows"),
        ResponseError::InvalidReplicationFactor => {
            (KafkaErrorKind::Config, "; there are fewer brokers than its replication.factor: start more, or lower it (-1 is the brokers' default)")
        }
        ResponseError::InvalidPartitions | ResponseError::InvalidConfig | ResponseError::PolicyViolation => (KafkaErrorKind::Config, ""),
        ResponseError::UnsupportedVersion | ResponseError::MessageTooLarge | ResponseError::RecordListTooLarge | ResponseError::InvalidRecord => {
            (KafkaErrorKind::Fatal, "")
        }
        _ => (KafkaErrorKind::Transient, ""),
    };
    KafkaError::new(kind, format!("{doing}: {error}{advice}"))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ApiVersionsResponse, HeartbeatResponse, api_versions_response::ApiVersion};
    use tokio::io::DuplexStream;

    use super::*;

    fn peer() -> Address {
        Address::parse("b:1").expect("an address")
    }

    /// What a broker reads: version and correlation id.
    async fn take(stream: &mut DuplexStream) -> (i16, i32) {
        let len = stream.read_i32().await.expect("a frame");
        let mut request = vec![0; usize::try_from(len).expect("a length")];
        stream.read_exact(&mut request).await.expect("a request");
        (i16::from_be_bytes([request[2], request[3]]), i32::from_be_bytes([request[4], request[5], request[6], request[7]]))
    }

    async fn give(stream: &mut DuplexStream, correlation: i32, version: i16, answer: &impl Encodable) {
        let mut body = BytesMut::new();
        body.put_i32(correlation);
        answer.encode(&mut body, version).expect("an answer");
        stream.write_i32(i32::try_from(body.len()).expect("a length")).await.expect("written");
        stream.write_all(&body).await.expect("written");
    }

    /// A broker that takes heartbeats of these versions and answers with correlation ids that are `off`.
    async fn broker(mut stream: DuplexStream, versions: (i16, i16), off: i32) -> i16 {
        let (_, correlation) = take(&mut stream).await;
        let api = ApiVersion::default().with_api_key(HeartbeatRequest::KEY).with_min_version(versions.0).with_max_version(versions.1);
        give(&mut stream, correlation, 0, &ApiVersionsResponse::default().with_api_keys(vec![api])).await;
        let (version, correlation) = take(&mut stream).await;
        give(&mut stream, correlation + off, version, &HeartbeatResponse::default().with_error_code(27)).await;
        version
    }

    async fn heartbeat(versions: (i16, i16), off: i32) -> (Result<i16, KafkaError>, i16) {
        let (ours, theirs) = tokio::io::duplex(4096);
        let asking = async {
            let mut connection = Connection::open(Box::new(ours), peer(), "me").await?;
            connection.ask(&HeartbeatRequest::default()).await.map(|answer| answer.error_code)
        };
        tokio::join!(asking, broker(theirs, versions, off))
    }

    #[tokio::test]
    async fn the_newest_version_that_both_speak_is_used() {
        for (versions, expected) in [((0, 2), 2), ((0, 9), HeartbeatRequest::NEWEST), ((1, 1), 1)] {
            let (answer, version) = heartbeat(versions, 0).await;
            assert_eq!((answer.expect("an answer"), version), (27, expected), "{versions:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_to_another_request_breaks_the_connection() {
        let (answer, _) = heartbeat((0, 3), 7).await;
        let error = answer.expect_err("refused");
        assert!(error.kind == KafkaErrorKind::Transient && error.message.starts_with("Heartbeat to broker b:1: the answer is to request 9"), "{error}");
    }

    #[tokio::test]
    async fn a_broker_that_speaks_none_of_our_versions_is_named() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let opening = Connection::open(Box::new(ours), peer(), "me");
        let answering = async {
            let (_, correlation) = take(&mut theirs).await;
            let api = ApiVersion::default().with_api_key(HeartbeatRequest::KEY).with_min_version(9).with_max_version(11);
            give(&mut theirs, correlation, 0, &ApiVersionsResponse::default().with_api_keys(vec![api])).await;
        };
        let mut connection = tokio::join!(opening, answering).0.expect("a connection");
        for (error, says) in [
            (connection.ask(&HeartbeatRequest::default()).await.expect_err("refused"), "it takes 9 to 11"),
            (connection.ask(&MetadataRequest::default()).await.expect_err("refused"), "it takes none"),
        ] {
            assert!(error.kind == KafkaErrorKind::Fatal && error.message.contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn something_that_is_no_kafka_listener_is_said_to_be_none() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let answering = async { theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.expect("written") };
        let error = tokio::join!(Connection::open(Box::new(ours), peer(), "me"), answering).0.expect_err("no broker");
        assert!(error.message.contains("Kafka listener"), "{error}");
    }
}
