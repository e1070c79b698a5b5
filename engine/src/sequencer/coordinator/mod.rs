//! The side of who orders the transactions of a contract: it has them assembled and endorsed, and hands them to the public pipeline (rows C4,
//! C5, C9 to C13).

pub mod state;
pub mod transaction;
