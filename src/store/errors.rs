//! What a store's error means: try again, or which person must mend what.
//!
//! [`Failure::of`] reads the HTTP status, the error code and message of the S3/GCS/Azure XML body and the operating system's error out of an
//! `object_store::Error`; [`Place::judge`] turns it into [`Failed::ForNow`] or a [`StoreError`] whose text names the object, the permission or the
//! setting. Whatever is not known to need a person is transient.
//! Codes: "Error responses" of the Amazon S3 API reference, "Common REST API error codes" and "Blob Storage error codes" of Azure Storage.

use std::fmt;
use std::io;

use super::retry::Failed;
use super::{StoreError, StoreErrorKind};

/// The kinds of store that messages and request details differ by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Amazon S3 and what speaks it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    AzureBlob,
    /// A folder of a file system.
    Folder,
    /// In memory, for tests.
    Memory,
}

/// Where a sink writes, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Kind of store.
    pub flavor: Flavor,
    /// Bucket, container or root folder.
    pub root: String,
    /// Put before every key; empty, or without a leading and with a trailing `/`.
    pub prefix: String,
    /// Endpoint, where one was configured; shown when the store is not reached.
    pub endpoint: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flavor, root, prefix, endpoint: _ } = self;
        match flavor {
            Flavor::S3 => write!(f, "s3://{root}/{prefix}"),
            Flavor::Gcs => write!(f, "gs://{root}/{prefix}"),
            Flavor::AzureBlob => write!(f, "az://{root}/{prefix}"),
            Flavor::Folder => write!(f, "{root}/{prefix}"),
            Flavor::Memory => write!(f, "memory:///{prefix}"),
        }
    }
}

/// One kind of request, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Check,
    Put,
    Create,
    Part(usize),
    Complete,
    Head,
    Unfinished,
    Remove,
    List,
    Read,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check => f.write_str("check"),
            Self::Put => f.write_str("put"),
            Self::Create => f.write_str("start of upload"),
            Self::Part(index) => write!(f, "upload of part {}", index + 1),
            Self::Complete => f.write_str("completion of upload"),
            Self::Head => f.write_str("look-up"),
            Self::Unfinished => f.write_str("list of unfinished uploads"),
            Self::Remove => f.write_str("removal"),
            Self::List => f.write_str("listing"),
            Self::Read => f.write_str("reading"),
        }
    }
}

/// What an error is about, before it is known what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Time may heal it.
    Transient,
    /// The host's name is not known: a wrong setting at the start, a trouble of the name server later.
    NoHost,
    /// No credential was configured, and the machine has none to give: wrong at the start, a trouble of the metadata service later.
    NoCredentials,
    /// The thing that was named in the request is not there.
    NotFound,
    /// These credentials are not accepted.
    BadCredentials,
    /// The credentials are accepted and do not suffice.
    Forbidden,
    /// The request can never succeed.
    Refused,
    /// The bucket lives in another region.
    WrongRegion,
    /// The bucket or container is not there.
    NoBucket,
}

/// Why there is no credential to sign a request with.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct NoCredential {
    pub(crate) class: Class,
    pub(crate) text: String,
}

/// How sure it is that a name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The store says so.
    Surely,
    /// Somebody else is writing or deleting under the name at this moment.
    Perhaps,
}

/// What an answer to a conditional request says of the name; `None` when the condition is not what it failed for. S3 tells errors under a status of 200 too.
pub(crate) fn taken(flavor: Flavor, error: &object_store::Error) -> Option<Taken> {
    use object_store::Error;
    let text = innermost(error);
    let is_turned_down = matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. });
    match (element(&text, "Code"), status_in(&text)) {
        (Some("PreconditionFailed" | "ConditionNotMet" | "BlobAlreadyExists"), _) => Some(Taken::Surely),
        (Some("ConditionalRequestConflict" | "OperationAborted"), _) => Some(Taken::Perhaps),
        (_, Some(409)) if flavor == Flavor::S3 => Some(Taken::Perhaps),
        // A policy or a type of blob, under the statuses of a condition.
        (Some(code), _) if class_of_code(code).is_some() => None,
        (Some(_), Some(409)) if flavor == Flavor::AzureBlob => None,
        _ => is_turned_down.then_some(Taken::Surely),
    }
}

/// True when the store knows no conditional writes.
pub(crate) fn knows_no_condition(error: &object_store::Error) -> bool {
    use object_store::Error;
    let text = innermost(error);
    matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. })
        || io_kind(error) == Some(io::ErrorKind::Unsupported) // a file system without links
        || status_in(&text) == Some(501)
        || element(&text, "Code") == Some("NotImplemented")
}

/// The kind of the operating system's error that an error holds.
fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut kind = None;
    while let Some(error) = cause {
        kind = error.downcast_ref::<io::Error>().map(io::Error::kind).or(kind);
        cause = error.source();
    }
    kind
}

/// The text of what an error began with.
fn innermost(error: &object_store::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// An `object_store::Error`, read.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    /// One line.
    pub(crate) text: String,
    /// The credential was good until lately: another may be there already.
    pub(crate) has_expired: bool,
}

impl Failure {
    /// Reads an error of a store of that kind.
    pub(crate) fn of(flavor: Flavor, error: &object_store::Error) -> Self {
        let whole = error.to_string();
        let mut cause: &(dyn std::error::Error + 'static) = error;
        loop {
            if let Some(NoCredential { class, text }) = cause.downcast_ref() {
                return Self { class: *class, text: one_line(text), has_expired: false };
            }
            match cause.source() {
                Some(source) => cause = source,
                None => break,
            }
        }
        let cause = cause.to_string();
        let status = status_in(&cause);
        let code = element(&cause, "Code");
        if flavor == Flavor::Folder {
            return Self { class: class_of_io(error, io_kind(error)), text: one_line(&cause), has_expired: false };
        }
        let class = match class_of_code(code.unwrap_or_default()) {
            Some(class) => class,
            None => class_of_response(error, status, &whole, &cause),
        };
        Self { class, text: text_of(status, code, &cause), has_expired: code == Some("ExpiredToken") }
    }
}

/// `403 SignatureDoesNotMatch: <message>` of an XML answer; otherwise the innermost cause.
fn text_of(status: Option<u16>, code: Option<&str>, cause: &str) -> String {
    match (status, code) {
        (Some(status), Some(code)) => one_line(&format!("{status} {code}: {}", element(cause, "Message").unwrap_or_default())),
        _ => one_line(cause),
    }
}

/// Cuts a text to its first line and 300 characters.
fn one_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().trim_end_matches(|c: char| c == ':' || c.is_whitespace());
    line.chars().take(300).collect()
}

/// The text of the first `<name>` element.
pub(super) fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

/// The status in object_store's text for an answer that is no success.
fn status_in(cause: &str) -> Option<u16> {
    let (_, rest) = cause.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// Error codes whose meaning does not depend on the request.
fn class_of_code(code: &str) -> Option<Class> {
    Some(match code {
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "AuthenticationFailed"
        | "InvalidAuthenticationInfo"
        | "NoAuthenticationInformation"
        | "AuthenticationRequired" => Class::BadCredentials,
        "NoSuchBucket" | "ContainerNotFound" | "ContainerDisabled" => Class::NoBucket,
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => Class::WrongRegion,
        "NoSuchUpload" | "InvalidPart" | "InvalidPartOrder" | "InvalidBlockList" | "NoSuchKey" | "BlobNotFound" => Class::NotFound,
        "InvalidBucketName"
        | "InvalidResourceName"
        | "KeyTooLongError"
        | "InvalidURI"
        | "InvalidUri"
        | "InvalidMetadata"
        | "EmptyMetadataKey"
        | "MetadataTooLarge"
        | "EntityTooLarge"
        | "EntityTooSmall"
        | "InvalidRequest"
        | "InvalidArgument"
        | "NotImplemented"
        | "MethodNotAllowed"
        | "FeatureNotSupported"
        // A setting of the bucket, key or account that this one goes against.
        | "AccessControlListNotSupported"
        | "InvalidStorageClass"
        | "InvalidEncryptionAlgorithmError"
        | "KMS.NotFoundException"
        | "KMS.DisabledException"
        | "BlobImmutableDueToPolicy"
        | "InvalidBlobType"
        | "InvalidHeaderValue"
        | "OutOfRangeInput"
        | "FeatureNotSupportedForHns"
        | "UserProjectMissing"
        | "OrgPolicyViolated" => Class::Refused,
        // 400 and 403 that heal: a connection that stalled or lost bytes, a clock that somebody sets.
        "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch" | "Md5Mismatch" | "Crc64Mismatch" | "RequestTimeTooSkewed" => {
            Class::Transient
        }
        _ => return None,
    })
}

/// The class of an answer without a known code, or of no answer.
fn class_of_response(error: &object_store::Error, status: Option<u16>, whole: &str, cause: &str) -> Class {
    use object_store::Error;
    let is_metadata_service = whole.contains("169.254.169.254") || whole.contains("169.254.170.2") || whole.contains("metadata.google.internal");
    match (error, status) {
        (_, Some(401)) => Class::BadCredentials,
        _ if cause.contains("invalid_grant") || cause.contains("invalid_client") => Class::BadCredentials,
        (_, Some(403)) if cause.contains("failed to authenticate") => Class::BadCredentials, // Azure's AuthorizationFailure means this, or a firewall
        (_, Some(403)) => Class::Forbidden,
        _ if is_metadata_service => Class::NoCredentials,
        (_, Some(404)) => Class::NotFound,
        (_, Some(301 | 307 | 308)) => Class::WrongRegion,
        _ if cause.contains("redirect without LOCATION") => Class::WrongRegion,
        (_, Some(501)) => Class::Refused,
        _ if cause.contains("Name or service not known") || cause.contains("nodename nor servname") => Class::NoHost,
        (Error::NotFound { .. }, _) => Class::NotFound,
        (Error::PermissionDenied { .. }, _) => Class::Forbidden,
        (Error::Unauthenticated { .. }, _) => Class::BadCredentials,
        (Error::NotSupported { .. } | Error::NotImplemented { .. } | Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. }, _) => Class::Refused,
        _ => Class::Transient,
    }
}

/// Errors of a file system.
fn class_of_io(error: &object_store::Error, kind: Option<io::ErrorKind>) -> Class {
    use object_store::Error;
    match (error, kind) {
        (_, Some(io::ErrorKind::PermissionDenied)) => Class::Forbidden,
        (_, Some(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory)) => Class::Refused,
        (_, Some(io::ErrorKind::InvalidFilename | io::ErrorKind::Unsupported)) => Class::Refused,
        (Error::NotFound { .. }, _) => Class::NotFound,
        (Error::NotSupported { .. } | Error::NotImplemented { .. } | Error::InvalidPath { .. }, _) => Class::Refused,
        _ => Class::Transient, // a full disk, above all: somebody makes room
    }
}

impl Place {
    /// `s3://bucket/key`: an object of this place, whose key holds the prefix already.
    pub(crate) fn object(&self, key: &str) -> String {
        let root = Self { prefix: String::new(), ..self.clone() };
        format!("{root}{key}")
    }

    /// What a failed tagging comes back as: it is not repeated for ever.
    pub(crate) fn untagged(&self, key: &str, failure: &Failure) -> StoreError {
        let kind = match failure.class {
            Class::Forbidden | Class::BadCredentials | Class::NoCredentials => StoreErrorKind::Denied,
            Class::NotFound => StoreErrorKind::Vanished,
            _ => StoreErrorKind::BadConfig,
        };
        let advice = match failure.class {
            Class::Forbidden => format!("; s3:PutObjectTagging on arn:aws:s3:::{}/{key} is denied: grant it", self.root),
            _ => String::new(),
        };
        StoreError { kind, message: format!("Unable to tag S3 object {key}: {}{advice}", self.with_endpoint(failure.text.clone())) }
    }

    /// Says what a failure of `action` on `key` means, on its `attempt`th try.
    pub(crate) fn judge(&self, action: Action, key: &str, attempt: u32, failure: Failure) -> Failed {
        // A host or a credential that is missing at the start, several times in a row, is a setting; one that goes missing later will come back.
        let is_settled = matches!(action, Action::Check | Action::List | Action::Read) && attempt >= 3;
        let Failure { class, text, .. } = failure;
        let (kind, advice) = match class {
            Class::Transient => return Failed::ForNow(self.with_endpoint(text)),
            Class::NoHost | Class::NoCredentials if !is_settled => return Failed::ForNow(self.with_endpoint(text)),
            Class::NotFound if matches!(action, Action::Part(_) | Action::Complete) => (StoreErrorKind::Vanished, VANISHED.to_owned()),
            Class::NotFound | Class::NoBucket => (StoreErrorKind::BadConfig, self.missing()),
            Class::NoHost => (StoreErrorKind::BadConfig, self.unknown_host()),
            Class::NoCredentials => (StoreErrorKind::Denied, format!("no credentials were found: {}", self.credentials())),
            Class::BadCredentials => (StoreErrorKind::Denied, format!("the credentials are not accepted: {}", self.credentials())),
            Class::Forbidden => (StoreErrorKind::Denied, self.permission(action, key)),
            Class::WrongRegion => (StoreErrorKind::BadConfig, format!("bucket '{}' is in another region: set s3.region to the bucket's region", self.root)),
            Class::Refused => (StoreErrorKind::BadConfig, "the store does not take this request, also when it comes again".to_owned()),
        };
        Failed::ForGood(StoreError { kind, message: format!("{action} of {}: {advice} ({text})", self.object(key)) })
    }

    fn with_endpoint(&self, text: String) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("{text} (at {endpoint})"),
            None => text,
        }
    }

    fn missing(&self) -> String {
        match self.flavor {
            Flavor::S3 => format!("bucket '{}' does not exist: create it, or correct s3.bucket.name, s3.region or store.url", self.root),
            Flavor::Gcs => format!("bucket '{}' does not exist: create it, or correct gcs.bucket.name", self.root),
            Flavor::AzureBlob => format!("container '{}' does not exist: create it, or correct azblob.container.name", self.root),
            Flavor::Folder | Flavor::Memory => format!("'{}' does not exist", self.root),
        }
    }

    fn unknown_host(&self) -> String {
        match &self.endpoint {
            Some(endpoint) => format!("the host of '{endpoint}' is not known: correct store.url"),
            None => "the store's host is not known: correct the region or account, or mend the name server".to_owned(),
        }
    }

    fn credentials(&self) -> &'static str {
        match self.flavor {
            Flavor::S3 => {
                "check aws.access.key.id and aws.secret.access.key, or s3.credentials.provider.class and what it reads: AWS_* in the environment, a profile, \
                 or the role of the container or machine"
            }
            Flavor::Gcs => {
                "check gcs.credentials.path or gcs.credentials.json, or GOOGLE_APPLICATION_CREDENTIALS in the environment, or the machine's service account"
            }
            Flavor::AzureBlob => {
                "check azblob.account.name with azblob.account.key or azblob.sas.token, or AZURE_* in the environment, or the machine's identity"
            }
            Flavor::Folder | Flavor::Memory => "there are none to check",
        }
    }

    fn permission(&self, action: Action, key: &str) -> String {
        let root = &self.root;
        match (self.flavor, action) {
            (Flavor::S3, Action::Unfinished) => format!("s3:ListBucketMultipartUploads on arn:aws:s3:::{root} is denied: grant it"),
            (Flavor::S3, Action::Remove) => format!("s3:DeleteObject on arn:aws:s3:::{root}/{key} is denied: grant it"),
            (Flavor::Gcs, Action::Unfinished) => format!("storage.multipartUploads.list on bucket '{root}' is denied: grant it"),
            (Flavor::Gcs, Action::Remove) => format!("storage.objects.delete on bucket '{root}' is denied: grant it"),
            (Flavor::S3, Action::Head | Action::Read) => format!("s3:GetObject on arn:aws:s3:::{root}/{key} is denied: grant it, with s3:ListBucket"),
            (Flavor::S3, Action::List) => format!("s3:ListBucket on arn:aws:s3:::{root} is denied: grant it, with s3:GetObject"),
            (Flavor::S3, _) => format!("s3:PutObject on arn:aws:s3:::{root}/{key} is denied: grant it, with s3:AbortMultipartUpload"),
            (Flavor::Gcs, Action::Head | Action::Read) => format!("storage.objects.get on bucket '{root}' is denied: grant it"),
            (Flavor::Gcs, Action::List) => format!("storage.objects.list on bucket '{root}' is denied: grant it, with storage.objects.get"),
            (Flavor::Gcs, _) => format!(
                "storage.objects.create on bucket '{root}' is denied: grant it, with storage.objects.delete, storage.multipartUploads.create and \
                 storage.multipartUploads.abort"
            ),
            (Flavor::AzureBlob, Action::List | Action::Read) => {
                format!("reading container '{root}' is denied: grant the role Storage Blob Data Reader, or a SAS with read and list")
            }
            (Flavor::AzureBlob, _) => {
                format!("writing to container '{root}' is denied: grant the role Storage Blob Data Contributor, or a SAS with read, create, write and list")
            }
            (Flavor::Folder | Flavor::Memory, Action::List | Action::Read) => "reading is denied: run it as a user who may read the folder".to_owned(),
            (Flavor::Folder | Flavor::Memory, _) => "writing is denied: give the worker's user write permission on the folder".to_owned(),
        }
    }
}

const VANISHED: &str = "what was uploaded is gone, as when a lifecycle rule aborts incomplete uploads: the rows are read again";

#[cfg(test)]
mod tests {
    use super::*;

    fn place(flavor: Flavor) -> Place {
        Place { flavor, root: "sink".to_owned(), prefix: String::new(), endpoint: None }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("Error performing PUT http://h/sink/k in 1ms - {0}")]
    struct Request(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Inner(String);

    fn http(inner: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: Box::new(Request(Inner(inner.to_owned()))) }
    }

    fn answer(status: &str, code: &str, message: &str) -> object_store::Error {
        http(&format!("Server returned non-2xx status code: {status}: <?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"))
    }

    fn judged(flavor: Flavor, action: Action, attempt: u32, error: &object_store::Error) -> (Option<StoreErrorKind>, String) {
        match place(flavor).judge(action, "t/k", attempt, Failure::of(flavor, error)) {
            Failed::ForNow(text) => (None, text),
            Failed::ForGood(error) => (Some(error.kind), error.message),
        }
    }

    #[test]
    fn answers_of_the_clouds() {
        use StoreErrorKind::{BadConfig, Denied, Vanished};
        let cases = [
            (Flavor::S3, Action::Put, answer("503 Service Unavailable", "SlowDown", "Please reduce your request rate."), None, "503 SlowDown: Please reduce"),
            (Flavor::S3, Action::Put, answer("500 Internal Server Error", "InternalError", ""), None, "500 InternalError"),
            (Flavor::S3, Action::Put, answer("400 Bad Request", "RequestTimeout", "idle"), None, "400 RequestTimeout: idle"),
            (Flavor::S3, Action::Put, answer("400 Bad Request", "SomethingNew", "?"), None, "400 SomethingNew: ?"),
            (Flavor::S3, Action::Put, answer("403 Forbidden", "RequestTimeTooSkewed", "clock"), None, "403 RequestTimeTooSkewed: clock"),
            (
                Flavor::S3,
                Action::Put,
                answer("403 Forbidden", "AccessDenied", "Access Denied"),
                Some(Denied),
                "put of s3://sink/t/k: s3:PutObject on arn:aws:s3:::sink/t/k is denied: grant it, with s3:AbortMultipartUpload (403 AccessDenied: Access Denied)",
            ),
            (
                Flavor::S3,
                Action::Create,
                answer("403 Forbidden", "SignatureDoesNotMatch", "bad"),
                Some(Denied),
                "start of upload of s3://sink/t/k: the credentials are not accepted: check aws.access.key.id",
            ),
            (
                Flavor::S3,
                Action::Check,
                answer("404 Not Found", "NoSuchBucket", "none"),
                Some(BadConfig),
                "check of s3://sink/t/k: bucket 'sink' does not exist: create it",
            ),
            (
                Flavor::S3,
                Action::Part(0),
                answer("404 Not Found", "NoSuchUpload", "gone"),
                Some(Vanished),
                "upload of part 1 of s3://sink/t/k: what was uploaded is gone",
            ),
            (
                Flavor::S3,
                Action::Put,
                answer("301 Moved Permanently", "PermanentRedirect", ""),
                Some(BadConfig),
                "put of s3://sink/t/k: bucket 'sink' is in another region",
            ),
            (
                Flavor::S3,
                Action::Put,
                http("Received redirect without LOCATION, this normally…"),
                Some(BadConfig),
                "put of s3://sink/t/k: bucket 'sink' is in another region",
            ),
            (
                Flavor::Gcs,
                Action::Put,
                answer("401 Unauthorized", "AuthenticationRequired", ""),
                Some(Denied),
                "put of gs://sink/t/k: the credentials are not accepted: check gcs.",
            ),
            (
                Flavor::Gcs,
                Action::Put,
                http("Server returned non-2xx status code: 400 Bad Request: {\"error\":\"invalid_grant\"}"),
                Some(Denied),
                "put of gs://sink/t/k: the credentials",
            ),
            (
                Flavor::AzureBlob,
                Action::Put,
                answer("403 F", "AuthorizationPermissionMismatch", ""),
                Some(Denied),
                "put of az://sink/t/k: writing to container 'sink' is denied",
            ),
            (
                Flavor::AzureBlob,
                Action::Put,
                answer("404 N", "ContainerNotFound", ""),
                Some(BadConfig),
                "put of az://sink/t/k: container 'sink' does not exist",
            ),
            (
                Flavor::AzureBlob,
                Action::Complete,
                answer("400 B", "InvalidBlockList", ""),
                Some(Vanished),
                "completion of upload of az://sink/t/k: what was uploaded",
            ),
            (Flavor::S3, Action::Put, http("Connection refused (os error 111)"), None, "Connection refused"),
            (Flavor::S3, Action::Check, answer("400 B", "AccessControlListNotSupported", "m"), Some(BadConfig), "check of s3://sink/t/k: the store does not"),
            (Flavor::S3, Action::Put, answer("400 B", "KMS.NotFoundException", "m"), Some(BadConfig), "put of s3://sink/t/k: the store does not"),
            (Flavor::AzureBlob, Action::Put, answer("409 C", "BlobImmutableDueToPolicy", "m"), Some(BadConfig), "put of az://sink/t/k: the store does not"),
            (Flavor::Gcs, Action::Put, answer("412 P", "OrgPolicyViolated", "m"), Some(BadConfig), "put of gs://sink/t/k: the store does not"),
        ];
        for (flavor, action, error, kind, text) in cases {
            let (got, message) = judged(flavor, action, 1, &error);
            assert_eq!(got, kind, "{message}");
            assert!(message.starts_with(text), "{message}\n  does not start with\n{text}");
        }
    }

    #[test]
    fn which_answers_say_that_a_name_is_taken() {
        use Taken::{Perhaps, Surely};
        let cases = [
            (Flavor::S3, "412 Precondition Failed", "PreconditionFailed", Some(Surely)),
            (Flavor::S3, "200 OK", "PreconditionFailed", Some(Surely)),
            (Flavor::S3, "409 Conflict", "ConditionalRequestConflict", Some(Perhaps)),
            (Flavor::S3, "409 Conflict", "OperationAborted", Some(Perhaps)),
            (Flavor::S3, "503 Service Unavailable", "SlowDown", None),
            (Flavor::Gcs, "412 Precondition Failed", "PreconditionFailed", Some(Surely)),
            (Flavor::Gcs, "412 Precondition Failed", "OrgPolicyViolated", None),
            (Flavor::AzureBlob, "409 Conflict", "BlobAlreadyExists", Some(Surely)),
            (Flavor::AzureBlob, "409 Conflict", "BlobImmutableDueToPolicy", None),
            (Flavor::AzureBlob, "409 Conflict", "LeaseAlreadyPresent", None),
        ];
        for (flavor, status, code, expected) in cases {
            assert_eq!(taken(flavor, &answer(status, code, "m")), expected, "{flavor:?} {status} {code}");
            let error = object_store::Error::AlreadyExists { path: "k".to_owned(), source: Box::new(answer(status, code, "m")) };
            if expected.is_some() || flavor != Flavor::S3 {
                assert_eq!(taken(flavor, &error), expected, "{flavor:?} {status} {code}");
            }
        }
    }

    #[test]
    fn a_missing_host_or_credential_is_a_setting_only_when_the_start_finds_it_several_times() {
        let no_host = http("failed to lookup address information: Name or service not known");
        let no_role = object_store::Error::Generic {
            store: "S3",
            source: Box::new(Inner("Error performing PUT http://169.254.169.254/latest/api/token in 1s - timed out".to_owned())),
        };
        for (error, kind) in [(no_host, StoreErrorKind::BadConfig), (no_role, StoreErrorKind::Denied)] {
            assert_eq!(judged(Flavor::S3, Action::Check, 1, &error).0, None);
            assert_eq!(judged(Flavor::S3, Action::Put, 99, &error).0, None);
            assert_eq!(judged(Flavor::S3, Action::Check, 3, &error).0, Some(kind));
        }
    }

    #[test]
    fn errors_of_a_folder() {
        let cases = [
            (io::ErrorKind::StorageFull, None),
            (io::ErrorKind::QuotaExceeded, None),
            (io::ErrorKind::FileTooLarge, None),
            (io::ErrorKind::PermissionDenied, Some(StoreErrorKind::Denied)),
            (io::ErrorKind::ReadOnlyFilesystem, Some(StoreErrorKind::BadConfig)),
            (io::ErrorKind::NotADirectory, Some(StoreErrorKind::BadConfig)),
            (io::ErrorKind::Unsupported, Some(StoreErrorKind::BadConfig)),
        ];
        for (kind, expected) in cases {
            let error = object_store::Error::Generic { store: "LocalFileSystem", source: Box::new(io::Error::from(kind)) };
            assert_eq!(judged(Flavor::Folder, Action::Put, 1, &error).0, expected, "{kind:?}");
        }
    }
}
