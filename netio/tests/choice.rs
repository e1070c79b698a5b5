//! Choosing an executor where too little memory may be locked. Alone in its file: the limit is the whole process's.

#![allow(clippy::unwrap_used)]

use netio::{Chosen, Executor, Room, Tenant, choose, open};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

struct Nobody;

impl Tenant for Nobody {
    async fn live<R: Room>(self, _room: R) {}
}

#[test]
fn without_locked_memory_auto_runs_on_epoll_and_io_uring_says_what_to_change() {
    let before = getrlimit(Resource::Memlock);
    let little = Rlimit { current: Some(256 * 1024), ..before };
    setrlimit(Resource::Memlock, little).unwrap();

    assert_eq!(choose(Executor::Auto).unwrap(), Chosen::Epoll);
    assert_eq!(choose(Executor::Epoll).unwrap(), Chosen::Epoll);
    let error = choose(Executor::IoUring).unwrap_err().to_string();
    for part in ["256 KiB", "512 KiB", "ulimit -l", "LimitMEMLOCK", "executor = \"epoll\""] {
        assert!(error.contains(part), "{part} is missing: {error}");
    }
    open(choose(Executor::Auto).unwrap(), None, Nobody).unwrap();

    setrlimit(Resource::Memlock, before).unwrap();
    assert_eq!(choose(Executor::Epoll).unwrap(), Chosen::Epoll, "epoll is never replaced");
}
