//! tower-sessions 0.15's own `route_tests!`, unchanged: sundown as the store, in front of their
//! memory store, and behind it. `../run` brings the macro.

extern crate tower_sessions_0_15 as tower_sessions;

#[macro_use]
#[path = "../../fetched/tower-sessions-0.15.0/tests/common/mod.rs"]
mod common;

#[path = "shared/routes.rs"]
mod routes;

use sundown::tower_sessions_0_15::SundownStore;
