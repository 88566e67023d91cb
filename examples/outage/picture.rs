//! Where an example puts the picture that it draws.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// Beside the program, which cargo puts where it may write and where `cargo clean` finds it.
/// `option` names the option that says otherwise.
pub(crate) fn default(file: &str, option: &str) -> Result<PathBuf, String> {
    std::env::current_exe()
        .map(|program| program.parent().unwrap_or(Path::new(".")).join(file))
        .map_err(|error| format!("cannot find this program's own folder: {error}; use {option}"))
}

/// Fails now rather than after the work if the picture cannot be written.
pub(crate) fn check(path: &Path, option: &str) -> Result<(), String> {
    if path.extension().is_none_or(|extension| extension != "svg") {
        return Err(format!("{option} must end in .svg, unlike {}", path.display()));
    }
    let is_new = !path.exists();
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    if is_new {
        // Work that is interrupted leaves nothing behind; whether this works changes nothing.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}
