//! Measuring latency on a device and learning to predict it.
