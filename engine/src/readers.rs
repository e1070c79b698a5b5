//! Threads that wait for the disk so that no shard and not the control thread has to.
//!
//! ```text
//! caller ── work ──► bounded queue ──► reader thread ── work(&store) ──► reply to the caller
//!                    full: ReadError::Busy, nothing was done
//! ```
//!
//! A caller that goes away loses its reply, nothing else. The readers end when they are told to, or when all handles are gone.

use std::future::Future;
use std::thread::JoinHandle;

use flume::{Receiver, Sender, TrySendError};
use storage::Store;
use thiserror::Error;

/// A question for a reader; answers by itself.
type Work<S> = Box<dyn FnOnce(&S) + Send>;

enum Message<S> {
    Work(Work<S>),
    /// One reader ends.
    End,
}

/// Why a question was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// The queue is full: try again later.
    #[error("too many queries are waiting for the database: try again later")]
    Busy,
    /// The readers have ended.
    #[error("the process is shutting down")]
    Closed,
}

/// A handle to the readers. A clone asks the same ones.
pub struct Readers<S> {
    queue: Sender<Message<S>>,
}

impl<S> Clone for Readers<S> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<S: Store> Readers<S> {
    /// Starts `threads` readers behind a queue of `queue` questions, and calls the threads `name` and their number. They end when every
    /// handle is gone.
    pub fn threads(name: &str, store: S, threads: usize, queue: usize) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (sender, receiver) = flume::bounded(queue);
        let own: (S, Receiver<Message<S>>) = (store, receiver);
        let threads = std::iter::repeat_n(own, threads)
            .enumerate()
            .map(|(index, (store, receiver))| {
                std::thread::Builder::new().name(format!("{name}-{index}")).spawn(move || read(&store, &receiver))
            })
            .collect::<Result<_, _>>()?;
        Ok((Self { queue: sender }, threads))
    }

    /// The same queue without threads: the future serves it until every handle is gone.
    pub fn detached(store: S, queue: usize) -> (Self, impl Future<Output = ()> + 'static) {
        let (sender, receiver) = flume::bounded::<Message<S>>(queue);
        let serve = async move {
            while let Ok(Message::Work(work)) = receiver.recv_async().await {
                work(&store);
            }
        };
        (Self { queue: sender }, serve)
    }

    /// Runs `work` on a reader and gives its result. [`ReadError::Busy`]: the queue was full and `work` never ran.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce(&S) -> T + Send + 'static) -> Result<T, ReadError> {
        let (reply, answer) = flume::bounded(1);
        let work = Box::new(move |store: &S| {
            // The caller may have gone: then nobody wants the answer.
            let _ = reply.send(work(store));
        });
        self.queue.try_send(Message::Work(work)).map_err(|error| match error {
            TrySendError::Full(_) => ReadError::Busy,
            TrySendError::Disconnected(_) => ReadError::Closed,
        })?;
        answer.recv_async().await.map_err(|_| ReadError::Closed)
    }

    /// Tells one reader to end once it has answered what was asked before. Waits for room in the queue.
    pub fn end_one(&self) {
        // Readers that are gone have ended.
        let _ = self.queue.send(Message::End);
    }
}

fn read<S>(store: &S, questions: &Receiver<Message<S>>) {
    while let Ok(Message::Work(work)) = questions.recv() {
        work(store);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::sync::mpsc;

    use storage::{Options, RocksStore};

    use super::*;

    fn store() -> (tempfile::TempDir, RocksStore) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = RocksStore::open(directory.path(), &Options::default()).expect("a new store");
        (directory, store)
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(work)
    }

    #[test]
    fn a_reader_answers_and_ends_with_the_last_handle() {
        let (_directory, store) = store();
        let (readers, threads) = Readers::threads("reader", store, 2, 8).expect("threads");
        let sequence = block_on(readers.run(|store| store.sequence().expect("an open store")));
        assert_eq!(sequence, Ok(0));
        drop(readers);
        for thread in threads {
            thread.join().expect("a reader that ends well");
        }
    }

    #[test]
    fn a_full_queue_refuses_and_does_not_run_the_work() {
        let (_directory, store) = store();
        let (readers, threads) = Readers::threads("reader", store, 1, 1).expect("threads");
        let (running, is_running) = mpsc::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let first = readers.run(move |_| {
            running.send(()).expect("the test waits");
            finished.recv().expect("the test lets it finish");
        });
        block_on(async {
            let mut first = std::pin::pin!(first);
            assert!(futures_util::poll!(first.as_mut()).is_pending());
            is_running.recv().expect("the reader has begun");
            let mut second = std::pin::pin!(readers.run(|_| 2));
            assert!(futures_util::poll!(second.as_mut()).is_pending());
            assert_eq!(readers.run(|_| panic!("must not run")).await, Err::<(), _>(ReadError::Busy));
            finish.send(()).expect("the reader waits");
            assert_eq!(second.await, Ok(2));
        });
        drop(readers);
        for thread in threads {
            thread.join().expect("a reader that ends well");
        }
    }

    #[test]
    fn without_threads_the_future_serves_until_the_last_handle_is_gone() {
        let (_directory, store) = store();
        let (readers, serve) = Readers::detached(store, 1);
        block_on(async {
            let ask = async {
                let answer = readers.run(|_| 3).await;
                drop(readers);
                answer
            };
            assert_eq!(futures_util::join!(ask, serve).0, Ok(3));
        });
    }
}
