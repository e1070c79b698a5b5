//! A real anvil, as the project's set-up installs it.

use super::node::Node;

/// A running anvil with a block a second; ended with the test.
pub(crate) struct Anvil {
    pub(crate) node: Node,
    _process: nodes::Running,
}

impl Anvil {
    pub(crate) fn start() -> Self {
        let process = nodes::anvil::start(&nodes::anvil::Config::default()).unwrap_or_else(|error| panic!("{error}"));
        Self { node: Node::new(process.address()), _process: process }
    }
}
