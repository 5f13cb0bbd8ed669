//! The command line of tnas.
fn main() {}
