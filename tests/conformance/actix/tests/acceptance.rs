//! actix-session's own acceptance suite, as its Redis store runs it. `../run` makes it public.

use actix_session::test_helpers::acceptance_test_suite;
use sundown::Cache;
use sundown::actix_session_0_11::SundownActixStore;

#[actix_web::test]
async fn test_session_workflow() {
    let store = SundownActixStore::new(Cache::builder().max_entries(1_000)).unwrap();
    acceptance_test_suite(move || store.clone(), true).await;
}
