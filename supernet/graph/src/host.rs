/// A tensor in ordinary memory, row-major: what runtimes take and give.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Axis lengths.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: HostData,
}

/// Elements of a [`HostTensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum HostData {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

impl HostTensor {
    /// A float tensor; panics where the element count and the shape disagree, which is a bug of the caller.
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "elements of {shape:?}");
        Self { shape: shape.to_vec(), data: HostData::F32(data) }
    }

    /// An integer tensor; panics as [`HostTensor::f32`] does.
    pub fn i64(shape: &[usize], data: Vec<i64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "elements of {shape:?}");
        Self { shape: shape.to_vec(), data: HostData::I64(data) }
    }

    /// The floats, or `None` for integers.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            HostData::F32(data) => Some(data),
            HostData::I64(_) => None,
        }
    }

    /// Largest absolute difference of two float tensors of one shape; infinite where they cannot be compared
    /// or hold a NaN.
    pub fn max_abs_difference(&self, other: &Self) -> f32 {
        match (self.as_f32(), other.as_f32()) {
            (Some(a), Some(b)) if self.shape == other.shape => a.iter().zip(b).fold(0.0, |worst, (a, b)| {
                let difference = (a - b).abs();
                if difference.is_nan() { f32::INFINITY } else { worst.max(difference) }
            }),
            _ => f32::INFINITY,
        }
    }

    /// Largest absolute element.
    pub fn max_abs(&self) -> f32 {
        self.as_f32().map_or(0.0, |data| data.iter().fold(0.0, |worst, x| worst.max(x.abs())))
    }
}
