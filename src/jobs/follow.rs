//! Traces the volume of a running reconstruction now and then, on a thread of its own, and follows the atoms from one
//! trace to the next.
//!
//! One thread of the processor traces, and rests several times as long as a trace took, so the reconstruction is not
//! slowed notably; a volume is copied only when the tracer is ready for it.

use super::execute::trace_interim;
use super::latest::Latest;
use crate::model::Volume;
use crate::monitor::{Control, Stopped};
use crate::trace::ghosts::Ghosts;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause after an interim trace over the time it took: with two cores a twelfth of the machine goes to tracing.
const REST: f64 = 5.0;
/// The iteration from which volumes are traced: the first ones are blurred sums of the images without atoms.
const FIRST_ITERATION: usize = 5;
/// Shortest pause: small volumes are traced faster than anyone can look.
const SHORTEST_REST: Duration = Duration::from_millis(200);

/// What one interim trace found.
struct Interim {
    /// Positions of the atoms, Å; `None` when there were none to trace yet.
    positions: Option<Vec<[f64; 3]>>,
    took: Duration,
}

/// The tracer of a running reconstruction. Dropping it abandons a trace under way.
pub struct Follower {
    tracer: Latest<Arc<Volume>, Interim>,
    control: Arc<Control>,
    ghosts: Ghosts,
    due: Instant,
}

impl Follower {
    /// Starts the thread; it waits for a volume.
    #[must_use]
    pub fn new() -> Self {
        let control = Arc::new(Control::default());
        let theirs = Arc::clone(&control);
        // Without a pool of its own it would take all cores from the reconstruction.
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .thread_name(|_| "aetlas-interim-trace".to_owned())
            .build();
        let answer = move |volume: Arc<Volume>| {
            let began = Instant::now();
            let trace = || trace_interim(&volume, &theirs);
            let positions = match &pool {
                Ok(pool) => pool.install(trace),
                Err(_) => trace(),
            };
            Interim {
                positions,
                took: began.elapsed(),
            }
        };
        Self {
            tracer: Latest::new("aetlas-follower", || (), answer),
            control,
            ghosts: Ghosts::default(),
            due: Instant::now(),
        }
    }

    /// Whether it is time for another volume, that of this iteration (from 1).
    #[must_use]
    pub fn wants_volume(&self, iteration: usize) -> bool {
        iteration >= FIRST_ITERATION && !self.tracer.is_waiting() && Instant::now() >= self.due
    }

    /// Gives it a volume to trace.
    pub fn give(&mut self, volume: Arc<Volume>) {
        self.tracer.ask(volume);
    }

    /// The ghosts, when a trace was finished since the last call.
    pub fn news(&mut self) -> Option<Arc<Ghosts>> {
        let interim = self.tracer.poll()?;
        self.due = Instant::now() + interim.took.mul_f64(REST).max(SHORTEST_REST);
        self.ghosts.follow(&interim.positions?);
        Some(Arc::new(self.ghosts.clone()))
    }
}

impl Default for Follower {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.control.stop(Stopped::Abandon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaussian atoms on a grid of 3 Å, the last of them as strong as asked for.
    fn volume(last: f32) -> Arc<Volume> {
        let mut volume = Volume::zeros([45; 3], 0.4);
        for n in 0..125usize {
            let place = [n / 25, n / 5 % 5, n % 5];
            let p: [f64; 3] = std::array::from_fn(|a| (place[a] as f64 - 2.0) * 3.0);
            let height = if n == 124 { last } else { 1.0 };
            for ((x, y, z), value) in volume.data.indexed_iter_mut() {
                let q = [x, y, z].map(|v| (v as f64 - 22.0) * 0.4);
                let squared: f64 = (0..3).map(|a| (p[a] - q[a]).powi(2)).sum();
                if squared < 9.0 {
                    *value += height * (-0.5 * squared / 0.25).exp() as f32;
                }
            }
        }
        Arc::new(volume)
    }

    #[test]
    fn volumes_are_traced_when_it_is_ready_and_atoms_gain_solidity() {
        let mut follower = Follower::new();
        let mut last = None;
        for volume in [volume(0.0), volume(1.0)] {
            let began = Instant::now();
            assert!(!follower.wants_volume(1), "too early");
            while !follower.wants_volume(10) {
                assert!(began.elapsed() < Duration::from_secs(60), "never ready");
                std::thread::sleep(Duration::from_millis(5));
            }
            follower.give(volume);
            assert!(!follower.wants_volume(10), "busy with it");
            last = loop {
                assert!(began.elapsed() < Duration::from_secs(60), "no news");
                std::thread::sleep(Duration::from_millis(5));
                if let Some(ghosts) = follower.news() {
                    break Some(ghosts);
                }
            };
            assert!(!follower.wants_volume(10), "resting");
        }
        let ghosts = last.expect("two traces");
        assert_eq!((ghosts.traces, ghosts.present().count()), (2, 125));
        let corner = [[6.0; 3], [0.0; 3], [9.0, 0.0, 0.0]];
        assert_eq!(ghosts.persistence(&corner), [0.5, 1.0, 0.0]);
    }
}
