//! What goes along with an output's bytes: how far they have come, and what is seen in them.

use std::ops::ControlFlow;

use routerpack_rootfs::{Content, Entry};

use crate::{Error, check::Programs};

/// Hears how many bytes are done and, roughly, of how many; to break ends the output, which is then not there.
pub type Progress<'a> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'a;

/// One making of an output.
pub(crate) struct Pass<'a, 'p> {
    progress: &'a mut Progress<'p>,
    done: u64,
    total: u64,
    /// What a check wants to know of the files, if there is to be one.
    pub programs: Option<Programs>,
}

impl<'a, 'p> Pass<'a, 'p> {
    /// About so many bytes are to come.
    pub fn new(progress: &'a mut Progress<'p>, total: u64) -> Self {
        Self { progress, done: 0, total, programs: None }
    }

    /// So many more are done.
    pub fn step(&mut self, bytes: u64) -> Result<(), Error> {
        self.done += bytes;
        match (self.progress)(self.done, self.total.max(self.done)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted),
        }
    }

    /// A file has gone by.
    pub fn file(&mut self, entry: &Entry, content: &Content) {
        if let Some(programs) = &mut self.programs {
            programs.see(entry, content);
        }
    }
}
