//! HTTPS, certificates of clients, and passwords, with the stores of `tests/tls`; the answers to those without a password are upstream's, recorded.

use std::net::SocketAddr;

use lakehead::rest::Bound;
use lakehead::settings::{Host, Settings};
use lakehead::tls::{self, Fallback, Ssl};
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Method};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Answer, World};

const EXTENSION: &str = "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension";

fn store(file: &str) -> String {
    format!("{}/tests/tls/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn pem(file: &str) -> Vec<u8> {
    std::fs::read(store(file)).unwrap()
}

/// A client that trusts the authority, and nobody else.
fn trusting() -> ClientBuilder {
    Client::builder().tls_certs_only([Certificate::from_pem(&pem("ca.pem")).unwrap()])
}

async fn get(client: &Client, url: &str) -> Result<(u16, String), reqwest::Error> {
    let answer = client.get(url).send().await?;
    Ok((answer.status().as_u16(), answer.text().await?))
}

/// The properties with the path of each store for `@store`.
fn located<'a>(properties: &'a [(&'a str, &'a str)], paths: &'a mut Vec<String>) -> Vec<(&'a str, &'a str)> {
    paths.extend(properties.iter().map(|(_, value)| value.strip_prefix('@').map_or((*value).to_owned(), store)));
    properties.iter().zip(paths).map(|((key, _), value)| (*key, value.as_str())).collect()
}

#[tokio::test]
async fn https_and_http_serve_the_same_side_by_side() {
    let mut paths = Vec::new();
    let settings = located(
        &[
            ("listeners", "https://127.0.0.1:0"),
            ("admin.listeners", "https://127.0.0.1:0,http://127.0.0.1:0"),
            // The listener's own keys win, all of them: the required certificates are those of the admin listener, which has none of its own.
            ("listeners.https.ssl.keystore.location", "@server.jks"),
            ("listeners.https.ssl.keystore.password", "store-pass-1"),
            ("listeners.https.ssl.key.password", "key-pass-2"),
            ("ssl.keystore.location", "@server.p12"),
            ("ssl.keystore.password", "store-pass-1"),
            ("ssl.truststore.location", "@trust.p12"),
            ("ssl.truststore.password", "store-pass-1"),
            ("ssl.client.auth", "required"),
        ],
        &mut paths,
    );
    let world = World::start(&settings).await;
    let (anybody, known) = (trusting().build().unwrap(), trusting().identity(Identity::from_pem(&pem("client.pem")).unwrap()).build().unwrap());
    let api = format!("https://{}/connectors", world.address);
    assert_eq!(get(&anybody, &api).await.unwrap(), (200, "[]".to_owned()));
    let config = serde_json::json!({"name": "c", "config": {"connector.class": "BlackholeSink", "topics": "t", "depth": "1"}});
    let made = anybody.post(&api).json(&config).send().await.unwrap();
    assert_eq!((made.status().as_u16(), made.headers()["location"].to_str().unwrap()), (201, format!("{api}/c").as_str()));
    assert_eq!(anybody.delete(format!("{api}/c")).send().await.unwrap().status(), 204);
    assert!(get(&Client::new(), &api).await.is_err(), "the authority is unknown to the system");
    assert!(get(&Client::new(), &api.replace("https", "http")).await.is_err(), "the listener speaks TLS alone");
    let admin = format!("https://{}/admin/loggers/root", world.admin_address.unwrap());
    assert!(get(&anybody, &admin).await.is_err(), "a certificate is required");
    assert_eq!(get(&known, &admin).await.unwrap().0, 200);
    for answer in futures::future::join_all((0..50).map(|_| get(&anybody, &api))).await {
        assert_eq!(answer.unwrap().0, 200);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_peer_that_says_nothing_holds_nobody_up() {
    let mut paths = Vec::new();
    let settings = located(&[("listeners", "https://127.0.0.1:0"), ("ssl.keystore.type", "PEM"), ("ssl.keystore.location", "@server.pem")], &mut paths);
    let world = World::start(&settings).await;
    let silent: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(world.address).unwrap()).collect();
    let mut plain = TcpStream::connect(world.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(get(&trusting().build().unwrap(), &format!("https://{}/connectors", world.address)).await.unwrap().0, 200);
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer).await);
    assert!(!answer.starts_with(b"HTTP"), "no answer without TLS");
    drop(silent);
    world.stop().await;
}

#[tokio::test]
async fn a_store_that_changes_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.pem");
    std::fs::copy(store("server.pem"), &kept).unwrap();
    let path = kept.display().to_string();
    let world = World::start(&[("listeners", "https://127.0.0.1:0"), ("ssl.keystore.type", "PEM"), ("ssl.keystore.location", &path)]).await;
    let trusting = |file: &str| {
        let props = [("ssl.truststore.type", "PEM".to_owned()), ("ssl.truststore.location", store(file))].map(|(key, value)| (key.to_owned(), value)).into();
        Client::builder().tls_backend_preconfigured(tls::client(Ssl::new(&props), Fallback::System).unwrap()).pool_max_idle_per_host(0).build().unwrap()
    };
    let (before, after) = (trusting("ca.pem"), trusting("own.pem"));
    let url = format!("https://{}/connectors", world.address);
    assert!(get(&before, &url).await.is_ok() && get(&after, &url).await.is_err());
    std::fs::copy(store("own.pem"), &kept).unwrap();
    for _ in 0..500 {
        if get(&after, &url).await.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(get(&after, &url).await.is_ok() && get(&before, &url).await.is_err());
    world.stop().await;
}

#[tokio::test]
async fn workers_reach_each_other_with_the_listeners_stores() {
    let mut paths = Vec::new();
    let settings = located(
        &[
            ("listeners", "https://localhost:0"),
            ("listeners.https.ssl.keystore.location", "@self.jks"),
            ("listeners.https.ssl.keystore.password", "store-pass-1"),
            ("listeners.https.ssl.client.auth", "required"),
        ],
        &mut paths,
    );
    let world = World::start(&settings).await;
    let url = format!("https://localhost:{}/", world.address.port());
    let answered = world.herder.peers().forward(&url, Method::GET, "/connectors", &HeaderMap::new(), Vec::new()).await.unwrap();
    assert_eq!((answered.status, answered.body.as_slice()), (200, &b"[]"[..]));
    assert!(get(&trusting().build().unwrap(), &url).await.is_err());
    world.stop().await;
}

#[tokio::test]
async fn workers_are_known_by_the_advertised_listener() {
    for (more, id, url) in [
        (vec![("listeners", "http://127.0.0.1:0,https://localhost:0")], "127.0.0.1:PORT0", "http://127.0.0.1:PORT0/"),
        (vec![("listeners", "https://localhost:0")], "localhost:PORT0", "https://localhost:PORT0/"),
        (vec![("listeners", "http://127.0.0.1:0,https://localhost:0"), ("rest.advertised.listener", "HTTPS")], "localhost:PORT1", "https://localhost:PORT1/"),
        (
            vec![
                ("listeners", "https://localhost:0"),
                ("rest.advertised.host.name", "w1"),
                ("rest.advertised.port", "443"),
                ("rest.advertised.listener", "http"),
            ],
            "w1:443",
            "http://w1:443/",
        ),
        (vec![("listeners", "https://[::1]:0")], "[::1]:PORT0", "https://[::1]:PORT0/"),
    ] {
        let (key, path) = ("ssl.keystore.location", store("server.p12"));
        let base = [("bootstrap.servers", "b:1"), ("key.converter", "K"), ("value.converter", "V"), (key, &path), ("ssl.keystore.password", "store-pass-1")];
        let props = base.iter().chain(&more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let settings = Settings::from_props(&props, &Host::default()).unwrap();
        let bound = Bound::bind(&settings.rest).await.unwrap();
        let ports: Vec<_> = bound.addresses().iter().map(SocketAddr::port).collect();
        let expected = |text: &str| ports.iter().enumerate().fold(text.to_owned(), |text, (n, port)| text.replace(&format!("PORT{n}"), &port.to_string()));
        assert_eq!((bound.worker_id(&settings), bound.url(&settings)), (expected(id), expected(url)), "{more:?}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_refused_before_anything_is_bound() {
    let (key, path) = ("listeners.https.ssl.keystore.location", store("server.p12"));
    let base = [("bootstrap.servers", "b:1"), ("key.converter", "K"), ("value.converter", "V"), ("listeners", "https://127.0.0.1:0"), (key, &path)];
    let props = base.iter().chain(&[("listeners.https.ssl.keystore.password", "hunter2")]).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let settings = Settings::from_props(&props, &Host::default()).unwrap();
    let error = Bound::bind(&settings.rest).await.unwrap_err();
    assert!(error.starts_with("the REST API cannot listen on https://127.0.0.1:0: property listeners.https.ssl.keystore.location"), "{error}");
    assert!(error.contains("(check listeners.https.ssl.keystore.password)") && !error.contains("hunter2"), "{error}");
    assert!(!format!("{settings:?} {:?}", settings.rest).contains("hunter2"));
}

/// A worker that asks for a password; alice's is `wonder=land`.
async fn guarded(more: &[(&str, &str)]) -> World {
    let folder = tempfile::tempdir().unwrap();
    let (users, jaas) = (folder.path().join("users"), folder.path().join("jaas"));
    std::fs::write(&users, "alice=wonder\\=land\n").unwrap();
    std::fs::write(&jaas, format!("KafkaConnect {{ PropertyFileLoginModule required file=\"{}\"; }};", users.display())).unwrap();
    let path = jaas.display().to_string();
    World::start(&[&[("rest.extension.classes", EXTENSION), ("lakehead.jaas.config.file", &path)], more].concat()).await
}

const ALICE: &str = "Basic YWxpY2U6d29uZGVyPWxhbmQ=";
const MALLORY: &str = "Basic YWxpY2U6aHVudGVyMg==";

#[tokio::test]
async fn whoever_has_no_password_gets_upstreams_answers() {
    let world = guarded(&[("access.control.allow.origin", "*")]).await;
    let message = "User cannot access the resource.";
    for (method, path, header, status, expected) in [
        ("GET", "/", None, 401, message),
        ("GET", "/", Some(MALLORY), 401, message),
        ("GET", "/health", None, 401, message),
        ("GET", "/connectors/", None, 401, message),
        ("GET", "/connectors/x/tasks/abc/status", None, 401, message),
        ("PUT", "/connectors/x/pause", Some("Bearer x"), 401, message),
        ("PUT", "/connectors/x/pause", Some("Basic YWxpY2U="), 401, message),
        ("DELETE", "/connectors/x", None, 401, message),
        ("POST", "/connectors", None, 401, message),
        ("GET", "/admin/loggers", None, 401, message),
        ("OPTIONS", "/connectors", None, 401, message),
        ("GET", "/", Some("Basic !!!"), 500, r#"{"error_code":500,"message":"Illegal base64 character 21"}"#),
        ("GET", "/nope", None, 404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#),
        ("GET", "/nope", Some("Basic !!!"), 404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#),
        ("DELETE", "/", None, 405, r#"{"error_code":405,"message":"HTTP 405 Method Not Allowed"}"#),
        ("GET", "/", Some(ALICE), 200, ""),
        ("GET", "/admin/loggers/root", Some(ALICE), 200, ""),
        ("OPTIONS", "/connectors", Some(ALICE), 200, ""),
        ("DELETE", "/connectors/x", Some(ALICE), 404, ""),
        // Between workers, where requests are signed. In standalone mode there are none.
        ("POST", "/connectors/x/tasks", None, 500, ""),
        ("PUT", "/connectors/x/fence/", Some(MALLORY), 500, ""),
    ] {
        let headers: Vec<_> =
            header.map(|header| ("Authorization", header)).into_iter().chain([("Origin", "http://a"), ("Content-Type", "application/json")]).collect();
        let body = (method == "POST").then(|| "[]".to_owned());
        let Answer { status: got, headers, text } = world.send(method, path, &headers, body).await;
        assert!(got == status && (expected.is_empty() || text == expected), "{method} {path} {header:?}: {got} {text}");
        assert!(!text.contains("hunter2") && !text.contains("wonder"), "{text}");
        assert_eq!(headers["access-control-allow-origin"], "http://a", "{method} {path}");
        if status == 401 {
            assert_eq!(headers["content-type"], if method == "OPTIONS" { "text/plain" } else { "application/json" }, "{method} {path}");
            assert!(!headers.contains_key("www-authenticate"), "upstream names no way in");
        }
    }
    assert_eq!(world.send("GET", "/connectors", &[("Accept", "text/plain")], None).await.status, 406);
    assert_eq!(world.send("PUT", "/connectors/x/pause", &[("Content-Type", "text/plain")], None).await.status, 415);
    let head = world.send("HEAD", "/connectors", &[], None).await;
    assert_eq!((head.status, head.headers["content-length"].to_str().unwrap(), head.text.as_str()), (401, "32", ""));
    world.stop().await;
}

#[tokio::test]
async fn nothing_is_done_for_whoever_has_no_password() {
    let world = guarded(&[]).await;
    let (json_type, alice) = (("Content-Type", "application/json"), ("Authorization", ALICE));
    let body = json!({"name": "c", "config": {"connector.class": "BlackholeSink", "topics": "t", "depth": "1"}}).to_string();
    for (headers, status) in [(vec![json_type], 401), (vec![json_type, ("Authorization", MALLORY)], 401), (vec![json_type, alice], 201)] {
        assert_eq!(world.send("POST", "/connectors", &headers, Some(body.clone())).await.status, status);
        let there = world.send("GET", "/connectors", &[alice], None).await.text;
        assert_eq!(there, if status == 201 { r#"["c"]"# } else { "[]" });
    }
    assert_eq!(world.call("DELETE", "/connectors/c").await.status, 401);
    assert_eq!(world.send("GET", "/connectors", &[alice], None).await.text, r#"["c"]"#);
    world.stop().await;
}

#[tokio::test]
async fn passwords_are_not_for_admin_listeners_of_their_own() {
    let world = guarded(&[("admin.listeners", "http://127.0.0.1:0")]).await;
    let admin = world.admin_address.unwrap();
    assert_eq!(world.send_to(admin, "GET", "/admin/loggers/root", &[], None).await.status, 200, "as upstream");
    let warning = format!("rest.extension.classes is not about admin.listeners: {} asks for no password", "http://127.0.0.1:0");
    assert_eq!(world.herder.settings().warnings, [warning]);
    world.stop().await;
}
