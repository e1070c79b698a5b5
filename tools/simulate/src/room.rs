//! The simulator's runtime room: virtual time, streams in memory that lead to the simulated node.

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use netio::Room;
use tokio::io::DuplexStream;

use crate::executor::{Executor, Process};
use crate::node::{Door, Node};

/// The host name of the second machine; any other one is the first.
pub(crate) const SECOND_HOST: &str = "second";
/// The host name of the price oracle.
pub(crate) const ORACLE_HOST: &str = "oracle";
/// The port at which the first machine tells of heads.
pub(crate) const HEADS_PORT: u16 = 2;
/// Bytes that a stream holds before its writer waits.
const STREAM_BYTES: usize = 64 * 1024;

/// A room of one process.
#[derive(Clone)]
pub(crate) struct SimRoom {
    executor: Executor,
    process: Process,
    node: Rc<Node>,
}

impl SimRoom {
    /// A room whose tasks end with the process.
    pub(crate) const fn new(executor: Executor, process: Process, node: Rc<Node>) -> Self {
        Self { executor, process, node }
    }
}

impl Room for SimRoom {
    type Stream = TokioIo<DuplexStream>;

    fn now(&self) -> Duration {
        self.executor.now()
    }

    fn unix_time(&self) -> Duration {
        self.executor.unix_time()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        self.executor.sleep(duration)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.executor.spawn(self.process, task);
    }

    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + 'static {
        let (executor, node) = (self.executor.clone(), Rc::clone(&self.node));
        let door = match host {
            SECOND_HOST => Door::Second,
            ORACLE_HOST => Door::Oracle,
            _ => Door::First,
        };
        async move {
            executor.sleep(executor.between(Duration::ZERO, Duration::from_millis(2))).await;
            if node.is_down(door) {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            let (ours, theirs) = tokio::io::duplex(STREAM_BYTES);
            if port == HEADS_PORT {
                crate::heads::serve(&executor, &node, theirs);
            } else {
                node.serve(door, theirs);
            }
            Ok(TokioIo::new(ours))
        }
    }
}
