//! What the crate promises, tried on real directories: what survives a crash, who may open, how reads answer, and how the writer
//! treats an append that failed.

#![allow(clippy::unwrap_used)]

mod crash;
mod endings;
mod kit;
mod opening;
mod reading;
mod torn;
mod writing;
