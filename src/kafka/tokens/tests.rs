//! Where tokens come from, what is refused, and when an endpoint is asked again.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use proptest::prelude::*;
use tokio::net::TcpListener;

use super::*;

fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A login with a JAAS line's options, and other properties beside.
fn login(options: &str, more: &[(&str, &str)]) -> Result<Arc<Tokens>, KafkaError> {
    let line = format!("org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required {options};");
    let mut all = props(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER"), (JAAS, &line)]);
    all.extend(props(more));
    Ok(Logins::default().tokens(&all, Clock::system())?.expect("a login"))
}

/// A token with these claims.
fn token(claims: &str) -> String {
    format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#), URL_SAFE_NO_PAD.encode(claims))
}

const CLIENT: &str = "clientId=me clientSecret=hunter2";

#[test]
fn logins_are_refused_by_the_propertys_name_and_without_secrets() {
    let (url, http) = (URL, (URL, "http://idp/token"));
    for (options, more, says) in [
        ("", vec![], "property sasl.oauthbearer.token.endpoint.url: it is needed"),
        (CLIENT, vec![(url, "ftp://me:hunter2@idp/token")], "token.endpoint.url: it is no address"),
        (CLIENT, vec![(url, "https://me:hunter2@idp/token")], "token.endpoint.url: it has a user or a password in it"),
        ("clientId=me", vec![http], "sasl.oauthbearer.client.credentials.client.secret: it is needed"),
        ("clientSecret=hunter2", vec![http], "sasl.oauthbearer.client.credentials.client.id: it is needed"),
        (CLIENT, vec![http, ("sasl.login.retry.backoff.ms", "soon")], "sasl.login.retry.backoff.ms: \"soon\""),
        (CLIENT, vec![http, ("sasl.oauthbearer.assertion.file", "/a")], "sasl.oauthbearer.assertion.file: assertions are not supported"),
        (&format!("{CLIENT} ssl.truststore.location=/nowhere"), vec![(url, "https://idp/token")], "ssl.truststore.location=\"/nowhere\""),
        ("unsecuredLoginNumberClaim_n=hunter2", vec![], "option unsecuredLoginNumberClaim_n is not a number"),
        ("unsecuredLoginStringClaim_exp=1", vec![], "the claim exp is reckoned"),
        ("unsecuredLoginLifetimeSeconds=-1", vec![], "unsecuredLoginLifetimeSeconds is not a number of seconds"),
        ("unsecuredLoginStringClaim_sub=u unsecuredLoginExtension_auth=hunter2", vec![], "option unsecuredLoginExtension_auth"),
        ("unsecuredLoginStringClaim_sub=u", vec![("sasl.login.refresh.window.factor", "2")], "sasl.login.refresh.window.factor"),
    ] {
        let error = login(options, &more).expect_err("refused");
        assert!(error.kind == KafkaErrorKind::Config && error.message.contains(says) && !error.message.contains("hunter2"), "{error}");
    }
    assert!(Logins::default().tokens(&props(&[("sasl.mechanism", "OAUTHBEARER")]), Clock::system()).unwrap().is_none(), "PLAINTEXT needs no login");
}

#[tokio::test]
async fn an_unsecured_token_has_its_claims_and_times() {
    let options = "unsecuredLoginStringClaim_who=alice unsecuredLoginNumberClaim_n=1.5 unsecuredLoginListClaim_scope=\"|a|b\" \
                   unsecuredLoginPrincipalClaimName=who unsecuredLoginLifetimeSeconds=60 unsecuredLoginExtension_pool=p";
    let tokens = login(options, &[]).unwrap();
    let token = tokens.get().await.unwrap();
    let parts: Vec<_> = token.text.split('.').map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()).collect();
    let claims: Value = serde_json::from_str(&parts[1]).unwrap();
    assert_eq!((parts[0].as_str(), parts[2].as_str()), (r#"{"alg":"none"}"#, ""));
    assert_eq!((&claims["who"], &claims["n"], &claims["scope"]), (&json!("alice"), &json!(1.5), &json!(["a", "b"])));
    assert_eq!(claims["exp"].as_i64(), claims["iat"].as_i64().map(|issued| issued + 60));
    assert_eq!((token.principal.as_str(), Some(token.expires_ms / 1000)), ("alice", claims["exp"].as_i64()));
    assert_eq!(tokens.extensions(), [("pool".to_owned(), "p".to_owned())]);
    let nobody = login("unsecuredLoginStringClaim_x=y", &[]).unwrap().get().await.unwrap_err();
    assert!(nobody.kind == KafkaErrorKind::Denied && nobody.message.contains("claim sub"), "{nobody}");
}

#[tokio::test]
async fn a_file_is_read_whenever_a_token_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let url = format!("file://{}", path.display());
    let tokens = login("", &[(URL, &url), ("sasl.oauthbearer.sub.claim.name", "client_id"), (HANDLER, "x.OAuthBearerLoginCallbackHandler")]).unwrap();
    for (text, expected) in [
        (None, Err("cannot be read")),
        (Some(token(r#"{"client_id":"one","exp":9000000000}"#)), Ok("one")),
        (Some(token(r#"{"client_id":"two","exp":9000000000.5,"iat":1}"#) + "\n"), Ok("two")),
        (Some(token(r#"{"client_id":"one","exp":1000}"#)), Err("has expired")),
        (Some(token(r#"{"sub":"one","exp":9000000000}"#)), Err("no claim client_id")),
        (Some(token(r#"{"client_id":"one"}"#)), Err("no claim exp")),
        (Some("hunter2".to_owned()), Err("not three parts")),
    ] {
        if let Some(text) = &text {
            std::fs::write(&path, text).unwrap();
        }
        match (tokens.get().await, expected) {
            (Ok(token), Ok(principal)) => assert_eq!((token.principal.as_str(), Some(token.text)), (principal, text.map(|text| text.trim().to_owned()))),
            (Err(error), Err(says)) => {
                assert!(error.kind == KafkaErrorKind::Transient && error.message.contains(says) && !error.message.contains("hunter2"), "{error}");
            }
            (outcome, _) => panic!("{outcome:?}, not {expected:?}"),
        }
    }
}

/// What the endpoint was asked, and what it is to say: `None` is a token of the next number, for so many seconds.
#[derive(Default)]
struct Idp {
    asked: Mutex<Vec<(String, String)>>,
    says: Mutex<Vec<(u16, String)>>,
    lifetime_s: i64,
}

async fn issue(State(idp): State<Arc<Idp>>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    let header = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let number = {
        let mut asked = idp.asked.lock().unwrap();
        asked.push((header, body));
        asked.len()
    };
    if let Some((status, said)) = idp.says.lock().unwrap().pop() {
        return (StatusCode::from_u16(status).unwrap(), said);
    }
    let expires = Clock::system().now().timestamp() + idp.lifetime_s;
    (StatusCode::OK, json!({"access_token": token(&format!(r#"{{"sub":"{number}","exp":{expires}}}"#)), "token_type": "Bearer"}).to_string())
}

/// Serves an endpoint, and tells its address.
async fn serve(lifetime_s: i64) -> (Arc<Idp>, String) {
    let idp = Arc::new(Idp { lifetime_s, ..Idp::default() });
    let router = Router::new().route("/token", post(issue)).with_state(Arc::clone(&idp));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (idp, url)
}

#[tokio::test]
async fn an_endpoint_is_asked_once_for_all_and_again_when_it_is_time() {
    let (idp, url) = serve(4).await;
    let set = [(URL, url.as_str()), ("sasl.login.refresh.window.factor", "0.5"), ("sasl.login.refresh.window.jitter", "0")];
    let tokens = login(&format!("{CLIENT} scope=\"a b\""), &set).unwrap();
    let all = futures::future::join_all((0..5).map(|_| tokens.get())).await;
    assert!(all.iter().all(|token| token.as_ref().unwrap().principal == "1"), "{all:?}");
    assert_eq!(*idp.asked.lock().unwrap(), [("Basic bWU6aHVudGVyMg==".to_owned(), "grant_type=client_credentials&scope=a+b".to_owned())]);
    // The one that there is serves until the next has come.
    let renewed = async {
        while tokens.get().await.unwrap().principal == "1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed).await.unwrap();
    assert_eq!(tokens.get().await.unwrap().principal, "2");
}

#[tokio::test]
async fn an_endpoint_that_fails_is_asked_again_unless_the_answer_stays_the_same() {
    let (idp, url) = serve(3600).await;
    let set = [(URL, url.as_str()), ("sasl.login.retry.backoff.ms", "1"), ("sasl.login.retry.backoff.max.ms", "2000")];
    let given = [("sasl.oauthbearer.client.credentials.client.id", "a:b"), ("sasl.oauthbearer.client.credentials.client.secret", "c")];
    let encoded = [("sasl.oauthbearer.header.urlencode", "true"), ("sasl.oauthbearer.scope", "s")];
    let tokens = login(CLIENT, &[&set[..], &given, &encoded].concat()).unwrap();
    let denied = r#"{"error":"invalid_client","error_description":"who?"}"#;
    *idp.says.lock().unwrap() = vec![(503, String::new()), (429, "{}".to_owned()), (401, denied.to_owned())];
    let error = tokens.get().await.unwrap_err();
    assert!(error.kind == KafkaErrorKind::Denied && error.message.contains("401 Unauthorized (invalid_client: who?)"), "{error}");
    assert_eq!(tokens.trouble().map(|error| error.kind), Some(KafkaErrorKind::Denied));
    assert_eq!(tokens.get().await.unwrap().principal, "4", "after two answers that pass");
    assert!(tokens.trouble().is_none());
    let asked = idp.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|asked| *asked == ("Basic YSUzQWI6Yw==".to_owned(), "grant_type=client_credentials&scope=s".to_owned())), "{asked:?}");
    *idp.says.lock().unwrap() = vec![(200, r#"{"token":"hunter2"}"#.to_owned())];
    let error = login(CLIENT, &set).unwrap().get().await.unwrap_err();
    assert!(error.message.contains("no access_token") && !error.message.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_not_waited_for_without_end() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", silent.local_addr().unwrap());
    let times = [("sasl.login.connect.timeout.ms", "5000"), ("sasl.login.read.timeout.ms", "50"), ("sasl.login.retry.backoff.max.ms", "100")];
    let tokens = login(CLIENT, &[&[(URL, url.as_str())][..], &times].concat()).unwrap();
    let error = tokio::time::timeout(Duration::from_secs(10), tokens.get()).await.unwrap().unwrap_err();
    assert!(error.kind == KafkaErrorKind::Transient && error.message.contains("no answer in time"), "{error}");
    drop(silent);
    let error = tokens.get().await.unwrap_err();
    assert!(error.kind == KafkaErrorKind::Transient && error.message.contains("Connection refused"), "{error}");
}

#[test]
fn clients_with_the_same_settings_share_a_login() {
    let logins = Logins::default();
    let of = |sub: &str, client: &str| {
        let line = format!("OAuthBearerLoginModule required unsecuredLoginStringClaim_sub={sub};");
        let all = props(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER"), (JAAS, &line), ("client.id", client)]);
        logins.tokens(&all, Clock::system()).unwrap().unwrap()
    };
    let (one, other) = (of("a", "x"), of("b", "x"));
    assert!(Arc::ptr_eq(&one, &of("a", "y")) && !Arc::ptr_eq(&one, &other));
    assert!(!format!("{logins:?}").contains("unsecured"), "{logins:?}");
}

proptest! {
    #[test]
    fn no_text_stops_the_reader_of_tokens(text in ".*", claims in ".*") {
        drop(read(&text, "sub"));
        prop_assert!(read(&token(&claims), "sub").is_err());
        let whole = token(&json!({"sub": "x", "exp": 7, "more": claims}).to_string());
        prop_assert_eq!(read(&whole, "sub"), Ok(("x".to_owned(), None, 7000)));
    }
}
