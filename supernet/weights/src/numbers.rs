//! Stored bytes as numbers: borrowed where they already are what is asked for, converted where not.

use crate::{DType, bf16_to_f32, f16_to_f32};
use std::borrow::Cow;

/// Types whose every bit pattern is a value, so that bytes may be looked at as them.
trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for i64 {}

/// The bytes as little-endian `T`, without a copy; `None` if they are not aligned or the machine is not little-endian.
fn borrowed<T: Plain>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: every bit pattern is a `Plain` value.
    let (before, numbers, after) = unsafe { bytes.align_to::<T>() };
    (cfg!(target_endian = "little") && before.is_empty() && after.is_empty()).then_some(numbers)
}

fn converted<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect()
}

/// Numbers of a floating-point kind as f32; `None` for every other kind.
pub(crate) fn as_f32(dtype: DType, bytes: &[u8]) -> Option<Cow<'_, [f32]>> {
    let numbers = match dtype {
        DType::F32 => match borrowed(bytes) {
            Some(numbers) => return Some(Cow::Borrowed(numbers)),
            None => converted(bytes, f32::from_le_bytes),
        },
        DType::F16 => converted(bytes, |b| f16_to_f32(u16::from_le_bytes(b))),
        DType::BF16 => converted(bytes, |b| bf16_to_f32(u16::from_le_bytes(b))),
        DType::F64 => converted(bytes, |b| f64::from_le_bytes(b) as f32),
        _ => return None,
    };
    Some(Cow::Owned(numbers))
}

/// What stands in the way of whole numbers.
pub(crate) enum NotI64 {
    Kind,
    TooLarge { index: usize, value: u64 },
}

/// Numbers of a whole kind as i64.
pub(crate) fn as_i64(dtype: DType, bytes: &[u8]) -> Result<Cow<'_, [i64]>, NotI64> {
    let numbers = match dtype {
        DType::I64 => match borrowed(bytes) {
            Some(numbers) => return Ok(Cow::Borrowed(numbers)),
            None => converted(bytes, i64::from_le_bytes),
        },
        DType::I32 => converted(bytes, |b| i32::from_le_bytes(b).into()),
        DType::U32 => converted(bytes, |b| u32::from_le_bytes(b).into()),
        DType::I16 => converted(bytes, |b| i16::from_le_bytes(b).into()),
        DType::U16 => converted(bytes, |b| u16::from_le_bytes(b).into()),
        DType::I8 => converted(bytes, |b| i8::from_le_bytes(b).into()),
        DType::U8 | DType::Bool => converted(bytes, |b| u8::from_le_bytes(b).into()),
        DType::U64 => signed(converted(bytes, u64::from_le_bytes))?,
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => return Err(NotI64::Kind),
    };
    Ok(Cow::Owned(numbers))
}

fn signed(numbers: Vec<u64>) -> Result<Vec<i64>, NotI64> {
    let one = |(index, value)| i64::try_from(value).map_err(|_| NotI64::TooLarge { index, value });
    numbers.into_iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unaligned_bytes_read_the_same_numbers() {
        let numbers = [1.5f32, -0.0, f32::MIN_POSITIVE, 7e30];
        let mut bytes = vec![0u8; 16];
        for shift in 0..4 {
            bytes.resize(shift, 0);
            bytes.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
            let found = as_f32(DType::F32, &bytes[shift..]).unwrap_or_default();
            assert_eq!(found.iter().map(|n| n.to_bits()).collect::<Vec<_>>(), numbers.map(f32::to_bits));
            bytes.clear();
        }
    }

    #[test]
    fn every_whole_kind_widens() {
        assert!(matches!(as_i64(DType::I8, &[0xff]), Ok(n) if *n == [-1]));
        assert!(matches!(as_i64(DType::U16, &[0xff, 0xff]), Ok(n) if *n == [65535]));
        assert!(matches!(as_i64(DType::I64, &(-3i64).to_le_bytes()), Ok(n) if *n == [-3]));
        let large = [[0u8; 8], [0xff; 8]].concat();
        assert!(matches!(as_i64(DType::U64, &large), Err(NotI64::TooLarge { index: 1, value: u64::MAX })));
        assert!(matches!(as_i64(DType::F32, &[0; 4]), Err(NotI64::Kind)));
    }
}
