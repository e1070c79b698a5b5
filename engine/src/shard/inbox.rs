//! Events that a shard's own tasks bring home.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use netio::Bell;

/// A queue within one thread, whose owner sleeps on a bell. Clones are the same queue.
pub(super) struct Inbox<T> {
    queue: Rc<RefCell<VecDeque<T>>>,
    bell: Bell,
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self { queue: Rc::clone(&self.queue), bell: self.bell.clone() }
    }
}

impl<T> Inbox<T> {
    pub(super) fn new(bell: Bell) -> Self {
        Self { queue: Rc::default(), bell }
    }

    pub(super) fn push(&self, item: T) {
        self.queue.borrow_mut().push_back(item);
        self.bell.ring();
    }

    pub(super) fn pop(&self) -> Option<T> {
        self.queue.borrow_mut().pop_front()
    }

    pub(super) fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }
}
