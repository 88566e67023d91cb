//! The copy that bugs are planted in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::Failure;

pub(crate) struct Tree {
    path: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Copies the crate's files to below `target`. What is the same there already stays, so that
    /// cargo compiles only what a bug has changed.
    pub(crate) fn copy(root: &Path, target: &Path) -> Result<Self, Failure> {
        let tree = Self { path: target.join("tree"), target: target.to_owned() };
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
            if fs::read(&to).is_ok_and(|there| there == content) {
                continue;
            }
            fs::create_dir_all(to.parent().ok_or("a file without a folder")?)?;
            fs::write(to, content)?;
        }
        Ok(tree)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where the test that runs writes its report.
    pub(crate) fn log(&self) -> PathBuf {
        self.target.join("report.txt")
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
