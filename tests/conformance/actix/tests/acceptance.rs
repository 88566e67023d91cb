//! actix-session's own acceptance suite, as its Redis store runs it. `../run` makes it public.

use std::collections::HashMap;

use actix_session::storage::{SessionStore, generate_session_key};
use actix_session::test_helpers::acceptance_test_suite;
use sundown::Cache;
use sundown::actix_session_0_11::SundownActixStore;

#[actix_web::test]
async fn test_session_workflow() {
    let store = SundownActixStore::new(Cache::builder().max_entries(1_000)).unwrap();
    acceptance_test_suite(move || store.clone(), true).await;
}

/// The tests of its Redis store that are of any store, as they are there.
#[actix_web::test]
async fn loading_a_missing_session_returns_none() {
    let store = SundownActixStore::new(Cache::builder().max_entries(1_000)).unwrap();
    let session_key = generate_session_key();
    assert!(store.load(&session_key).await.unwrap().is_none());
}

#[actix_web::test]
async fn updating_of_an_expired_state_is_handled_gracefully() {
    let store = SundownActixStore::new(Cache::builder().max_entries(1_000)).unwrap();
    let session_key = generate_session_key();
    let initial_session_key = session_key.as_ref().to_owned();
    let updated_session_key =
        store.update(session_key, HashMap::new(), &time::Duration::seconds(1)).await.unwrap();
    assert_ne!(initial_session_key, updated_session_key.as_ref());
}
