//! What stands in the requests: conditions, ACLs, encryption, digests, storage classes, and the way through a proxy.

use lakehead::store::{Condition, Published};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::proxy::Fault;
use crate::servers::{BUCKET, World};
use crate::suite::{bytes, written};

const LARGE: usize = 6 << 20; // two parts
const CUSTOMER_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// Publishes a small and a large object with some settings, and gives the requests by what they are: `put`, `start`, `part`, `complete`, `head`.
async fn requests(world: &World, settings: &[(&str, &str)], condition: Condition) -> Vec<(&'static str, String)> {
    let (sink, health) = world.sink_with(settings);
    world.proxy.as_ref().unwrap().heads();
    for (key, length) in [("small", 10), ("large", LARGE)] {
        let key = format!("headers/{key}-{}", settings.len());
        let mut upload = written(world, &*sink, &key, &bytes(length, 30)).await;
        upload.seal(vec![]).await.unwrap();
        assert_eq!(upload.publish(condition).await.unwrap(), Published::Visible);
        assert_eq!(health.trouble(), None);
        assert!(sink.exists(&key).await.unwrap());
    }
    let heads = world.proxy.as_ref().unwrap().heads();
    heads.into_iter().map(|head| (step(&head), head)).collect()
}

fn step(head: &str) -> &'static str {
    let line = head.lines().next().unwrap();
    match line {
        _ if line.contains("comp=blocklist") => "complete",
        _ if line.contains("comp=block") || line.contains("partnumber=") => "part",
        _ if line.starts_with("put ") => "put",
        _ if line.contains("?uploads") => "start",
        _ if line.starts_with("post ") => "complete",
        _ => "head",
    }
}

/// Which steps carry a header, with its value where it is not empty.
fn assert_sent(requests: &[(&'static str, String)], header: &str, value: &str, steps: &[&str]) {
    for (step, head) in requests {
        let line = head.lines().find_map(|line| line.strip_prefix(&format!("{header}: ")));
        assert_eq!(line.is_some(), steps.contains(step), "{header} in {head}");
        assert!(line.is_none_or(|found| value.is_empty() || found == value), "{header} is {line:?}");
    }
    for step in steps {
        assert!(requests.iter().any(|(found, _)| found == step), "no {step}");
    }
}

#[tokio::test]
async fn conditions_are_left_to_the_store() {
    for world in [World::s3().await, World::moto().await, World::azure().await] {
        assert_sent(&requests(&world, &[], Condition::IfAbsent).await, "if-none-match", "*", &["put", "complete"]);
        assert_sent(&requests(&world, &[], Condition::Overwrite).await, "if-none-match", "*", &[]);
    }
    let world = World::gcs().await;
    assert_sent(&requests(&world, &[], Condition::IfAbsent).await, "x-goog-if-generation-match", "0", &["put"]);
}

#[tokio::test]
async fn acls_digests_and_storage_classes_go_with_objects() {
    let settings = [("s3.acl.canned", "bucket-owner-full-control"), ("s3.send.digest", "true"), ("lakehead.s3.storage.class", "STANDARD")];
    for world in [World::s3().await, World::moto().await] {
        let found = requests(&world, &settings, Condition::IfAbsent).await;
        assert_sent(&found, "x-amz-acl", "bucket-owner-full-control", &["put", "start"]);
        assert_sent(&found, "x-amz-storage-class", "standard", &["put", "start"]);
        assert_sent(&found, "content-md5", "", &["put", "part"]);
        assert_sent(&found, "if-none-match", "*", &["put", "complete"]);
        let signed = found.iter().filter(|(step, _)| ["put", "start"].contains(step));
        signed.for_each(|(_, head)| assert!(head.contains(";x-amz-acl;") || head.contains(";x-amz-acl,"), "{head}"));
    }
}

#[tokio::test]
async fn encryption_is_asked_for_as_upstream_asks() {
    let world = World::moto().await;
    let (sse, kms) = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id");
    let customer = "x-amz-server-side-encryption-customer-key";
    let found = requests(&world, &[("s3.ssea.name", "AES256")], Condition::Overwrite).await;
    assert_sent(&found, sse, "aes256", &["put", "start"]);
    let found = requests(&world, &[("s3.ssea.name", "aws:kms"), ("s3.sse.kms.key.id", "alias/lake")], Condition::Overwrite).await;
    assert_sent(&found, sse, "aws:kms", &["put", "start"]);
    assert_sent(&found, kms, "alias/lake", &["put", "start"]);
    let found = requests(&world, &[("s3.ssea.name", "aws:kms")], Condition::Overwrite).await;
    assert_sent(&found, sse, "", &[]);
    let found = requests(&world, &[("s3.ssea.name", "aws:kms:dsse"), ("s3.sse.kms.key.id", "alias/lake")], Condition::Overwrite).await;
    assert_sent(&found, sse, "aws:kms:dsse", &["put", "start"]);
    let found = requests(&world, &[("s3.ssea.name", "AES256"), ("s3.sse.customer.key", CUSTOMER_KEY)], Condition::Overwrite).await;
    assert_sent(&found, sse, "", &[]);
    assert_sent(&found, customer, &CUSTOMER_KEY.to_ascii_lowercase(), &["put", "start", "part", "complete", "head"]);
    assert_sent(&found, &format!("{customer}-md5"), "", &["put", "start", "part", "complete", "head"]);
}

#[tokio::test]
async fn a_store_without_conditions_is_looked_at_first() {
    let world = World::s3().await;
    let (sink, health) = world.sink();
    let proxy = world.proxy.as_ref().unwrap();
    let puts = |line: &str| line.starts_with("PUT");
    for (key, is_free) in [("old/a", true), ("old/a", false)] {
        let mut upload = written(&world, &*sink, key, b"x").await;
        upload.seal(vec![]).await.unwrap();
        proxy.fail(puts, Fault::Answer(501, "NotImplemented"), if is_free { 3 } else { 0 });
        assert_eq!(upload.publish(Condition::IfAbsent).await.unwrap() == Published::Visible, is_free);
        proxy.heal();
    }
    assert_eq!(health.trouble(), None);
    let last = proxy.heads();
    assert!(last.iter().rev().take_while(|head| !head.starts_with("put")).any(|head| head.starts_with("head")), "{last:#?}");
}

#[tokio::test]
async fn a_condition_can_fail_under_200_and_with_409() {
    let world = World::s3().await;
    let proxy = world.proxy.as_ref().unwrap();
    let completes = |line: &str| line.starts_with("POST") && line.to_lowercase().contains("uploadid=");
    for (status, code) in [(200, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (412, "PreconditionFailed")] {
        let (sink, health) = world.sink();
        let key = format!("told/{status}");
        for (seed, is_free) in [(1, true), (2, false)] {
            let mut upload = written(&world, &*sink, &key, &bytes(LARGE, seed)).await;
            upload.seal(vec![]).await.unwrap();
            // The first time nobody has the name, whatever the store says: it is asked again.
            proxy.fail(completes, Fault::Answer(status, code), 3);
            assert_eq!(upload.publish(Condition::IfAbsent).await.unwrap() == Published::Visible, is_free, "{status} {code}");
            assert!(proxy.heal() >= 1);
            upload.abort().await;
        }
        assert!(world.read(&key).await == Some(bytes(LARGE, 1)));
        assert_eq!(health.trouble(), None);
    }
}

#[tokio::test]
async fn tagging_gives_up_after_its_attempts_and_says_so() {
    let world = World::s3().await;
    let (sink, _) = world.sink_with(&[("s3.part.retries", "2")]);
    let mut upload = written(&world, &*sink, "tags/t+0+0.json", b"x").await;
    upload.seal(vec![]).await.unwrap();
    upload.publish(Condition::Overwrite).await.unwrap();
    let tagging = |line: &str| line.contains("?tagging");
    let proxy = world.proxy.as_ref().unwrap();
    let tags = [("a".to_owned(), "b".to_owned())];
    proxy.fail(tagging, Fault::Answer(503, "SlowDown"), u32::MAX);
    let error = upload.tag(&tags).await.unwrap_err();
    assert_eq!(proxy.heal(), 2);
    assert!(error.message.starts_with("Unable to tag S3 object tags/t+0+0.json: 503 SlowDown"), "{error}");
    proxy.fail(tagging, Fault::Answer(503, "SlowDown"), 1);
    upload.tag(&tags).await.unwrap();
    proxy.fail(tagging, Fault::Answer(403, "AccessDenied"), u32::MAX);
    let error = upload.tag(&tags).await.unwrap_err();
    assert_eq!(proxy.heal(), 1, "a permission does not come by trying again");
    assert!(error.message.contains("s3:PutObjectTagging on arn:aws:s3:::sink/tags/t+0+0.json is denied: grant it"), "{error}");
}

#[tokio::test]
async fn objects_go_through_the_proxy_with_its_password() {
    let world = World::s3().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&heads);
    let proxy = tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(forward(client, std::sync::Arc::clone(&seen)));
        }
    });
    // A name that only the proxy knows.
    let endpoint = format!("http://store.invalid:{}", world.port());
    for settings in [
        vec![("s3.proxy.url", format!("http://me:p%40ss@127.0.0.1:{port}"))],
        vec![("s3.proxy.url", format!("http://127.0.0.1:{port}")), ("s3.proxy.user", "me".to_owned()), ("s3.proxy.password", "p@ss".to_owned())],
    ] {
        let mut settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        settings.push(("store.url", endpoint.as_str()));
        let (sink, _) = world.sink_with(&settings);
        let mut upload = written(&world, &*sink, "proxied/o", b"through the proxy").await;
        upload.seal(vec![]).await.unwrap();
        upload.publish(Condition::Overwrite).await.unwrap();
        upload.tag(&[("a".to_owned(), "b".to_owned())]).await.unwrap();
        assert_eq!(world.read("proxied/o").await.as_deref(), Some(&b"through the proxy"[..]));
        let heads = std::mem::take(&mut *heads.lock().unwrap());
        assert!(heads.len() >= 2);
        for head in heads {
            assert!(head.starts_with(&format!("PUT {endpoint}/{BUCKET}/proxied/o")), "{head}");
            assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic bwu6cebzcw=="), "{head}"); // me:p@ss
        }
    }
    proxy.abort();
}

/// Carries one request of the absolute form to 127.0.0.1, whatever host it names, with the `Host` that its signature is about.
async fn forward(mut client: tokio::net::TcpStream, seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>) -> std::io::Result<()> {
    let (head, body) = crate::proxy::read_request(&mut client).await?;
    let text = String::from_utf8_lossy(&head).into_owned();
    seen.lock().unwrap().push(text.clone());
    let (line, headers) = text.split_once("\r\n").unwrap();
    let mut words = line.split(' ');
    let (method, url) = (words.next().unwrap(), url::Url::parse(words.next().unwrap()).unwrap());
    let mut server = tokio::net::TcpStream::connect(("127.0.0.1", url.port().unwrap())).await?;
    let path = &url[url::Position::BeforePath..];
    let headers = headers.trim_end();
    server.write_all(format!("{method} {path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    server.write_all(&body).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    client.write_all(&answer).await?;
    client.shutdown().await
}
