//! Where a test may end the process: the moment at which a connection has a request and no reply has come.
//!
//! Only with the feature `points`; without it nothing is compiled in.

use std::sync::OnceLock;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

static HOOK: OnceLock<fn(&[u8])> = OnceLock::new();

/// Turns of a task after which the connection's own task has written what it was given: one would do where ready tasks run in
/// order, and a simulator draws them at random.
const TURNS: u32 = 8;

/// Sets what is told of each request's body once it has been handed over. Of several calls the first counts.
pub fn on_request(hook: fn(&[u8])) {
    // All callers set the same.
    let _ = HOOK.set(hook);
}

/// The connection has taken this request: lets it write, then tells.
pub(crate) async fn handed_over(body: Full<Bytes>) {
    let Some(hook) = HOOK.get() else { return };
    let Ok(body) = body.collect().await;
    for _ in 0..TURNS {
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
    hook(&body.to_bytes());
}
