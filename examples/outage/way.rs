//! What sundown does about free memory in an example, so that a fault can be planted there.

use clap::ValueEnum;
use sundown::GiveBack;

/// The kinds of [`GiveBack`] that take no call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Way {
    #[default]
    Auto,
    Never,
}

impl From<Way> for GiveBack {
    fn from(way: Way) -> Self {
        match way {
            Way::Auto => Self::Auto,
            Way::Never => Self::Never,
        }
    }
}
