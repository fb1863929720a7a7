//! What can be wrong with a file. Every text names the subject, what was expected and what was found.

use std::path::{Path, PathBuf};

/// An error of reading or writing a file.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    System {
        /// File in question.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The content contradicts the format.
    #[error("{file} cannot be read: {detail}")]
    Invalid {
        /// File in question.
        file: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// The file ends too early, or its header promises too much.
    #[error("{file} is truncated: its header promises {expected} bytes, {found} are there")]
    Truncated {
        /// File in question.
        file: String,
        /// Bytes promised.
        expected: u64,
        /// Bytes present.
        found: u64,
    },
    /// A sound file of a kind that is not read.
    #[error("{file} is not supported: {detail}")]
    Unsupported {
        /// File in question.
        file: String,
        /// What it is, and a way out.
        detail: String,
    },
    /// Several arrays could be meant.
    #[error("{file} holds several arrays, say which as {file}:NAME: {candidates}")]
    Choose {
        /// File in question.
        file: String,
        /// Names and shapes.
        candidates: String,
    },
    /// No array of this name (or of a fitting kind).
    #[error("{file} holds no {wanted}; it holds {candidates}")]
    NoSuchArray {
        /// File in question.
        file: String,
        /// What was looked for.
        wanted: String,
        /// Names and shapes.
        candidates: String,
    },
    /// Images and angles do not go together.
    #[error("{angles_file} holds {angles} angles, {images_file} {images} images{hint}")]
    AngleCount {
        /// File of the angles.
        angles_file: String,
        /// Number of angles.
        angles: usize,
        /// File of the images.
        images_file: String,
        /// Number of images.
        images: usize,
        /// A way out, or empty.
        hint: String,
    },
    /// The numbers themselves are unusable.
    #[error("{file}: {detail}")]
    Data {
        /// File in question.
        file: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// The target exists and may not be replaced.
    #[error("{} exists already; choose another name or overwrite it with --force", .path.display())]
    Exists {
        /// The target.
        path: PathBuf,
    },
}

impl IoError {
    pub(crate) fn system(path: &Path, source: std::io::Error) -> Self {
        Self::System {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn data(path: &Path, detail: impl Into<String>) -> Self {
        Self::Data {
            file: label(path),
            detail: detail.into(),
        }
    }
}

/// The file's own name, as error texts show it.
pub(crate) fn label(path: &Path) -> String {
    path.file_name().map_or_else(
        || path.display().to_string(),
        |n| n.to_string_lossy().into_owned(),
    )
}

/// What a parser of bytes, which knows no path, has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Invalid(String),
    Truncated { expected: u64, found: u64 },
    Unsupported(String),
}

impl Fault {
    pub(crate) fn invalid<T>(detail: impl Into<String>) -> Result<T, Self> {
        Err(Self::Invalid(detail.into()))
    }

    pub(crate) fn at(self, path: &Path) -> IoError {
        let file = label(path);
        match self {
            Self::Invalid(detail) => IoError::Invalid { file, detail },
            Self::Truncated { expected, found } => IoError::Truncated {
                file,
                expected,
                found,
            },
            Self::Unsupported(detail) => IoError::Unsupported { file, detail },
        }
    }
}
