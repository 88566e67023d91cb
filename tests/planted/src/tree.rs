//! The copy that bugs are planted in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::Failure;

pub(crate) struct Tree {
    path: PathBuf,
    target: PathBuf,
    /// The names of all files, as git lists them.
    files: Vec<String>,
    /// Set where its tests run.
    variable: Option<(&'static str, String)>,
}

impl Tree {
    /// Copies the crate's files to below `target`. What is the same there already stays, so that
    /// cargo compiles only what a bug has changed.
    pub(crate) fn copy(root: &Path, target: &Path) -> Result<Self, Failure> {
        let mut tree = Self::at(target);
        let listed = Command::new("git")
            .current_dir(root)
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .output()?;
        if !listed.status.success() {
            return Err("git cannot list the crate's files".into());
        }
        let listed = String::from_utf8(listed.stdout)?;
        for name in listed.split('\0').filter(|name| !name.is_empty()) {
            let (from, to) = (root.join(name), tree.path.join(name));
            let Ok(content) = fs::read(&from) else { continue };
            write_if_new(&to, &content)?;
        }
        tree.files = listed.split('\0').map(str::to_owned).collect();
        tree.files.sort();
        tree.remove_strangers(Path::new(""), &|name| root.join(name).exists())?;
        Ok(tree)
    }

    /// Removes what an earlier copy has left below a folder, and what is no longer there.
    fn remove_strangers(
        &self,
        folder: &Path,
        is_there: &impl Fn(&Path) -> bool,
    ) -> Result<(), Failure> {
        for entry in fs::read_dir(self.path.join(folder))? {
            let (entry, name) =
                entry.map(|entry| (entry.file_type(), folder.join(entry.file_name())))?;
            if entry?.is_dir() {
                self.remove_strangers(&name, is_there)?;
            } else if !is_there(&name) {
                fs::remove_file(self.path.join(name))?;
            }
        }
        Ok(())
    }

    /// A tree without files.
    pub(crate) fn at(target: &Path) -> Self {
        Self {
            path: target.join("tree"),
            target: target.to_owned(),
            files: Vec::new(),
            variable: None,
        }
    }

    /// A copy of this copy, beside it, with changes. What it compiles it keeps to itself: cargo, which
    /// goes by when files were written, would take the one's tests for the other's.
    pub(crate) fn changed(
        &self,
        folder: &str,
        change: impl Fn(&str, String) -> String,
    ) -> Result<Self, Failure> {
        let target = self.target.join(folder);
        let changed = Self { files: self.files.clone(), ..Self::at(&target) };
        for name in &self.files {
            let (from, to) = (self.path.join(name), changed.path.join(name));
            let Ok(content) = fs::read(from) else { continue };
            let content = match String::from_utf8(content) {
                Ok(text) => change(name, text).into_bytes(),
                Err(no_text) => no_text.into_bytes(),
            };
            write_if_new(&to, &content)?;
        }
        changed.remove_strangers(Path::new(""), &|name| self.path.join(name).exists())?;
        Ok(changed)
    }

    pub(crate) fn with_variable(self, name: &'static str, value: &str) -> Self {
        Self { variable: Some((name, value.to_owned())), ..self }
    }

    pub(crate) fn variable(&self) -> Option<&(&'static str, String)> {
        self.variable.as_ref()
    }

    pub(crate) fn files(&self) -> &[String] {
        &self.files
    }

    /// What tells these files apart from what they were (FNV-1a).
    pub(crate) fn fingerprint(&self, prefixes: &[&str]) -> Result<u64, Failure> {
        let mut hash = 0xcbf2_9ce4_8422_2325;
        for name in &self.files {
            if prefixes.iter().any(|prefix| name.starts_with(prefix))
                && self.path.join(name).exists()
            {
                hash = mix(mix(hash, name), &self.read(name)?);
            }
        }
        Ok(hash)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where the test that runs writes.
    pub(crate) fn log(&self, what: &str) -> PathBuf {
        self.target.join(format!("{what}.txt"))
    }

    pub(crate) fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.path.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()).into())
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> Result<(), Failure> {
        Ok(fs::write(self.path.join(name), content)?)
    }

    /// Ends a run with all that it has started.
    pub(crate) fn end(&self, child: &mut Child) -> Result<(), Failure> {
        let group = format!("-{}", child.id());
        Command::new("kill").args(["-KILL", "--", &group]).status()?;
        child.wait()?;
        Ok(())
    }
}

/// Leaves a file alone that says this already: cargo goes by when it was written.
fn write_if_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
    Ok(fs::write(path, content)?)
}

/// Continues a fingerprint with a text.
pub(crate) fn mix(hash: u64, text: &str) -> u64 {
    let bytes = text.bytes().chain([0xff]);
    bytes.fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_leaves_the_copy() {
        let folder = std::env::temp_dir().join(format!("sundown-tree-{}", std::process::id()));
        let tree = Tree { files: vec!["a.rs".into()], ..Tree::at(&folder) };
        let moved = folder.join("changed/tree/src/b.rs");
        for path in [&tree.path.join("a.rs"), &moved] {
            write_if_new(path, b"text").expect("a file can be written");
        }
        let changed = tree.changed("changed", |_, text| text).expect("it can be copied");
        assert!(changed.path.join("a.rs").exists() && !moved.exists());
        fs::remove_dir_all(folder).expect("it can be removed");
    }
}
