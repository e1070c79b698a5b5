//! The side of who wants a transaction: it keeps it until its receipt is on the chain, whoever coordinates it (rows C2, C3, C9).

pub mod state;
pub mod transaction;
