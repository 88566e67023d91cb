//! What the tests, the fuzzer and the soak share. A fuzz target takes the whole folder in by
//! `#[path = "../../tests/common/mod.rs"] mod common;`: nothing here knows of proptest or of files.

mod comparison;
pub(crate) mod interpreter;
pub(crate) mod model;
pub(crate) mod op;
pub(crate) mod setups;
pub(crate) mod twin;
