//! Promises of the crate, one module each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

/// A process that measures: answers, and every way to die.
#[cfg(unix)]
mod child;
/// Synthetic devices, whose truth is known.
mod device;
/// What is measured, and in which order.
mod plan;
/// What is learned from it, and how sure it is.
mod predictor;
/// Recorded measurements: resume, hostile files, noise and drift.
mod profile;
/// Tables of published measurements: learning, transfer, refusals, golden figures.
mod tables;

/// A device measured elsewhere: what is filled into a table is a profile, or an error that names the cell.
mod remote_profile;

/// A space whose blocks are known: alike blocks teach each other, and genomes are predicted without graphs.
mod space;
