//! The keys of distributed workers alone: `DistributedConfig` of Apache Kafka 4.3. A standalone worker takes them without effect, as upstream's does.
//!
//! Beside them, `config.storage.<setting>`, `offset.storage.<setting>` and `status.storage.<setting>` are settings of the topics when they are created.

use super::keys::{key, required};
use crate::connect::config::{Check, ConfigKey, Type};

const GROUP: &str = "Group";
const TOPICS: &str = "Topics";
const NETWORK: &str = "Network";
const WORKERS: &str = "Between workers";

const MOST: i64 = i32::MAX as i64;

const fn ms(name: &'static str, default: &'static str, group: &'static str, doc: &'static str) -> ConfigKey {
    key(name, Type::Int, Some(default), Check::Range(0, MOST), group, doc)
}

const fn topic(name: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { group: TOPICS, ..required(name, Type::String, doc) }
}

const fn replicas(name: &'static str) -> ConfigKey {
    key(name, Type::Short, Some("3"), Check::Custom(count), TOPICS, "Replicas with which the topic is created; -1: as many as the broker's default.")
}

fn count(text: &str) -> Result<(), String> {
    let is_count = text.parse::<i32>().is_ok_and(|number| number == -1 || number > 0);
    if is_count { Ok(()) } else { Err("give a positive number, or -1 for the broker's default".to_owned()) }
}

fn algorithms(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("give at least one algorithm, such as HmacSHA256".to_owned()) } else { Ok(()) }
}

/// Every key that a distributed worker has and a standalone one does not use.
pub static DISTRIBUTED_KEYS: &[ConfigKey] = &[
    ConfigKey { group: GROUP, ..required("group.id", Type::String, "Name of the group, the same for all its workers; not that of a sink's consumer group.") },
    topic("config.storage.topic", "Topic of connectors' and tasks' configurations; created compacted, with one partition."),
    replicas("config.storage.replication.factor"),
    topic("offset.storage.topic", "Topic of source offsets; created compacted."),
    key(
        "offset.storage.partitions",
        Type::Int,
        Some("25"),
        Check::Custom(count),
        TOPICS,
        "Partitions with which the topic is created; -1: the broker's default.",
    ),
    replicas("offset.storage.replication.factor"),
    topic("status.storage.topic", "Topic of the states of connectors and tasks; created compacted."),
    key(
        "status.storage.partitions",
        Type::Int,
        Some("5"),
        Check::Custom(count),
        TOPICS,
        "Partitions with which the topic is created; -1: the broker's default.",
    ),
    replicas("status.storage.replication.factor"),
    key(
        "connect.protocol",
        Type::String,
        Some("sessioned"),
        Check::OneOfIgnoreCase(&["eager", "compatible", "sessioned"]),
        GROUP,
        "How work is shared out, and whether workers sign their requests to each other (sessioned). All workers of a group need one in common.",
    ),
    ms("session.timeout.ms", "10000", GROUP, "Milliseconds without a heartbeat after which a worker is taken for lost."),
    ms("heartbeat.interval.ms", "3000", GROUP, "Milliseconds between heartbeats; less than `session.timeout.ms`."),
    ms("rebalance.timeout.ms", "60000", GROUP, "Milliseconds that workers have to end what is not theirs any more, and to join again."),
    ms("scheduled.rebalance.max.delay.ms", "300000", GROUP, "Milliseconds that the work of a lost worker waits for it before others get it."),
    ms("worker.sync.timeout.ms", "3000", GROUP, "Milliseconds that a worker may take to read what the group has written down, before it gives up its work."),
    ms("worker.unsync.backoff.ms", "300000", GROUP, "Milliseconds that a worker stays out of the group when it could not read that."),
    key(
        "exactly.once.source.support",
        Type::String,
        Some("disabled"),
        Check::OneOfIgnoreCase(&["disabled", "preparing", "enabled"]),
        GROUP,
        "Whether source connectors deliver exactly once: `disabled`, `enabled`, or `preparing`, which all workers of a group are set to before the first is enabled.",
    ),
    key(
        "client.id",
        Type::String,
        Some(""),
        Check::Any,
        NETWORK,
        "Name by which brokers know the member of the group. Default: `connect-` and the worker's address.",
    ),
    ms("request.timeout.ms", "40000", NETWORK, "Milliseconds that a broker may take for an answer."),
    key(
        "retry.backoff.ms",
        Type::Long,
        Some("100"),
        Check::Range(0, i64::MAX),
        NETWORK,
        "Milliseconds before what failed is tried again; doubled from try to try.",
    ),
    key("retry.backoff.max.ms", Type::Long, Some("1000"), Check::Range(0, i64::MAX), NETWORK, "Most milliseconds between tries."),
    key(
        "socket.connection.setup.timeout.ms",
        Type::Long,
        Some("10000"),
        Check::Range(0, i64::MAX),
        NETWORK,
        "Milliseconds that connecting to a broker and authenticating may take.",
    ),
    key(
        "socket.connection.setup.timeout.max.ms",
        Type::Long,
        Some("30000"),
        Check::Range(0, i64::MAX),
        NETWORK,
        "Taken, and not used: each try has `socket.connection.setup.timeout.ms`.",
    ),
    key(
        "connections.max.idle.ms",
        Type::Long,
        Some("540000"),
        Check::Any,
        NETWORK,
        "Milliseconds after which a connection that was not used is opened anew; negative: never.",
    ),
    key(
        "reconnect.backoff.ms",
        Type::Long,
        Some("50"),
        Check::Range(0, i64::MAX),
        NETWORK,
        "Taken, and not used: connecting is tried again with what failed for the lack of it, by `retry.backoff.ms`.",
    ),
    key("reconnect.backoff.max.ms", Type::Long, Some("1000"), Check::Range(0, i64::MAX), NETWORK, "Taken, and not used: see `reconnect.backoff.ms`."),
    key(
        "metadata.max.age.ms",
        Type::Long,
        Some("300000"),
        Check::Range(0, i64::MAX),
        NETWORK,
        "Taken, and not used: where a topic's leaders are is asked again when a broker says that it is none.",
    ),
    key(
        "metadata.recovery.strategy",
        Type::String,
        Some("rebootstrap"),
        Check::OneOfIgnoreCase(&["none", "rebootstrap"]),
        NETWORK,
        "Taken, and not used: brokers that are gone are always replaced by those of `bootstrap.servers`.",
    ),
    key(
        "metadata.recovery.rebootstrap.trigger.ms",
        Type::Long,
        Some("300000"),
        Check::Range(0, i64::MAX),
        NETWORK,
        "Taken, and not used: see `metadata.recovery.strategy`.",
    ),
    key("send.buffer.bytes", Type::Int, Some("131072"), Check::Range(-1, MOST), NETWORK, "Taken, and not used: sockets have the system's buffers, which grow."),
    key(
        "receive.buffer.bytes",
        Type::Int,
        Some("32768"),
        Check::Range(-1, MOST),
        NETWORK,
        "Taken, and not used: sockets have the system's buffers, which grow.",
    ),
    key(
        "inter.worker.key.generation.algorithm",
        Type::String,
        Some("HmacSHA256"),
        Check::NotBlank,
        WORKERS,
        "What the keys are for by which workers sign their requests to each other.",
    ),
    key("inter.worker.key.size", Type::Int, None, Check::Any, WORKERS, "Bits of these keys. Default: as the algorithm has it."),
    key("inter.worker.key.ttl.ms", Type::Int, Some("3600000"), Check::Range(0, MOST), WORKERS, "Milliseconds after which the leader makes another key."),
    key("inter.worker.signature.algorithm", Type::String, Some("HmacSHA256"), Check::NotBlank, WORKERS, "How requests to other workers are signed."),
    key(
        "inter.worker.verification.algorithms",
        Type::List,
        Some("HmacSHA256"),
        Check::Custom(algorithms),
        WORKERS,
        "Signatures that are taken; the algorithm by which this worker signs must be among them.",
    ),
];
