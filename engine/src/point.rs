//! Named points on a transaction's way, at which a test can end the process.
//!
//! With the feature `points`: `MILLRACE_DIE_AT=signed:3` in the environment makes the process kill itself (SIGKILL) when it gets to
//! that point for the third time; the simulator sets a hook for its thread instead. Without the feature nothing is compiled in.

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A point on the way.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Point {
            /// All points.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name in `MILLRACE_DIE_AT`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

points! {
    /// A transaction has its nonce, in memory.
    NonceTaken = "nonce-taken",
    /// A run's transactions are signed; no record has left the shard.
    Signed = "signed",
    /// A record is on disk, and nobody has been told.
    Persisted = "persisted",
    /// Signed bytes are with the connection; no reply has come.
    Sent = "sent",
    /// The node's reply is there, and has not been acted upon.
    Replied = "replied",
    /// A block and its receipts have been read and not been stored.
    MinedUnseen = "mined-unseen",
}

/// Nothing: the feature `points` is off.
#[cfg(not(feature = "points"))]
pub const fn reached(_: Point) {}

/// Nothing: the feature `points` is off.
#[cfg(not(feature = "points"))]
pub(crate) const fn watch_requests() {}

/// There is none: the feature `points` is off.
#[cfg(not(feature = "points"))]
pub(crate) const VARIABLE: Option<&str> = None;

/// The variable that names the point to die at. It is no setting, though it is named like one.
#[cfg(feature = "points")]
pub(crate) const VARIABLE: Option<&str> = Some(armed::VARIABLE);

#[cfg(feature = "points")]
pub use armed::{on_thread, reached, watch_requests};

#[cfg(feature = "points")]
mod armed {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use nix::sys::signal::{Signal, raise};

    use super::Point;

    /// Names the point and how often it is passed before the process dies there.
    pub(super) const VARIABLE: &str = "MILLRACE_DIE_AT";

    type Hook = Rc<dyn Fn(Point)>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    static DIE_AT: LazyLock<Option<(Point, AtomicU64)>> = LazyLock::new(|| std::env::var(VARIABLE).ok().map(|text| die_at(&text)));

    /// Reads `point:times`.
    fn die_at(text: &str) -> (Point, AtomicU64) {
        let parsed = text.split_once(':').and_then(|(name, times)| {
            let point = Point::ALL.iter().copied().find(|point| point.name() == name)?;
            Some((point, times.parse().ok().filter(|times| *times > 0)?))
        });
        let names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
        let (point, times) = parsed
            .unwrap_or_else(|| panic!("{VARIABLE}={text} is not POINT:TIMES with TIMES from 1 and POINT one of {}", names.join(", ")));
        (point, AtomicU64::new(times))
    }

    /// Tells this thread's hook, or ends the process if its time has come.
    pub fn reached(point: Point) {
        let hook = HOOK.with_borrow(Clone::clone);
        if let Some(hook) = hook {
            hook(point);
            return;
        }
        let Some((at, left)) = &*DIE_AT else { return };
        if *at == point && left.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Cannot fail: the signal exists and the process is our own.
            let _ = raise(Signal::SIGKILL);
        }
    }

    /// What happens at each point on this thread, from now on.
    pub fn on_thread(hook: Option<Hook>) {
        HOOK.set(hook);
    }

    /// Has the connections tell when they have taken signed bytes.
    pub fn watch_requests() {
        netio::points::on_request(|body| {
            if body.windows(RAW.len()).any(|part| part == RAW) {
                reached(Point::Sent);
            }
        });
    }

    /// What a request that carries signed bytes has in it.
    const RAW: &[u8] = b"eth_sendRawTransaction";

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_point_and_a_count_are_read() {
            let (point, times) = die_at("signed:3");
            assert_eq!((point, times.into_inner()), (Point::Signed, 3));
        }

        #[test]
        #[should_panic(expected = "POINT one of nonce-taken, signed, persisted, sent, replied, mined-unseen")]
        fn another_word_names_the_points_there_are() {
            die_at("sined:3");
        }
    }
}
