//! A schema registry that does not answer for a while: good records wait for it, unless the connector says for how long.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;

use super::*;

/// A registry that has every schema once it is up.
async fn registry(is_up: impl Fn() -> bool + Clone + Send + Sync + 'static) -> String {
    let answer = move |axum::extract::Path(_): axum::extract::Path<i32>| {
        let is_up = is_up();
        async move {
            let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
            if is_up { axum::Json(serde_json::json!({ "schema": schema })).into_response() } else { StatusCode::SERVICE_UNAVAILABLE.into_response() }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().route("/schemas/ids/{id}", get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Two fetches of a record each, of one schema.
fn fetches() -> Vec<Event> {
    let record = |offset, value| (NOW, Polled::Records(vec![raw(0, offset, &[&[0, 0, 0, 0, 1, value]])]));
    vec![assigned(&[0]), record(0, 2), record(1, 4)]
}

fn settings<'a>(url: &'a str, own: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let avro = [("flush.size", "1"), ("value.converter", "io.confluent.connect.avro.AvroConverter"), ("value.converter.schema.registry.url", url)];
    [&BY_CLOCK[..], &avro[..], own].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn good_records_wait_however_long_it_takes() {
    for own in [&[("errors.tolerance", "all")][..], &[("errors.tolerance", "all"), ("errors.retry.timeout", "0")], &[("errors.retry.timeout", "-1")]] {
        let began = Instant::now();
        let url = registry(move || began.elapsed() > Duration::from_millis(400)).await;
        let folder = tempfile::tempdir().unwrap();
        let script = Script { events: fetches().into(), ..Script::default() };
        let (outcome, seen, figures) = play_on(folder.path(), &settings(&url, own), script, once_held(&[(0, 2)])).await;
        outcome.unwrap();
        let files: Vec<String> = objects(folder.path()).into_iter().map(|(_, text)| text).collect();
        assert_eq!((seen.last(), figures.rejected, files), (offsets(&[(0, 2)]), 0, vec!["{\"a\":1}\n".to_owned(), "{\"a\":2}\n".to_owned()]), "{own:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_a_time_and_tolerates_errors_has_bad_records_after_it_and_good_ones_once_it_answers() {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    // Until the record that was given up is committed.
    let held = Arc::clone(&seen);
    let url = registry(move || held.lock().unwrap().held().values().any(|held| held.offset == 1)).await;
    let own = [("errors.tolerance", "all"), ("errors.retry.timeout", "1000"), ("errors.retry.delay.max.ms", "20")];
    let folder = tempfile::tempdir().unwrap();
    let script = Script { events: fetches().into(), seen, ..Script::default() };
    let (outcome, seen, figures) = play_on(folder.path(), &settings(&url, &own), script, once_held(&[(0, 2)])).await;
    outcome.unwrap();
    let files: Vec<String> = objects(folder.path()).into_iter().map(|(_, text)| text).collect();
    assert_eq!((seen.last(), figures.rejected, files), (offsets(&[(0, 2)]), 1, vec!["{\"a\":2}\n".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_a_time_and_tolerates_nothing_has_a_task_that_fails_and_no_record_lost() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let url = registry(move || up.load(Ordering::Relaxed)).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&url, &[("errors.retry.timeout", "100")]);
    let (outcome, seen) = play(folder.path(), &settings, fetches(), |_| false).await;
    let error = outcome.unwrap_err().to_string();
    let expected = "value: schema id \"1\": the schema registry did not answer for 100 ms (errors.retry.timeout): ";
    assert!(error.starts_with(expected) && error.contains("503") && error.contains("offset=0"), "{error}");
    assert!(seen.held().values().all(|held| held.offset == 0), "{:?}", seen.commits);
    // Restarted once it answers.
    is_up.store(true, Ordering::Relaxed);
    let (outcome, seen) = play(folder.path(), &settings, fetches(), once_held(&[(0, 2)])).await;
    outcome.unwrap();
    assert_eq!((seen.last(), objects(folder.path()).len()), (offsets(&[(0, 2)]), 2));
}
