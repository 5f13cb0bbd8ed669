use std::fmt;

/// The kind of number that a stored tensor is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DType {
    /// A byte that is 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 16 bits.
    U16,
    /// IEEE half precision: 5 bits of exponent, 10 of fraction.
    F16,
    /// The upper half of an f32: 8 bits of exponent, 7 of fraction.
    BF16,
    /// Signed, 32 bits.
    I32,
    /// Unsigned, 32 bits.
    U32,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 64 bits.
    U64,
}

impl DType {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Bool,
        Self::U8,
        Self::I8,
        Self::I16,
        Self::U16,
        Self::F16,
        Self::BF16,
        Self::I32,
        Self::U32,
        Self::F32,
        Self::F64,
        Self::I64,
        Self::U64,
    ];

    /// Bytes of one element.
    pub const fn size_bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::U16 | Self::F16 | Self::BF16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Its name in a safetensors header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::U8 => "U8",
            Self::I8 => "I8",
            Self::I16 => "I16",
            Self::U16 => "U16",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I32 => "I32",
            Self::U32 => "U32",
            Self::F32 => "F32",
            Self::F64 => "F64",
            Self::I64 => "I64",
            Self::U64 => "U64",
        }
    }

    /// The kind of this name in a safetensors header.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.as_str() == name)
    }

    /// Bytes of a tensor of this kind, unless they overflow.
    pub fn tensor_bytes(self, shape: &[usize]) -> Option<usize> {
        shape.iter().try_fold(self.size_bytes(), |bytes, &axis| bytes.checked_mul(axis))
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The value of a half-precision bit pattern, which every f32 holds exactly.
pub fn f16_to_f32(bits: u16) -> f32 {
    // Exponent and fraction moved to their places in f32: what is missing then is the difference of the biases, 127 − 15,
    // a factor that is exact for subnormals too. No branch: the compiler does many at once.
    let magnitude = u32::from(bits & 0x7fff);
    let finite = (f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23)).to_bits();
    let infinite = 0x7f80_0000 | magnitude << 13;
    let magnitude = if magnitude < 0x7c00 { finite } else { infinite };
    f32::from_bits(magnitude | u32::from(bits & 0x8000) << 16)
}

/// The value of a bfloat16 bit pattern.
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IEEE 754 §3.4 in double precision: the slow, obvious twin.
    fn from_fields(bits: u16, exponent_bits: u32) -> f64 {
        let fraction_bits = 15 - exponent_bits;
        let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
        let exponent = i32::from(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
        let fraction = f64::from(bits & ((1 << fraction_bits) - 1)) / f64::from(1u32 << fraction_bits);
        let bias = (1 << (exponent_bits - 1)) - 1;
        match exponent {
            0 => sign * fraction * 2f64.powi(1 - bias),
            e if e == 2 * bias + 1 && fraction == 0.0 => sign * f64::INFINITY,
            e if e == 2 * bias + 1 => f64::NAN,
            e => sign * (1.0 + fraction) * 2f64.powi(e - bias),
        }
    }

    #[test]
    fn every_16_bit_pattern_has_its_ieee_value() {
        for bits in 0..=u16::MAX {
            for (found, exponent_bits) in [(f16_to_f32(bits), 5), (bf16_to_f32(bits), 8)] {
                let expected = from_fields(bits, exponent_bits);
                let same = f64::from(found).to_bits() == expected.to_bits();
                assert!(same || found.is_nan() && expected.is_nan(), "{bits:#06x}: {found} and {expected}");
            }
        }
    }

    #[test]
    fn names_lead_back_to_their_kind() {
        for dtype in DType::ALL {
            assert_eq!(DType::from_name(dtype.as_str()), Some(dtype));
        }
        assert_eq!(DType::from_name("f32"), None);
    }

    #[test]
    fn a_size_past_the_address_space_is_no_size() {
        assert_eq!(DType::F32.tensor_bytes(&[2, 3]), Some(24));
        assert_eq!(DType::F32.tensor_bytes(&[]), Some(4));
        assert_eq!(DType::F64.tensor_bytes(&[usize::MAX / 4]), None);
    }
}
