//! Keys of the S3 sink, and what their values must be.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::{PROXY_DOC, STORE_URL, check_proxy, key, no_default, required, takes};
use crate::connect::config::{Check, ConfigKey, Importance, Type};
use crate::store::credentials::{ASSUME_ROLE_CLASS, source_of};

const S3: &str = "S3";
const KEYS_AND_HEADERS: &str = "Keys and Headers";

/// Canned ACLs, in the SDK's order.
const ACLS: &[&str] = &["private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control"];

/// Keys of the S3 sink.
pub static S3_KEYS: &[ConfigKey] = &[
    required(key("s3.bucket.name", Type::String, "", Importance::High, S3, "Bucket that files are written to. It must exist.")),
    key(
        "s3.object.tagging",
        Type::Boolean,
        "false",
        Importance::Low,
        S3,
        "Tags each object, after it is visible, with its first and last offset and its number of records. Needs s3:PutObjectTagging.",
    ),
    takes(
        key("s3.object.tagging.key.value.pairs", Type::List, "", Importance::Low, S3, "Further tags of each object: key:value, separated by commas."),
        Check::Custom(check_tags),
    ),
    takes(
        key("s3.object.behavior.on.tagging.error", Type::String, "ignore", Importance::Low, S3, "What a failed tagging does: ignore, or fail the task."),
        Check::OneOfIgnoreCase(&["ignore", "fail"]),
    ),
    takes(key("s3.region", Type::String, "us-west-2", Importance::Medium, S3, "Region of the bucket."), Check::Custom(check_region)),
    takes(
        key(
            "s3.part.size",
            Type::Int,
            "26214400",
            Importance::High,
            S3,
            "Bytes of each part of a multipart upload. When it is not given, parts have 8 MiB: a part waits in memory until it is whole.",
        ),
        Check::Custom(check_part_size),
    ),
    takes(
        key(
            "s3.credentials.provider.class",
            Type::Class,
            "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
            Importance::Low,
            S3,
            "Where credentials come from when no keys are given: upstream's AwsAssumeRoleCredentialsProvider with its s3.credentials.provider.sts.* keys, or one \
             of the SDK's own providers (Default, EnvironmentVariable, Profile, WebIdentityTokenFile, Container, InstanceProfile, Anonymous).",
        ),
        Check::Custom(check_provider),
    ),
    key(
        "aws.access.key.id",
        Type::String,
        "",
        Importance::High,
        S3,
        "Access key; used when the secret key is given too, whatever provider is named, except for assuming a role, which they sign.",
    ),
    no_default(key("aws.secret.access.key", Type::Password, "", Importance::High, S3, "Secret of the access key.")),
    takes(
        key(
            "s3.ssea.name",
            Type::String,
            "",
            Importance::Low,
            S3,
            "Server-side encryption: AES256 (with s3.sse.customer.key under your own key), aws:kms with s3.sse.kms.key.id, aws:kms:dsse. Without it, and with \
             aws:kms without a key, the bucket's default holds.",
        ),
        Check::Custom(check_encryption),
    ),
    takes(
        no_default(key(
            "s3.sse.customer.key",
            Type::Password,
            "",
            Importance::Low,
            S3,
            "Your own key of SSE-C: 32 bytes in base64. Needs s3.ssea.name=AES256.",
        )),
        Check::Custom(check_customer_key),
    ),
    key("s3.sse.kms.key.id", Type::String, "", Importance::Low, S3, "KMS key for s3.ssea.name=aws:kms or aws:kms:dsse: its id, ARN or alias."),
    takes(no_default(key("s3.acl.canned", Type::String, "", Importance::Low, S3, "Canned ACL of each object.")), Check::Custom(check_acl)),
    key(
        "s3.wan.mode",
        Type::Boolean,
        "false",
        Importance::Medium,
        S3,
        "Transfer acceleration: requests go to Amazon's nearest edge. Needs s3.path.style.access.enabled=false and a bucket that has it enabled.",
    ),
    takes(
        key(
            "s3.part.retries",
            Type::Int,
            "3",
            Importance::Medium,
            S3,
            "How often tagging is tried. Everything else is retried for as long as transient errors last, and shown in the task's status meanwhile.",
        ),
        Check::Range(0, i32::MAX as i64),
    ),
    takes(
        key(
            "s3.retry.backoff.ms",
            Type::Long,
            "200",
            Importance::Low,
            S3,
            "Milliseconds to wait before the first retry; doubling up to 5 s (8 s when more is given), with jitter. When it is not given: 100.",
        ),
        Check::Range(0, i64::MAX),
    ),
    takes(key("s3.proxy.url", Type::String, "", Importance::Low, S3, PROXY_DOC), Check::Custom(check_proxy)),
    no_default(key("s3.proxy.user", Type::String, "", Importance::Low, S3, "The proxy's user, instead of one in the URL.")),
    no_default(key("s3.proxy.password", Type::Password, "", Importance::Low, S3, "The proxy's password, instead of one in the URL.")),
    key(
        "s3.http.send.expect.continue",
        Type::Boolean,
        "true",
        Importance::Low,
        S3,
        "Taken for upstream's sake: requests never wait for a 100-continue, which would cost a round trip each and only saves bytes of requests that are refused.",
    ),
    key(
        "s3.send.digest",
        Type::Boolean,
        "false",
        Importance::Low,
        S3,
        "Sends Content-MD5 with every part and object, beside the SHA-256 or CRC-64 that each has.",
    ),
    key(
        "s3.path.style.access.enabled",
        Type::Boolean,
        "true",
        Importance::Low,
        KEYS_AND_HEADERS,
        "True: the bucket is in the URL's path; false: in its host name.",
    ),
    key(
        "s3.elastic.buffer.enable",
        Type::Boolean,
        "false",
        Importance::Low,
        KEYS_AND_HEADERS,
        "Taken for upstream's sake: no buffer is larger than the bytes in it.",
    ),
    takes(
        key(
            "s3.elastic.buffer.init.capacity",
            Type::Int,
            "131072",
            Importance::Low,
            KEYS_AND_HEADERS,
            "Taken for upstream's sake: there is no buffer to begin with.",
        ),
        Check::Range(4096, i32::MAX as i64),
    ),
    STORE_URL,
    takes(
        no_default(key(
            "lakehead.s3.storage.class",
            Type::String,
            "",
            Importance::Low,
            S3,
            "Ours. Storage class of each object, as STANDARD_IA. Default: the bucket's.",
        )),
        Check::Custom(check_storage_class),
    ),
    no_default(key(
        "lakehead.s3.sts.endpoint",
        Type::String,
        "",
        Importance::Low,
        S3,
        "Ours. URL of STS for assuming a role, as that of a VPC endpoint. Default: AWS_ENDPOINT_URL_STS in the environment, or Amazon's for the region.",
    )),
];

/// Settings of upstream's provider that assumes a role; it is asked for them itself, so they stand in no definition that REST shows.
pub(in crate::store) static STS_KEYS: &[ConfigKey] = &[
    no_default(key("s3.credentials.provider.sts.role.arn", Type::String, "", Importance::High, S3, "Role to assume.")),
    no_default(key("s3.credentials.provider.sts.role.session.name", Type::String, "", Importance::High, S3, "Name of the session.")),
    no_default(key("s3.credentials.provider.sts.role.external.id", Type::String, "", Importance::Medium, S3, "External id that the role asks for.")),
    takes(
        no_default(key(
            "s3.credentials.provider.sts.role.session.duration",
            Type::Int,
            "",
            Importance::Low,
            S3,
            "Ours. Seconds of a session, which is renewed before its end. Default: an hour.",
        )),
        Check::Range(900, 43_200),
    ),
    key("s3.credentials.provider.sts.region", Type::String, "", Importance::Medium, S3, "Region of STS. Default: s3.region."),
];

fn check_part_size(text: &str) -> Result<(), String> {
    match text.parse::<i64>() {
        Ok(size) if size < 5_242_880 => Err("Part size must be at least: 5242880 bytes (5MB)".to_owned()),
        _ => Ok(()), // more than an INT is no number of the type
    }
}

fn check_region(text: &str) -> Result<(), String> {
    match text {
        "" => Err("region must not be blank or empty".to_owned()),
        _ if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') => Ok(()),
        _ => Err("a region has letters, digits and hyphens, as eu-central-1".to_owned()),
    }
}

fn check_provider(text: &str) -> Result<(), String> {
    if text == ASSUME_ROLE_CLASS { Ok(()) } else { source_of(text).map(drop) }
}

fn check_encryption(text: &str) -> Result<(), String> {
    match text {
        "" | "AES256" | "aws:kms" | "aws:kms:dsse" => Ok(()),
        "aws:fsx" => Err("it is for FSx file systems behind access points, which have no multipart uploads: leave it out".to_owned()),
        _ => Err("String must be one of: , AES256, aws:fsx, aws:kms, aws:kms:dsse".to_owned()),
    }
}

fn check_customer_key(text: &str) -> Result<(), String> {
    match BASE64_STANDARD.decode(text) {
        _ if text.is_empty() => Ok(()),
        Ok(key) if key.len() == 32 => Ok(()),
        Ok(key) => Err(format!("the key has {} bytes instead of 32", key.len())),
        Err(_) => Err("the key is not 32 bytes in base64".to_owned()),
    }
}

fn check_acl(text: &str) -> Result<(), String> {
    if ACLS.contains(&text) { Ok(()) } else { Err(format!("Value must be one of: [{}]", ACLS.join(", "))) }
}

fn check_tags(text: &str) -> Result<(), String> {
    let mut pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    match pairs.find(|pair| !pair.split_once(':').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty())) {
        Some(pair) => Err(format!("'{pair}' is not key:value")),
        None => Ok(()),
    }
}

fn check_storage_class(text: &str) -> Result<(), String> {
    match text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_') {
        true => Ok(()),
        false => Err("a storage class has capital letters, digits and underscores, as STANDARD_IA".to_owned()),
    }
}
