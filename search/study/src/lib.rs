//! The run directory and the durable record of a study.
