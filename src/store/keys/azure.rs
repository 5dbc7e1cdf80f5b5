//! Keys of the Azure Blob Storage sink and of the Data Lake Storage Gen2 sink, and what their values must be.

use super::{PROXY_DOC, STORE_URL, check_proxy, key, no_default, required, takes};
use crate::connect::config::{Check, ConfigKey, Importance, Type};

const AZURE: &str = "Azure";

/// Ours, for both.
const CONNECTION_STRING: ConfigKey = no_default(key(
    "lakehead.azure.connection.string",
    Type::Password,
    "",
    Importance::Medium,
    AZURE,
    "Ours. Connection string of the account, as the portal shows it: its key or shared access signature, and its endpoint. It must name the same account.",
));

/// Keys of the Azure Blob Storage sink.
pub static AZURE_KEYS: &[ConfigKey] = &[
    takes(required(key("azblob.account.name", Type::String, "", Importance::High, AZURE, "Storage account.")), Check::Custom(check_account)),
    takes(
        key("azblob.container.name", Type::String, "default", Importance::High, AZURE, "Container that files are written to. It must exist."),
        Check::Custom(check_container),
    ),
    no_default(key(
        "azblob.account.key",
        Type::Password,
        "",
        Importance::High,
        AZURE,
        "The account's key. Default: azblob.sas.token, lakehead.azure.connection.string, AZURE_* in the environment (client secret, workload identity), or the \
         machine's managed identity.",
    )),
    no_default(key("azblob.sas.token", Type::Password, "", Importance::High, AZURE, "A shared access signature, instead of the key.")),
    CONNECTION_STRING,
    takes(
        key("azblob.block.size", Type::Int, "26214400", Importance::High, AZURE, "Bytes of each block of an upload. When it is not given, blocks have 8 MiB."),
        Check::Range(5_242_880, 104_857_600),
    ),
    takes(
        key("azblob.retry.type", Type::String, "EXPONENTIAL", Importance::Low, AZURE, "Waits between retries: EXPONENTIAL doubles them, FIXED does not."),
        Check::OneOfIgnoreCase(&["EXPONENTIAL", "FIXED"]),
    ),
    takes(
        key(
            "azblob.retry.retries",
            Type::Int,
            "3",
            Importance::Low,
            AZURE,
            "Taken for upstream's sake: transient errors are retried for as long as they last.",
        ),
        Check::Range(0, i32::MAX as i64),
    ),
    takes(
        key("azblob.retry.backoff.ms", Type::Long, "4000", Importance::Low, AZURE, "Milliseconds before the first retry. When it is not given: 100."),
        Check::Range(0, i64::MAX),
    ),
    takes(
        key(
            "azblob.retry.max.backoff.ms",
            Type::Long,
            "120000",
            Importance::Low,
            AZURE,
            "Longest wait in milliseconds, 8000 at most. When it is not given: 5000.",
        ),
        Check::Range(1, i64::MAX),
    ),
    takes(
        no_default(key("azblob.retry.secondary.host", Type::String, "", Importance::Low, AZURE, "Secondary host for reads.")),
        Check::Only(&[""], "a sink does not read from a secondary host"),
    ),
    takes(
        key(
            "azblob.connection.timeout.ms",
            Type::Long,
            "30000",
            Importance::Medium,
            AZURE,
            "Milliseconds within which a connection must stand. When it is not given: 5000.",
        ),
        Check::Range(1, i32::MAX as i64),
    ),
    takes(key("azblob.proxy.url", Type::String, "", Importance::Low, AZURE, PROXY_DOC), Check::Custom(check_proxy)),
    no_default(key("azblob.proxy.user", Type::String, "", Importance::Low, AZURE, "The proxy's user, instead of one in the URL.")),
    no_default(key("azblob.proxy.password", Type::Password, "", Importance::Low, AZURE, "The proxy's password, instead of one in the URL.")),
    STORE_URL,
];

/// Keys of the Azure Data Lake Storage Gen2 sink. Its file system is the first level of `topics.dir`.
pub static DATA_LAKE_KEYS: &[ConfigKey] = &[
    takes(
        required(key("azure.datalake.gen2.account.name", Type::String, "", Importance::High, AZURE, "Storage account, with a hierarchical namespace.")),
        Check::Custom(check_account),
    ),
    no_default(key(
        "azure.datalake.gen2.client.id",
        Type::String,
        "",
        Importance::High,
        AZURE,
        "Application (client) id, with its key and token endpoint. Default: azure.datalake.gen2.access.key or .sas.key, lakehead.azure.connection.string, AZURE_* in \
         the environment (client secret, workload identity), or the machine's managed identity.",
    )),
    no_default(key("azure.datalake.gen2.client.key", Type::Password, "", Importance::High, AZURE, "The application's secret.")),
    takes(
        no_default(key(
            "azure.datalake.gen2.token.endpoint",
            Type::String,
            "",
            Importance::High,
            AZURE,
            "OAuth 2.0 token endpoint of the application's tenant: https://login.microsoftonline.com/<tenant>/oauth2/token.",
        )),
        Check::Custom(|text| if text.is_empty() { Ok(()) } else { token_endpoint(text).map(drop) }),
    ),
    no_default(key("azure.datalake.gen2.sas.key", Type::Password, "", Importance::High, AZURE, "A shared access signature.")),
    no_default(key("azure.datalake.gen2.access.key", Type::Password, "", Importance::High, AZURE, "The account's key.")),
    CONNECTION_STRING,
    takes(
        key(
            "lakehead.store.part.size",
            Type::Int,
            "8388608",
            Importance::Low,
            "Storage",
            "Ours. Bytes of each block of an upload; a block waits in memory until it is whole.",
        ),
        Check::Range(5_242_880, 104_857_600),
    ),
    STORE_URL,
];

fn check_account(text: &str) -> Result<(), String> {
    match text.len() {
        3..=24 if text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) => Ok(()),
        _ => Err("an account's name has 3 to 24 lower-case letters and digits".to_owned()),
    }
}

/// Containers and file systems have the same names.
pub(in crate::store) fn check_container(text: &str) -> Result<(), String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_well_formed = is_plain && !text.starts_with('-') && !text.ends_with('-') && !text.contains("--");
    match text.len() {
        3..=63 if is_well_formed || text == "$root" || text == "$web" => Ok(()),
        _ => Err("a container's name has 3 to 63 lower-case letters, digits and single hyphens between them".to_owned()),
    }
}

/// Authority and tenant of `https://login.microsoftonline.com/<tenant>/oauth2/token`, also in its v2.0 form.
pub(in crate::store) fn token_endpoint(text: &str) -> Result<(String, String), String> {
    let unknown = || "not a token endpoint: write https://login.microsoftonline.com/<tenant>/oauth2/token".to_owned();
    let url = url::Url::parse(text).map_err(|_| unknown())?;
    let mut levels = url.path_segments().ok_or_else(unknown)?;
    match (levels.next(), levels.next(), levels.collect::<Vec<_>>().as_slice()) {
        (Some(tenant), Some("oauth2"), ["token"] | ["v2.0", "token"]) if !tenant.is_empty() && matches!(url.scheme(), "https" | "http") => {
            Ok((url.origin().ascii_serialization(), tenant.to_owned()))
        }
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_endpoints() {
        let known = Ok(("https://login.microsoftonline.com".to_owned(), "tenant-1".to_owned()));
        assert_eq!(token_endpoint("https://login.microsoftonline.com/tenant-1/oauth2/token"), known);
        assert_eq!(token_endpoint("https://login.microsoftonline.com/tenant-1/oauth2/v2.0/token"), known);
        for other in ["tenant-1", "https://login.microsoftonline.com/tenant-1", "https://login.microsoftonline.com//oauth2/token", "ftp://h/t/oauth2/token"] {
            assert!(token_endpoint(other).is_err(), "{other}");
        }
    }

    #[test]
    fn names_of_accounts_and_containers() {
        for (name, is_container) in
            [("default", true), ("$web", true), ("a-b", true), ("ab", false), ("-ab", false), ("a--b", false), ("Abc", false), ("a_b", false)]
        {
            assert_eq!(check_container(name).is_ok(), is_container, "{name}");
        }
        for (name, is_account) in [("devstoreaccount1", true), ("ab", false), ("ab-c", false), ("abcdefghijklmnopqrstuvwxy", false)] {
            assert_eq!(check_account(name).is_ok(), is_account, "{name}");
        }
    }
}
