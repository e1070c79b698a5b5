//! Heads by WebSocket: they come without polling, and polling goes on while there is no subscription.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};

use crate::on_both_executors;
use crate::support::any_port;
use crate::support::node::Node;
use crate::support::world::{LOAD, World, quiet_chain};

on_both_executors!(
    a_head_by_web_socket_is_read_without_polling,
    nothing_is_lost_while_the_web_socket_is_cut_for_twenty_blocks_and_then_it_is_used_again,
);

/// Passes bytes on to a node, until it is cut.
struct Wire {
    address: SocketAddr,
    state: Arc<(AtomicBool, Notify)>,
    /// Its end is the wire's.
    _stop: oneshot::Sender<()>,
}

impl Wire {
    fn to(node: SocketAddr) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(any_port())).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new((AtomicBool::default(), Notify::new()));
        let shared = Arc::clone(&state);
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, node, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, state, _stop: stop }
    }

    /// Ends every connection and takes no further ones, or does again.
    fn set_cut(&self, cut: bool) {
        self.state.0.store(cut, Ordering::Release);
        self.state.1.notify_waiters();
    }
}

async fn accept(listener: TcpListener, node: SocketAddr, state: Arc<(AtomicBool, Notify)>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let cut = state.1.notified();
            if state.0.load(Ordering::Acquire) {
                return;
            }
            let mut far = TcpStream::connect(node).await.expect("the node listens");
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                () = cut => {}
            }
        });
    }
}

/// An engine that would look at the head by itself once in an hour while heads come by WebSocket.
fn start(executor: &str) -> Option<(World, Wire)> {
    let chain = quiet_chain();
    let node = Node::new(chain.addr());
    let wire = Wire::to(chain.addr());
    let more = format!("node.ws_url = \"ws://{}\"\nnode.ws_poll_interval_ms = 3600000\n", wire.address);
    let world = World::with_node(node, &node.url(), executor, &more, Some(chain))?;
    world.wait_until("heads come by WebSocket", || world.metric("millrace_ws_subscribed") == 1);
    Some((world, wire))
}

fn a_head_by_web_socket_is_read_without_polling(executor: &str) {
    let Some((world, _wire)) = start(executor) else { return };
    let ids = world.submit(0..LOAD);
    world.node.wait_for_pending(LOAD);
    for _ in 0..5 {
        world.mine(1);
    }
    world.exactly_once(&ids);
    assert!(world.metric("millrace_ws_heads_total") >= 5);
    assert_eq!(world.metric("millrace_ws_cuts_total"), 0);
}

fn nothing_is_lost_while_the_web_socket_is_cut_for_twenty_blocks_and_then_it_is_used_again(executor: &str) {
    let Some((world, wire)) = start(executor) else { return };
    let mut ids = world.submit(0..LOAD / 2);
    world.node.wait_for_pending(LOAD / 2);
    wire.set_cut(true);
    world.wait_until("the cut is seen", || world.metric("millrace_ws_subscribed") == 0);
    for _ in 0..20 {
        world.mine(1);
    }
    world.wait_for_confirmed(&ids);
    let heads = world.metric("millrace_ws_heads_total");
    assert!(world.metric("millrace_ws_cuts_total") > 0);
    wire.set_cut(false);
    world.wait_until("heads come by WebSocket again", || world.metric("millrace_ws_subscribed") == 1);
    ids.append(&mut world.submit(LOAD / 2..LOAD));
    world.node.wait_for_pending(LOAD / 2);
    world.mine(1);
    world.exactly_once(&ids);
    assert!(world.metric("millrace_ws_heads_total") > heads);
}
