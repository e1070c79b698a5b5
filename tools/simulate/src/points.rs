//! Crashes at named points: the engine's code is left at exactly that place, by unwinding, and nothing of it runs any more.

use std::cell::Cell;
use std::rc::Rc;

use crate::faults::Fault;

/// What unwinds a task at its point.
pub(crate) struct Died;

/// The point that waits for the engine, in one world.
#[derive(Clone, Default)]
pub(crate) struct Points {
    armed: Rc<Cell<Option<(Fault, u64)>>>,
    died: Rc<Cell<Option<Fault>>>,
}

impl Points {
    /// The engine ends when it gets to the fault's point for the `times`th time; `None` for never.
    pub(crate) fn arm(&self, fault: Option<(Fault, u64)>) {
        self.armed.set(fault);
    }

    /// The fault by which the engine has ended since the last call.
    pub(crate) fn take_death(&self) -> Option<Fault> {
        self.died.take()
    }

    /// Has this thread's engine tell its points to this world.
    #[cfg(feature = "points")]
    pub(crate) fn watch(&self) {
        let points = self.clone();
        engine::point::on_thread(Some(Rc::new(move |point| {
            let Some((fault, times)) = points.armed.get().filter(|(fault, _)| fault.point() == Some(point)) else { return };
            points.armed.set((times > 1).then_some((fault, times - 1)));
            if times <= 1 {
                points.died.set(Some(fault));
                // Not a panic: no message, and no hook is called.
                std::panic::resume_unwind(Box::new(Died));
            }
        })));
    }

    /// This build has no points.
    #[cfg(not(feature = "points"))]
    pub(crate) const fn watch(&self) {}
}
