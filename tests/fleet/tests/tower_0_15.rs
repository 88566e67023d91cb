//! The store for tower-sessions 0.15 over two instances.

mod stage;

use sundown::tower_sessions_0_15 as store;
use tower_sessions_core_0_15 as tower_sessions;

#[path = "shared/tower.rs"]
mod tower;
