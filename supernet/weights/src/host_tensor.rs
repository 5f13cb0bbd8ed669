use crate::{DType, TensorInfo};
use std::borrow::Cow;

/// A tensor in host memory on its way to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTensor<'a> {
    /// Kind and shape.
    pub info: TensorInfo,
    /// Its elements, little-endian.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> HostTensor<'a> {
    /// A tensor of f32, borrowed on little-endian machines.
    pub fn f32(shape: &[usize], numbers: &'a [f32]) -> Self {
        Self { info: TensorInfo { dtype: DType::F32, shape: shape.into() }, bytes: little_endian(numbers) }
    }

    /// A tensor of i64, copied.
    pub fn i64(shape: &[usize], numbers: &[i64]) -> Self {
        let bytes = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        Self { info: TensorInfo { dtype: DType::I64, shape: shape.into() }, bytes: Cow::Owned(bytes) }
    }

    /// A tensor of any kind from its little-endian bytes.
    pub fn new(dtype: DType, shape: &[usize], bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { info: TensorInfo { dtype, shape: shape.into() }, bytes: bytes.into() }
    }
}

/// What can be written as a tensor: a [`HostTensor`], or a shape and its f32 numbers.
pub trait Stored {
    /// Kind and shape.
    fn info(&self) -> TensorInfo;

    /// Its elements, little-endian.
    fn bytes(&self) -> Cow<'_, [u8]>;
}

impl Stored for HostTensor<'_> {
    fn info(&self) -> TensorInfo {
        self.info.clone()
    }

    fn bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
}

impl<N: AsRef<[f32]>> Stored for (Vec<usize>, N) {
    fn info(&self) -> TensorInfo {
        TensorInfo { dtype: DType::F32, shape: self.0.clone() }
    }

    fn bytes(&self) -> Cow<'_, [u8]> {
        little_endian(self.1.as_ref())
    }
}

fn little_endian(numbers: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        // SAFETY: a u8 needs no alignment and every byte of an f32 is initialised.
        Cow::Borrowed(unsafe { numbers.align_to::<u8>() }.1)
    } else {
        Cow::Owned(numbers.iter().flat_map(|n| n.to_le_bytes()).collect())
    }
}
