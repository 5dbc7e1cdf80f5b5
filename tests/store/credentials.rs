//! Every place where S3 credentials come from, over real HTTP: the metadata service, a container's endpoint, STS, profiles and the environment.
//!
//! The environment of a process is its own: each case runs the ignored test at the end in a child with that case's variables. The child opens a sink
//! and checks the store; the key that signed its requests is read from the requests.

use std::io::Write as _;
use std::path::Path;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::proxy::read_request;
use crate::servers::World;

const V2: &str = "software.amazon.awssdk.auth.credentials.";

/// Answers requests with the text that `answer` gives for their head; nothing = 404.
async fn serve(answer: fn(&str) -> Option<String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let Ok((head, _)) = read_request(&mut client).await else { continue };
            let (status, body) = answer(&String::from_utf8_lossy(&head)).map_or(("404 Not Found", String::new()), |body| ("200 OK", body));
            let ttl = "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n";
            let text = format!("HTTP/1.1 {status}\r\n{ttl}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
            drop(client.write_all(text.as_bytes()).await);
        }
    });
    port
}

fn keys(id: &str) -> String {
    format!(r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"secret","Token":"token","Expiration":"2099-01-01T00:00:00Z"}}"#)
}

/// Runs the child with these settings and variables; the access keys that its requests to the store were signed with.
async fn signed_by(world: &World, settings: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<String, String> {
    world.proxy.as_ref().unwrap().heads();
    let mut all = vec![("s3.bucket.name", "sink"), ("s3.region", "us-east-1"), ("store.url", world.props["store.url"].as_str())];
    all.extend_from_slice(settings);
    let text: Vec<String> = all.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "--ignored", "--nocapture", "credentials::a_child_that_checks_the_store"]).env("STORE_SETTINGS", text.join("\n"));
    child.env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
    let output = tokio::time::timeout(std::time::Duration::from_secs(90), child.output()).await.unwrap().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(said);
    }
    let heads = world.proxy.as_ref().unwrap().heads();
    let mut ids: Vec<String> = heads.iter().filter_map(|head| Some(head.split_once("credential=")?.1.split('/').next()?.to_ascii_uppercase())).collect();
    ids.dedup();
    Ok(ids.join(","))
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn keys_of_the_environment_of_profiles_and_of_processes() {
    let world = World::moto().await;
    let folder = tempfile::tempdir().unwrap();
    let environment = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_SESSION_TOKEN", "token")];
    assert_eq!(signed_by(&world, &[], &environment).await.unwrap(), "AKIAENV");
    let class = format!("{V2}EnvironmentVariableCredentialsProvider");
    assert_eq!(signed_by(&world, &[("s3.credentials.provider.class", &class)], &environment).await.unwrap(), "AKIAENV");
    let keys = [("aws.access.key.id", "AKIACONF"), ("aws.secret.access.key", "secret")];
    assert_eq!(signed_by(&world, &keys, &environment).await.unwrap(), "AKIACONF", "keys of the configuration come first");
    let shared = write(
        folder.path(),
        "credentials",
        "[default]\naws_access_key_id=AKIADEFAULT\naws_secret_access_key=s\n[lake]\naws_access_key_id=AKIALAKE\naws_secret_access_key=s\n",
    );
    let script = r#"[profile run]
credential_process = /bin/echo '{"Version":1,"AccessKeyId":"AKIAPROCESS","SecretAccessKey":"s"}'
"#;
    let config = write(folder.path(), "config", script);
    let files = [("AWS_SHARED_CREDENTIALS_FILE", shared.as_str()), ("AWS_CONFIG_FILE", config.as_str())];
    assert_eq!(signed_by(&world, &[], &files).await.unwrap(), "AKIADEFAULT");
    for (profile, id) in [("lake", "AKIALAKE"), ("run", "AKIAPROCESS")] {
        let variables: Vec<_> = files.into_iter().chain([("AWS_PROFILE", profile)]).collect();
        assert_eq!(signed_by(&world, &[("s3.credentials.provider.class", &format!("{V2}ProfileCredentialsProvider"))], &variables).await.unwrap(), id);
    }
    assert_eq!(signed_by(&world, &[("lakehead.store.option.aws_profile", "lake")], &files).await.unwrap(), "AKIALAKE");
    let anonymous = format!("{V2}AnonymousCredentialsProvider");
    assert_eq!(signed_by(&world, &[("s3.credentials.provider.class", &anonymous)], &environment).await.unwrap(), "", "nothing is signed");
}

#[tokio::test]
async fn the_instances_role() {
    let world = World::moto().await;
    let port = serve(|head| {
        let line = head.lines().next()?;
        let has_token = head.to_ascii_lowercase().contains("x-aws-ec2-metadata-token: the-token");
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["PUT", "/latest/api/token", _] => Some("the-token".to_owned()),
            ["GET", "/latest/meta-data/iam/security-credentials/", _] if has_token => Some("lake-role".to_owned()),
            ["GET", "/latest/meta-data/iam/security-credentials/lake-role", _] if has_token => Some(keys("ASIAINSTANCE")),
            _ => None,
        }
    })
    .await;
    let endpoint = format!("http://127.0.0.1:{port}");
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str()), ("AWS_EC2_METADATA_DISABLED", "false")];
    assert_eq!(signed_by(&world, &[], &variables).await.unwrap(), "ASIAINSTANCE");
    let class = "com.amazonaws.auth.InstanceProfileCredentialsProvider";
    assert_eq!(signed_by(&world, &[("s3.credentials.provider.class", class)], &variables).await.unwrap(), "ASIAINSTANCE");
}

#[tokio::test]
async fn the_containers_credentials_and_pod_identity() {
    let world = World::moto().await;
    let folder = tempfile::tempdir().unwrap();
    let port =
        serve(|head| (head.starts_with("GET /v1/credentials ") && head.to_ascii_lowercase().contains("authorization: pod-token")).then(|| keys("ASIAPOD")))
            .await;
    let (uri, token) = (format!("http://127.0.0.1:{port}/v1/credentials"), write(folder.path(), "token", "pod-token"));
    let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str())];
    assert_eq!(signed_by(&world, &[], &variables).await.unwrap(), "ASIAPOD");
    for class in ["ContainerCredentialsProvider"]
        .map(|name| format!("{V2}{name}"))
        .into_iter()
        .chain(["com.amazonaws.auth.EC2ContainerCredentialsProviderWrapper".to_owned()])
    {
        assert_eq!(signed_by(&world, &[("s3.credentials.provider.class", &class)], &variables).await.unwrap(), "ASIAPOD");
    }
}

#[tokio::test]
async fn roles_by_web_identity_and_by_assuming_them() {
    let world = World::moto().await;
    let folder = tempfile::tempdir().unwrap();
    let sts = format!("http://127.0.0.1:{}", world.port());
    let token = write(folder.path(), "jwt", "header.payload.signature");
    let arn = "arn:aws:iam::123456789012:role/lake";
    let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()), ("AWS_ROLE_ARN", arn), ("AWS_ENDPOINT_URL_STS", sts.as_str())];
    assert!(signed_by(&world, &[], &web).await.unwrap().starts_with("ASIA"), "a session's key");
    let class = format!("{V2}WebIdentityTokenFileCredentialsProvider");
    assert!(signed_by(&world, &[("s3.credentials.provider.class", &class)], &web).await.unwrap().starts_with("ASIA"));
    let role = [
        ("s3.credentials.provider.class", "io.confluent.connect.s3.auth.AwsAssumeRoleCredentialsProvider"),
        ("s3.credentials.provider.sts.role.arn", arn),
        ("s3.credentials.provider.sts.role.session.name", "lakehead"),
        ("s3.credentials.provider.sts.role.external.id", "customer-7"),
        ("s3.credentials.provider.sts.region", "eu-west-1"),
        ("aws.access.key.id", "AKIABASE"),
        ("aws.secret.access.key", "secret"),
    ];
    // STS behind a proxy that keeps what was asked.
    let watched = crate::proxy::Proxy::start(world.port()).await;
    let endpoint = format!("http://127.0.0.1:{}", watched.port());
    let settings: Vec<_> = role.iter().copied().chain([("lakehead.s3.sts.endpoint", endpoint.as_str())]).collect();
    assert!(signed_by(&world, &settings, &[]).await.unwrap().starts_with("ASIA"));
    let asked = watched.heads();
    assert!(!asked.is_empty() && asked.iter().all(|head| head.contains("credential=akiabase/") && head.contains("/eu-west-1/sts/")), "{asked:?}");
    let chain: Vec<_> = settings.iter().copied().filter(|(key, _)| !key.starts_with("aws.")).collect();
    let environment = [("AWS_ACCESS_KEY_ID", "AKIAENV"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    assert!(signed_by(&world, &chain, &environment).await.unwrap().starts_with("ASIA"));
    assert!(watched.heads().iter().all(|head| head.contains("credential=akiaenv/")));
    watched.fail(|line| line.starts_with("POST"), crate::proxy::Fault::Answer(403, "AccessDenied"), u32::MAX);
    let said = signed_by(&world, &settings, &[]).await.unwrap_err();
    assert!(said.contains(&format!("role '{arn}' could not be assumed")) && said.contains("AccessDenied"), "{said}");
}

#[tokio::test]
async fn no_credentials_at_all_are_told() {
    let said = signed_by(&World::moto().await, &[], &[]).await.unwrap_err();
    assert!(said.contains("no credentials were found: check aws.access.key.id"), "{said}");
}

#[tokio::test]
#[ignore = "the tests of this file run it in processes of their own, with the environment that they want"]
#[expect(clippy::disallowed_methods, reason = "the parent's words for this child")]
async fn a_child_that_checks_the_store() {
    let settings = std::env::var("STORE_SETTINGS").unwrap();
    let props = settings.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let sink = lakehead::store::urls::open(lakehead::store::urls::StoreKind::S3, &props, lakehead::connect::Health::default()).unwrap();
    sink.check().await.unwrap();
}
