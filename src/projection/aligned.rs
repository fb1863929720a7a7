//! Numbers that begin at a cache line: a vector that crosses two lines costs two loads.

use std::ops::{Deref, DerefMut};

/// Numbers of a cache line.
const LINE: usize = 16;

/// A fixed number of single-precision numbers, the first at the beginning of a cache line.
pub(super) struct Aligned {
    buffer: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let buffer = vec![0.0f32; len + LINE - 1];
        // The request may be refused (it never is where this runs); then only speed is lost.
        let start = match buffer.as_ptr().align_offset(LINE * size_of::<f32>()) {
            start if start < LINE => start,
            _ => 0,
        };
        Self { buffer, start, len }
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[self.start..self.start + self.len]
    }
}
