//! librdkafka's errors → what the caller can do.

use rdkafka::error::{KafkaError as RdError, RDKafkaErrorCode as Code};

use super::{KafkaError, KafkaErrorKind};

/// Kind by error code. What is not listed is transient: librdkafka itself goes on trying, and so do we.
pub(super) fn kind(code: Code) -> KafkaErrorKind {
    match code {
        Code::UnknownMemberId | Code::IllegalGeneration | Code::FencedInstanceId | Code::AssignmentLost | Code::FencedMemberEpoch => KafkaErrorKind::Fenced,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism => KafkaErrorKind::Denied,
        Code::InvalidArgument | Code::InvalidConfig | Code::InvalidGroupId | Code::InvalidSessionTimeout | Code::InconsistentGroupProtocol => {
            KafkaErrorKind::Config
        }
        Code::OffsetMetadataTooLarge => KafkaErrorKind::TooLarge,
        Code::Fatal | Code::Fenced | Code::AutoOffsetReset => KafkaErrorKind::Fatal,
        _ => KafkaErrorKind::Transient,
    }
}

/// True when the error says that a broker cannot be reached, which is over when one is up again.
pub(super) fn is_connection(error: &RdError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve | Code::OperationTimedOut | Code::RequestTimedOut)
    )
}

/// A sentence about an error, with the advice that belongs to it; `doing` says what was tried (`consuming topic orders in group connect-x`).
pub(super) fn explain(error: &RdError, doing: &str, detail: &str) -> KafkaError {
    let code = error.rdkafka_error_code();
    let kind = match (code, error) {
        (_, RdError::ClientConfig(..) | RdError::ClientCreation(_)) => KafkaErrorKind::Config,
        (Some(code), _) => kind(code),
        (None, _) => KafkaErrorKind::Transient,
    };
    let advice = match code {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => "; create the topic, or correct `topics`",
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve) => "; the broker cannot be reached, trying again",
        Some(Code::TopicAuthorizationFailed) => "; the principal needs READ and DESCRIBE on the topic",
        Some(Code::AutoOffsetReset) => {
            "; auto.offset.reset=none, and a partition has no committed offset, or one that its log does not hold: commit offsets for the group, or use earliest or latest"
        }
        Some(Code::GroupAuthorizationFailed) => "; the principal needs READ on the group",
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => "; check security.protocol, sasl.mechanism and sasl.jaas.config",
        _ => "",
    };
    let what = match error {
        RdError::ClientConfig(_, why, key, value) => {
            // A property that is unknown here may hold anything, so its value is never shown; one that is known is a number or a word.
            let is_secret = why.contains("No such configuration property") || ["password", "pem", "sasl.", "secret", "token"].iter().any(|s| key.contains(s));
            let shown = if is_secret { "[hidden]" } else { value.as_str() };
            format!("property {key}={shown}: {why}")
        }
        other => code.map_or_else(|| other.to_string(), |code| code.to_string()),
    };
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    KafkaError::new(kind, format!("{doing}: {what}{detail}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_say_what_to_do_next() {
        for (code, expected) in [
            (Code::IllegalGeneration, KafkaErrorKind::Fenced),
            (Code::UnknownMemberId, KafkaErrorKind::Fenced),
            (Code::RebalanceInProgress, KafkaErrorKind::Transient),
            (Code::AllBrokersDown, KafkaErrorKind::Transient),
            (Code::TopicAuthorizationFailed, KafkaErrorKind::Denied),
            (Code::SaslAuthenticationFailed, KafkaErrorKind::Denied),
            (Code::UnknownTopicOrPartition, KafkaErrorKind::Transient),
        ] {
            assert_eq!(kind(code), expected, "{code:?}");
        }
    }

    #[test]
    fn messages_name_what_was_tried_and_the_remedy() {
        let error = explain(&RdError::MessageConsumption(Code::UnknownTopicOrPartition), "consuming in group connect-x", "");
        assert!(error.message.starts_with("consuming in group connect-x: ") && error.message.ends_with("create the topic, or correct `topics`"), "{error}");
    }
}
