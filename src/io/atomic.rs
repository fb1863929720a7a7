//! Files appear whole or not at all: written aside in the same folder, flushed to the disk, then renamed.

use super::error::IoError;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes `path` through `write`; on any failure nothing is left behind and an old file stays as it was.
///
/// # Errors
/// [`IoError::Exists`] when the file is there and `force` is not given; otherwise what the system or `write` said.
pub fn write_atomically<F>(path: &Path, force: bool, write: F) -> Result<(), IoError>
where
    F: FnOnce(&mut dyn Write) -> std::io::Result<()>,
{
    if !force && path.symlink_metadata().is_ok() {
        return Err(IoError::Exists {
            path: path.to_owned(),
        });
    }
    let fail = |source| IoError::system(path, source);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    // The temporary file removes itself when dropped, hence also when `write` fails or panics.
    let mut builder = tempfile::Builder::new();
    builder.prefix(".aetlas-").suffix(".part");
    #[cfg(unix)]
    {
        // Without this the file would be readable by its owner only; the user's umask still applies.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let file = builder.tempfile_in(&folder).map_err(fail)?;
    let mut buffered = BufWriter::with_capacity(1 << 20, file);
    write(&mut buffered).map_err(fail)?;
    let file = buffered
        .into_inner()
        .map_err(|error| fail(error.into_error()))?;
    file.as_file().sync_all().map_err(fail)?;
    if force {
        file.persist(path).map_err(|error| fail(error.error))?;
    } else {
        // Somebody may have made the file meanwhile: this refuses instead of replacing it.
        file.persist_noclobber(path).map_err(|error| {
            if error.error.kind() == std::io::ErrorKind::AlreadyExists {
                IoError::Exists {
                    path: path.to_owned(),
                }
            } else {
                fail(error.error)
            }
        })?;
    }
    // The name is durable only when its folder is; not every file system allows this, so it may fail silently.
    #[cfg(unix)]
    if let Ok(handle) = std::fs::File::open(&folder) {
        let _ = handle.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomically(&path, false, |w| w.write_all(b"old")).unwrap();
        assert!(matches!(
            write_atomically(&path, false, |w| w.write_all(b"new")),
            Err(IoError::Exists { .. })
        ));
        let failed = write_atomically(&path, true, |w| {
            w.write_all(b"half")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(failed.unwrap_err().to_string().contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        write_atomically(&path, true, |w| w.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert!(write_atomically(&folder.path().join("no/such/folder"), true, |_| Ok(())).is_err());
    }
}
