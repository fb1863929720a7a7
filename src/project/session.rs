//! What survives a crash: every hand edit is on disk the moment it is made.
//!
//! A running window owns a session folder: a locked `lock` file, `base.json` (which project file the edits belong
//! to), and `edits.jsonl`, the whole journal, one entry a line, appended as edits happen. A clean end removes the
//! folder. A folder whose lock can be taken belongs to a session that ended uncleanly: its edits are offered back.

use super::edits::{Edits, Entry};
use super::pipeline::Stage;
use super::store::{self, StoreError};
use super::workspace::Workspace;
use crate::io::write_atomically;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which project the edits of a session belong to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Base {
    /// The project file that holds the model the journal replays on; on disk relative to the session's folder where it
    /// lies in it, so that the folder may be moved or copied.
    project: PathBuf,
    /// Name to show.
    name: String,
    /// How many entries that project file's own journal already holds.
    saved_entries: usize,
}

/// A session that ended uncleanly.
#[derive(Debug, Clone, PartialEq)]
pub struct Lost {
    /// Its folder.
    pub folder: PathBuf,
    /// Name of its project.
    pub name: String,
    /// Edits that come back when it is recovered.
    pub edits: usize,
}

/// The running session's folder. Dropping it is a clean end.
#[derive(Debug)]
pub struct Session {
    folder: PathBuf,
    /// Held locked as long as the session lives.
    lock: File,
    journal: Option<File>,
}

impl Session {
    /// Where the sessions of this user lie.
    #[must_use]
    pub fn default_root() -> PathBuf {
        directories::ProjectDirs::from("", "", "aetlas").map_or_else(
            || std::env::temp_dir().join("aetlas-sessions"),
            |dirs| dirs.data_local_dir().join("sessions"),
        )
    }

    /// Begins a session in a new folder under `root`.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn begin(root: &Path) -> Result<Self, StoreError> {
        let stamp = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let folder = root.join(format!("{stamp:x}-{}", std::process::id()));
        store::create_folder(&folder)?;
        let path = folder.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| StoreError::io(&path, source))?;
        lock.try_lock()
            .map_err(|error| StoreError::io(&path, error.into()))?;
        Ok(Self {
            folder,
            lock,
            journal: None,
        })
    }

    /// Where this session may put an autosaved project.
    #[must_use]
    pub fn autosave_path(&self) -> PathBuf {
        self.folder.join("autosave.aetlas")
    }

    /// From now on the journal belongs to the model in `project`, a project file that was just written or opened
    /// and that holds the first `saved_entries` entries itself.
    ///
    /// # Errors
    /// When the session's files cannot be written.
    pub fn rebase(
        &mut self,
        project: &Path,
        name: &str,
        saved_entries: usize,
        edits: &Edits,
    ) -> Result<(), StoreError> {
        let base = Base {
            project: project
                .strip_prefix(&self.folder)
                .unwrap_or(project)
                .to_path_buf(),
            name: name.to_owned(),
            saved_entries,
        };
        // The journal first: a base without its journal would lose edits, the reverse would not.
        self.journal = None;
        let path = self.folder.join("edits.jsonl");
        store::write_journal(&path, edits.entries())?;
        let text = serde_json::to_string(&base).map_err(|e| StoreError::format(&path, &e))?;
        let base_path = self.folder.join("base.json");
        write_atomically(&base_path, true, |out| out.write_all(text.as_bytes()))?;
        let journal = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|source| StoreError::io(&path, source))?;
        self.journal = Some(journal);
        Ok(())
    }

    /// Appends an entry; when this returns, a kill of the process does not lose it.
    ///
    /// # Errors
    /// When the journal cannot be written (the disk is full, …).
    pub fn append(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let path = self.folder.join("edits.jsonl");
        if self.journal.is_none() {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .map_err(|source| StoreError::io(&path, source))?;
            self.journal = Some(file);
        }
        let mut line = serde_json::to_string(entry).map_err(|e| StoreError::format(&path, &e))?;
        line.push('\n');
        if let Some(journal) = &mut self.journal {
            // One write call: a kill leaves the whole line or none of it.
            journal
                .write_all(line.as_bytes())
                .map_err(|source| StoreError::io(&path, source))?;
        }
        Ok(())
    }

    /// The sessions under `root` that ended uncleanly and have something to give back; folders without anything
    /// are removed on the way.
    #[must_use]
    pub fn find_lost(root: &Path) -> Vec<Lost> {
        let Ok(folders) = std::fs::read_dir(root) else {
            return Vec::new();
        };
        let mut lost: Vec<Lost> = folders
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|folder| is_abandoned(folder))
            .filter_map(|folder| {
                let found = inspect(&folder);
                if found.is_none() {
                    // Nothing to give back; failing to remove it only leaves an empty folder.
                    let _ = std::fs::remove_dir_all(&folder);
                }
                found
            })
            .collect();
        lost.sort_by(|a, b| b.folder.cmp(&a.folder));
        lost
    }

    /// Whether a session other than this one is running, or was killed a moment ago and still holds its lock.
    #[must_use]
    pub fn has_company(&self) -> bool {
        let others = self
            .folder
            .parent()
            .and_then(|root| std::fs::read_dir(root).ok());
        others.is_some_and(|folders| {
            folders
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .any(|folder| folder != self.folder && !is_abandoned(&folder))
        })
    }

    /// Brings a lost session's document back, all its edits replayed. The folder stays until [`Self::discard`].
    ///
    /// # Errors
    /// When its project or journal cannot be read.
    pub fn recover(lost: &Lost) -> Result<(Workspace, Vec<String>), StoreError> {
        let base = read_base(&lost.folder)
            .ok_or_else(|| StoreError::missing(&lost.folder.join("base.json")))?;
        let (mut workspace, mut notes) = store::open(&base.project)?;
        let (entries, cut) = store::read_journal(&lost.folder.join("edits.jsonl"))?;
        if cut > 0 {
            notes.push("the journal's last line was cut off and left out".to_owned());
        }
        if entries.len() > base.saved_entries {
            workspace.mark_stale(Stage::Analyze, "the model was edited");
        }
        if let Some(model) = workspace.base_atoms.clone() {
            let mut atoms = (*model).clone();
            let settled = workspace.edits.settled().to_vec();
            let (edits, conflicts) = Edits::replay(settled, entries, &mut atoms);
            for (entry, conflict) in &conflicts {
                notes.push(format!(
                    "edit {} ({}) left out: {conflict}",
                    entry.number, entry.label
                ));
            }
            workspace.edits = edits;
            workspace.atoms = Some(Arc::new(atoms));
        }
        if base.project.starts_with(&lost.folder) {
            // It was never saved by the user: saving must ask for a place.
            workspace.path = None;
        }
        workspace.modified = true;
        Ok((workspace, notes))
    }

    /// Throws a lost session away.
    pub fn discard(lost: &Lost) {
        // What cannot be removed is offered again at the next start.
        let _ = std::fs::remove_dir_all(&lost.folder);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.lock.unlock();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_abandoned(folder: &Path) -> bool {
    File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok())
}

fn read_base(folder: &Path) -> Option<Base> {
    let text = std::fs::read_to_string(folder.join("base.json")).ok()?;
    let base: Base = serde_json::from_str(&text).ok()?;
    Some(Base {
        project: folder.join(&base.project),
        ..base
    })
}

fn inspect(folder: &Path) -> Option<Lost> {
    let base = read_base(folder)?;
    let (entries, _) = store::read_journal(&folder.join("edits.jsonl")).ok()?;
    let edits = entries.len().saturating_sub(base.saved_entries);
    let unsaved_project = base.project.starts_with(folder);
    (base.project.exists() && (edits > 0 || unsaved_project)).then(|| Lost {
        folder: folder.to_path_buf(),
        name: base.name,
        edits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Atoms;
    use crate::project::edits::{AtomSnapshot, Change, EditKind};

    fn edited_workspace() -> Workspace {
        let positions = (0..20).map(|i| [f64::from(i) * 3.2, 0.1, 0.2]).collect();
        let atoms = Arc::new(Atoms::from_positions(positions, "Zr"));
        Workspace {
            base_atoms: Some(Arc::clone(&atoms)),
            atoms: Some(atoms),
            ..Default::default()
        }
    }

    fn remove_first(workspace: &mut Workspace) -> Entry {
        let mut atoms = (**workspace.atoms.as_ref().unwrap()).clone();
        let gone = AtomSnapshot::of(&atoms, 0);
        let entry = workspace
            .edits
            .apply(
                &mut atoms,
                vec![Change::Remove(gone)],
                EditKind::Remove,
                "Remove",
                "",
                None,
            )
            .unwrap()
            .clone();
        workspace.atoms = Some(Arc::new(atoms));
        entry
    }

    #[test]
    fn edits_come_back_after_a_kill_and_a_clean_end_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut workspace = edited_workspace();
        let mut session = Session::begin(root.path()).unwrap();
        let autosave = session.autosave_path();
        store::save(&workspace, &autosave).unwrap();
        session
            .rebase(&autosave, "untitled", 0, &workspace.edits)
            .unwrap();
        for _ in 0..3 {
            let entry = remove_first(&mut workspace);
            session.append(&entry).unwrap();
        }
        assert!(
            Session::find_lost(root.path()).is_empty(),
            "a living session is not lost"
        );
        // A kill: the lock goes with the process, nothing else happens.
        session.lock.unlock().unwrap();
        let folder = session.folder.clone();
        std::mem::forget(session);

        let lost = Session::find_lost(root.path());
        assert_eq!(lost.len(), 1);
        assert_eq!((lost[0].edits, &lost[0].folder), (3, &folder));
        let (recovered, notes) = Session::recover(&lost[0]).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        assert_eq!(recovered.atoms, workspace.atoms);
        assert_eq!(recovered.edits, workspace.edits);
        assert_eq!(recovered.path, None);
        Session::discard(&lost[0]);

        drop(Session::begin(root.path()).unwrap());
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_journal_cut_in_the_middle_of_a_line_loses_only_that_line() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("edits.jsonl");
        let mut workspace = edited_workspace();
        let entries = [remove_first(&mut workspace), remove_first(&mut workspace)];
        store::write_journal(&path, &entries).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let (read, cut) = store::read_journal(&path).unwrap();
        assert_eq!((read.as_slice(), cut), (&entries[..1], 1));
    }
}
