use serde::{Deserialize, Serialize};
use tnas_graph::{HostTensor, RuntimeError, Session};

/// A runtime's outputs compared with the expected ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Largest absolute difference.
    pub max_abs_error: f32,
    /// Largest absolute expected value.
    pub max_abs_output: f32,
    /// Largest absolute difference that passes: 1e-4 · max(1, max_abs_output).
    pub tolerance: f32,
    /// Whether the error is within it.
    pub passed: bool,
}

/// Runs the inputs and compares every output.
pub fn verify(
    session: &mut dyn Session,
    inputs: &[HostTensor],
    expected: &[HostTensor],
) -> Result<Verification, RuntimeError> {
    let outputs = session.run(inputs)?;
    let pairs = || outputs.iter().zip(expected);
    let error = if outputs.len() == expected.len() {
        pairs().map(|(ours, theirs)| ours.max_abs_difference(theirs)).fold(0.0, f32::max)
    } else {
        f32::INFINITY
    };
    let size = expected.iter().map(HostTensor::max_abs).fold(0.0, f32::max);
    let tolerance = 1e-4 * size.max(1.0);
    Ok(Verification { max_abs_error: error, max_abs_output: size, tolerance, passed: error <= tolerance })
}
