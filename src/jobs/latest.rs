//! Latest-value slots: the newest wins, nobody waits.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A slot that holds only the newest value.
#[derive(Debug)]
pub struct Slot<T> {
    value: Mutex<Option<T>>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            value: Mutex::new(None),
        }
    }
}

impl<T> Slot<T> {
    /// Puts a value, dropping one that nobody took.
    pub fn put(&self, value: T) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// Takes the value, if there is one.
    pub fn take(&self) -> Option<T> {
        self.value
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Whether the last value was taken, so that making a new one is worth it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.value
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }
}

struct Shared<Q, A> {
    request: Mutex<(Option<(u64, Q)>, bool)>,
    asked: Condvar,
    /// With the question's number, and whether it is the last answer to it.
    answer: Slot<(u64, bool, A)>,
}

/// What the thread sees of the question that it works on.
pub struct Turn<'a, Q, A> {
    shared: &'a Arc<Shared<Q, A>>,
    number: u64,
    wake: &'a dyn Fn(),
}

impl<Q: Send + 'static, A: Send + 'static> Turn<'_, Q, A> {
    /// Tells what is known already; more follows.
    pub fn tell(&self, answer: A) {
        self.shared.answer.put((self.number, false, answer));
        (self.wake)();
    }

    /// Whether a newer question waits, so that the rest of this answer is not worth making.
    #[must_use]
    pub fn is_over(&self) -> Arc<dyn Fn() -> bool + Send + Sync> {
        let shared = Arc::clone(self.shared);
        Arc::new(move || {
            let request = shared.request.lock();
            let request = request.unwrap_or_else(PoisonError::into_inner);
            request.1 || request.0.is_some()
        })
    }
}

/// A quick question answered on its own thread: the newest request wins, stale ones are dropped, and the last
/// answer stays with whoever asked.
pub struct Latest<Q, A> {
    shared: Arc<Shared<Q, A>>,
    number: u64,
    answered: u64,
}

impl<Q: Send + 'static, A: Send + 'static> Latest<Q, A> {
    /// Starts the thread; `wake` is called after each answer.
    ///
    /// # Panics
    /// If the operating system refuses a thread.
    #[must_use]
    pub fn new(
        name: &str,
        wake: impl Fn() + Send + 'static,
        answer: impl Fn(Q) -> A + Send + 'static,
    ) -> Self {
        Self::in_steps(name, wake, move |question, _| Some(answer(question)))
    }

    /// As [`Self::new`], for answers that come in steps: `answer` may tell what it knows before it is done, and gives nothing
    /// when it stops for a newer question.
    ///
    /// # Panics
    /// If the operating system refuses a thread.
    #[must_use]
    pub fn in_steps(
        name: &str,
        wake: impl Fn() + Send + 'static,
        answer: impl Fn(Q, &Turn<'_, Q, A>) -> Option<A> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            request: Mutex::new((None, false)),
            asked: Condvar::new(),
            answer: Slot::default(),
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                loop {
                    let (number, question) = {
                        let mut request = theirs
                            .request
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner);
                        loop {
                            if request.1 {
                                return;
                            }
                            if let Some(asked) = request.0.take() {
                                break asked;
                            }
                            request = theirs
                                .asked
                                .wait(request)
                                .unwrap_or_else(PoisonError::into_inner);
                        }
                    };
                    let turn = Turn {
                        shared: &theirs,
                        number,
                        wake: &wake,
                    };
                    if let Some(answer) = answer(question, &turn) {
                        theirs.answer.put((number, true, answer));
                        wake();
                    }
                }
            })
            .expect("the operating system gives a thread");
        Self {
            shared,
            number: 0,
            answered: 0,
        }
    }

    /// Asks; an earlier question that was not begun is forgotten.
    pub fn ask(&mut self, question: Q) {
        self.number += 1;
        let mut request = self
            .shared
            .request
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        request.0 = Some((self.number, question));
        self.shared.asked.notify_one();
    }

    /// The newest answer, once.
    pub fn poll(&mut self) -> Option<A> {
        let (number, last, answer) = self.shared.answer.take()?;
        if last {
            self.answered = number;
        }
        Some(answer)
    }

    /// Whether a question is still open.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.answered < self.number
    }
}

impl<Q, A> Drop for Latest<Q, A> {
    fn drop(&mut self) {
        self.shared
            .request
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1 = true;
        self.shared.asked.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_newest_question_is_answered() {
        let (wake, woken) = std::sync::mpsc::channel();
        let mut squares = Latest::new(
            "squares",
            move || wake.send(()).unwrap_or(()),
            |n: u64| n * n,
        );
        for n in 1..=100 {
            squares.ask(n);
        }
        let mut last = 0;
        while squares.is_waiting() {
            woken
                .recv_timeout(Duration::from_secs(10))
                .expect("an answer wakes us");
            if let Some(answer) = squares.poll() {
                last = answer;
            }
        }
        assert_eq!(last, 10_000);
    }

    #[test]
    fn an_answer_comes_in_steps_and_ends_early_for_a_newer_question() {
        let (wake, woken) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let mut steps = Latest::in_steps(
            "steps",
            move || wake.send(()).unwrap_or(()),
            move |n: u64, turn| {
                turn.tell(n);
                wait.recv_timeout(Duration::from_secs(10)).ok()?;
                (!(turn.is_over())()).then_some(100 * n)
            },
        );
        let next = |steps: &mut Latest<u64, u64>| {
            woken
                .recv_timeout(Duration::from_secs(10))
                .expect("an answer wakes us");
            steps.poll()
        };
        steps.ask(1);
        assert_eq!((next(&mut steps), steps.is_waiting()), (Some(1), true));
        // A newer question ends the first one, whose last answer never comes.
        steps.ask(2);
        go.send(()).expect("the thread listens");
        assert_eq!((next(&mut steps), steps.is_waiting()), (Some(2), true));
        go.send(()).expect("the thread listens");
        assert_eq!((next(&mut steps), steps.is_waiting()), (Some(200), false));
    }
}
