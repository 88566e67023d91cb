//! The store for tower-sessions 0.14 over two instances.

mod stage;

use sundown::tower_sessions_0_14 as store;
use tower_sessions_core_0_14 as tower_sessions;

#[path = "shared/tower.rs"]
mod tower;
