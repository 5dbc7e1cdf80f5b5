//! One conformance suite for stores, run on a folder, an S3 server, an Azure emulator and a GCS emulator.
//!
//! The servers are started by the scripts of `tests/servers` and must have been installed by `tests/servers/setup.sh stores`.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod credentials;
mod headers;
#[path = "../world/proxy.rs"]
#[allow(dead_code, reason = "each test program needs other faults")]
mod proxy;
mod servers;
mod suite;

use lakehead::store::{Conditions, StoreErrorKind};
use servers::World;

/// What holds for every store.
async fn conforms(world: &World) {
    suite::a_store_that_can_be_written_to_passes_the_check_and_keeps_nothing_of_it(world).await;
    suite::nothing_is_visible_before_publish(world).await;
    suite::objects_of_every_size_arrive_whole_and_give_their_memory_back(world).await;
    suite::memory_in_the_window_is_bounded(world).await;
    suite::attributes_are_stored_where_the_store_has_such(world).await;
    suite::publishing_twice_is_publishing_once(world).await;
    suite::publishing_again_replaces_what_is_there(world).await;
    suite::aborted_and_dropped_uploads_leave_nothing(world).await;
    suite::odd_names_are_kept_to_the_letter(world).await;
    suite::impossible_names_are_refused_by_name(world).await;
    suite::a_name_that_is_taken_stays_with_whoever_has_it(world).await;
    suite::tags_are_set_or_refused(world, world.has_tags()).await;
}

/// What holds for every store behind a network.
async fn survives_faults(world: &mut World) {
    suite::a_lost_answer_does_not_matter(world).await;
    suite::a_lost_answer_to_a_condition_is_settled(world).await;
    suite::an_upload_that_was_removed_is_told(world).await;
    suite::a_store_that_is_down_is_waited_for(world).await;
}

/// The error of a check with some settings changed.
async fn refused(world: &World, changed: &[(&str, &str)]) -> (StoreErrorKind, String) {
    let (sink, _) = world.sink_with(changed);
    let error = sink.check().await.unwrap_err();
    (error.kind, error.message)
}

fn assert_starts(found: (StoreErrorKind, String), kind: StoreErrorKind, text: &str) {
    assert_eq!(found.0, kind, "{}", found.1);
    assert!(found.1.starts_with(text), "{}", found.1);
}

#[tokio::test]
async fn a_folder_conforms() {
    conforms(&World::folder()).await;
}

#[tokio::test]
async fn an_s3_server_conforms() {
    conforms(&World::s3().await).await;
}

#[tokio::test]
async fn an_s3_server_of_other_make_conforms() {
    conforms(&World::moto().await).await;
}

#[tokio::test]
async fn an_s3_server_of_other_make_may_fail_and_lose_answers() {
    survives_faults(&mut World::moto().await).await;
}

#[tokio::test]
async fn an_s3_url_with_a_prefix_conforms_with_unsigned_payloads_and_checksums() {
    conforms(&World::s3_url().await).await;
}

#[tokio::test]
async fn stores_with_atomic_conditions_let_one_writer_win() {
    for world in [World::folder(), World::s3().await, World::azure().await] {
        suite::of_two_writers_one_has_the_name(&world).await;
    }
}

#[tokio::test]
async fn stores_say_whether_they_heed_conditions() {
    let (both, puts) = (Conditions { on_put: true, on_complete: true }, Conditions { on_put: true, on_complete: false });
    for (world, expected) in
        [(World::folder(), both), (World::s3().await, both), (World::moto().await, both), (World::azure().await, both), (World::gcs().await, puts)]
    {
        suite::conditions_are_tried_and_nothing_stays(&world, expected).await;
    }
}

/// The S3 server of other make is left out: it says that every upload was begun in 2010.
#[tokio::test]
async fn what_dead_processes_left_is_swept() {
    for world in [World::folder(), World::s3().await, World::s3_url().await, World::gcs().await, World::azure().await] {
        suite::orphans_of_ours_are_swept(&world).await;
    }
}

#[tokio::test]
async fn an_s3_server_may_fail_and_lose_answers() {
    survives_faults(&mut World::s3().await).await;
}

#[tokio::test]
async fn s3_settings_that_are_wrong_are_told_by_name() {
    let world = World::s3().await;
    let secret = "not-the-secret";
    let found = refused(&world, &[("aws.secret.access.key", secret)]).await;
    assert!(!found.1.contains(secret));
    assert_starts(
        found,
        StoreErrorKind::Denied,
        "check of s3://sink/topics/.lakehead-check: the credentials are not accepted: check aws.access.key.id and aws.secret.access.key",
    );
    let found = refused(&world, &[("s3.bucket.name", "nowhere")]).await;
    assert_starts(
        found,
        StoreErrorKind::BadConfig,
        "check of s3://nowhere/topics/.lakehead-check: bucket 'nowhere' does not exist: create it, or correct s3.bucket.name",
    );
}

#[tokio::test]
async fn an_azure_emulator_conforms() {
    conforms(&World::azure().await).await;
}

#[tokio::test]
async fn an_azure_emulator_may_fail_and_lose_answers() {
    survives_faults(&mut World::azure().await).await;
}

#[tokio::test]
async fn azure_settings_that_are_wrong_are_told_by_name() {
    let world = World::azure().await;
    let found = refused(&world, &[("azblob.account.key", "bm90LXRoZS1rZXk=")]).await;
    assert_starts(found, StoreErrorKind::Denied, "check of az://sink/topics/.lakehead-check: the credentials are not accepted: check azblob.account.name");
    let found = refused(&world, &[("azblob.container.name", "nowhere")]).await;
    assert_starts(found, StoreErrorKind::BadConfig, "check of az://nowhere/topics/.lakehead-check: container 'nowhere' does not exist: create it");
}

#[tokio::test]
async fn a_gcs_emulator_conforms() {
    conforms(&World::gcs().await).await;
}

#[tokio::test]
async fn a_gcs_emulator_may_fail_and_lose_answers() {
    survives_faults(&mut World::gcs().await).await;
}

#[tokio::test]
async fn gcs_settings_that_are_wrong_are_told_by_name() {
    let world = World::gcs().await;
    let found = refused(&world, &[("gcs.bucket.name", "nowhere")]).await;
    assert_starts(found, StoreErrorKind::BadConfig, "check of gs://nowhere/topics/.lakehead-check: bucket 'nowhere' does not exist: create it");
}

/// A disk of 8 MiB, made by mounting one in a mount namespace of a child process: this test runs again in there.
#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let disk = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o size=8m tmpfs "$1" && cd "$1" && exec "$0" --exact --ignored --nocapture on_a_disk_of_8_mib"#;
    // Root needs a mount namespace only; others make themselves root of a user namespace first.
    let namespaces: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let mut said = String::new();
    for options in namespaces {
        let mut command = std::process::Command::new("unshare");
        command.args(options).args(["bash", "-c", script]).arg(std::env::current_exe().unwrap()).arg(disk.path());
        let output = command.output().unwrap();
        said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() && said.contains("1 passed") {
            return;
        }
        assert!(!said.contains("running 1 test"), "{said}");
    }
    panic!("a small disk could not be mounted with unshare(1), neither as root nor in a user namespace: {said}");
}

#[tokio::test]
#[ignore = "a_full_disk_is_waited_for runs it on a disk of 8 MiB, which is its current directory"]
async fn on_a_disk_of_8_mib() {
    let root = std::env::current_dir().unwrap();
    suite::a_full_disk_shows_and_heals(&World::folder_at(&root)).await;
}
