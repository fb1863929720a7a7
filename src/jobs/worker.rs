//! The worker: one named thread that runs jobs one after another, and the channels round it.

use super::latest::Slot;
use super::{Job, JobEvent, JobId};
use crate::model::Volume;
use crate::monitor::{Control, Monitor, Sink, Stopped};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// What a job may use while it runs, besides its own data.
pub struct JobContext {
    /// Progress, warnings, stop.
    pub monitor: Monitor,
    /// Events that are no plain progress: iterations, outputs.
    pub emit: Arc<dyn Fn(JobEvent) + Send + Sync>,
    /// Its name.
    pub id: JobId,
    /// Where a running reconstruction leaves its newest volume.
    pub snapshots: Arc<Slot<Arc<Volume>>>,
    /// Whether somebody looks at them.
    pub show_snapshots: bool,
}

/// How a job ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobEnd {
    /// All done.
    Finished,
    /// Ended early, the result so far was kept.
    Kept,
}

/// Runs one job to its end, sending outputs on the way.
pub type Execute = fn(Job, &JobContext) -> Result<JobEnd, super::JobError>;

struct EventSink {
    id: JobId,
    emit: Arc<dyn Fn(JobEvent) + Send + Sync>,
}

impl Sink for EventSink {
    fn phase(&self, name: &str) {
        (self.emit)(JobEvent::Phase {
            id: self.id,
            name: name.to_owned(),
        });
    }
    fn progress(&self, done: usize, total: usize) {
        (self.emit)(JobEvent::Progress {
            id: self.id,
            done,
            total,
        });
    }
    fn warn(&self, text: &str) {
        (self.emit)(JobEvent::Warning {
            id: self.id,
            text: text.to_owned(),
        });
    }

    fn note(&self, text: &str) {
        (self.emit)(JobEvent::Note {
            id: self.id,
            text: text.to_owned(),
        });
    }
}

/// Jobs running or waiting, and how to stop each.
type Queue = Arc<Mutex<Vec<(JobId, Arc<Control>)>>>;

/// A handle to the worker thread. Dropping it abandons the running job.
pub struct Worker {
    jobs: Sender<(JobId, Job, Arc<Control>)>,
    events: Receiver<JobEvent>,
    snapshots: Arc<Slot<Arc<Volume>>>,
    queue: Queue,
    next_id: u64,
}

impl Worker {
    /// Starts the thread. `wake` is called after every event (a callback, so that the worker knows no window).
    ///
    /// # Panics
    /// If the operating system refuses a thread.
    #[must_use]
    pub fn new(execute: Execute, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (jobs, todo) = channel::<(JobId, Job, Arc<Control>)>();
        let (said, events) = channel();
        let snapshots = Arc::new(Slot::default());
        let queue = Queue::default();
        let (theirs, done) = (Arc::clone(&snapshots), Arc::clone(&queue));
        let emit: Arc<dyn Fn(JobEvent) + Send + Sync> = Arc::new(move |event| {
            // The window may be gone; then nobody listens and nothing is lost.
            let _ = said.send(event);
            wake();
        });
        std::thread::Builder::new()
            .name("aetlas-worker".to_owned())
            .spawn(move || {
                for (id, job, control) in todo {
                    run_one(execute, id, job, control, &emit, &theirs);
                    done.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .retain(|(other, _)| *other != id);
                }
            })
            .expect("the operating system gives a thread");
        Self {
            jobs,
            events,
            snapshots,
            queue,
            next_id: 1,
        }
    }

    /// Queues a job.
    pub fn submit(&mut self, job: Job) -> JobId {
        let id = JobId(self.next_id);
        self.next_id += 1;
        let control = Arc::new(Control::default());
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((id, Arc::clone(&control)));
        // The thread ends only when this handle is dropped.
        let _ = self.jobs.send((id, job, control));
        id
    }

    /// Events since the last call, in order.
    pub fn drain(&self) -> Vec<JobEvent> {
        self.events.try_iter().collect()
    }

    /// The newest snapshot of the running reconstruction, once.
    #[must_use]
    pub fn take_snapshot(&self) -> Option<Arc<Volume>> {
        self.snapshots.take()
    }

    /// Number of jobs running or waiting.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    fn with_control(&self, id: JobId, act: impl FnOnce(&Control)) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, control)) = queue.iter().find(|(other, _)| *other == id) {
            act(control);
        }
    }

    /// Asks a job to stop.
    pub fn stop(&self, id: JobId, how: Stopped) {
        self.with_control(id, |control| control.stop(how));
    }

    /// Pauses or resumes a job.
    pub fn set_paused(&self, id: JobId, paused: bool) {
        self.with_control(id, |control| control.set_paused(paused));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for (_, control) in self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            control.stop(Stopped::Abandon);
        }
    }
}

fn run_one(
    execute: Execute,
    id: JobId,
    job: Job,
    control: Arc<Control>,
    emit: &Arc<dyn Fn(JobEvent) + Send + Sync>,
    snapshots: &Arc<Slot<Arc<Volume>>>,
) {
    let started = std::time::Instant::now();
    emit(JobEvent::Started {
        id,
        title: job.title(),
    });
    let sink = Arc::new(EventSink {
        id,
        emit: Arc::clone(emit),
    });
    let context = JobContext {
        monitor: Monitor::new(sink, control),
        emit: Arc::clone(emit),
        id,
        snapshots: Arc::clone(snapshots),
        show_snapshots: true,
    };
    // A panic is our bug, but it must not take the user's session with it.
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| execute(job, &context)));
    let event = match result {
        Ok(Ok(JobEnd::Finished)) => JobEvent::Finished {
            id,
            seconds: started.elapsed().as_secs_f64(),
        },
        Ok(Ok(JobEnd::Kept)) => JobEvent::Stopped { id, kept: true },
        Ok(Err(super::JobError::Stopped(_))) => JobEvent::Stopped { id, kept: false },
        Ok(Err(error)) => JobEvent::Failed {
            id,
            message: error.to_string(),
        },
        Err(panic) => JobEvent::Failed {
            id,
            message: format!("internal error: {}", panic_text(panic.as_ref())),
        },
    };
    emit(event);
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn events_of(execute: Execute, act: impl FnOnce(&Worker, JobId)) -> Vec<JobEvent> {
        let (wake, woken) = channel();
        let wake = Mutex::new(wake);
        let mut worker = Worker::new(execute, move || {
            let _ = wake.lock().unwrap().send(());
        });
        let id = worker.submit(Job::Demo);
        act(&worker, id);
        let mut events = Vec::new();
        loop {
            woken
                .recv_timeout(Duration::from_secs(20))
                .expect("the worker wakes us");
            events.extend(worker.drain());
            if matches!(
                events.last(),
                Some(
                    JobEvent::Finished { .. } | JobEvent::Stopped { .. } | JobEvent::Failed { .. }
                )
            ) {
                return events;
            }
        }
    }

    #[test]
    fn a_panic_becomes_a_failed_job() {
        let events = events_of(|_, _| panic!("boom"), |_, _| {});
        assert!(
            matches!(events.last(), Some(JobEvent::Failed { message, .. }) if message.contains("boom"))
        );
    }

    #[test]
    fn an_endless_job_is_abandoned_even_while_paused() {
        let events = events_of(
            |_, context| loop {
                context.monitor.check()?;
            },
            |worker, id| {
                worker.set_paused(id, true);
                worker.stop(id, Stopped::Abandon);
            },
        );
        assert!(matches!(
            events.last(),
            Some(JobEvent::Stopped { kept: false, .. })
        ));
    }
}
