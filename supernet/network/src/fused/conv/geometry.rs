//! Shapes of a convolution.

/// Columns of a block: large enough to multiply well, small enough to stay in cache.
const BLOCK: usize = 256;

/// Shapes of a convolution without groups or dilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Channels read.
    pub channels_in: usize,
    /// Channels written.
    pub channels_out: usize,
    /// Rows and columns of the input.
    pub size: [usize; 2],
    /// Rows and columns of the output.
    pub out: [usize; 2],
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Steps down and right.
    pub stride: [usize; 2],
    /// Zeros above and left of the input; what lies below and right follows from `out`.
    pub before: [usize; 2],
}

impl Geometry {
    pub(super) fn area_in(&self) -> usize {
        self.size[0] * self.size[1]
    }

    pub(super) fn area(&self) -> usize {
        self.out[0] * self.out[1]
    }

    /// Rows of the unfolded matrix: channels × kernel.
    pub(super) fn depth(&self) -> usize {
        self.channels_in * self.kernel[0] * self.kernel[1]
    }

    /// Whether an image is its own unfolded matrix.
    pub(super) fn is_product(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.size == self.out
    }

    /// The convolution that takes a gradient back to the input, where steps are single.
    pub(super) fn turned(&self) -> Option<Self> {
        let [rows, columns] = self.kernel;
        let before = [(rows - 1).checked_sub(self.before[0])?, (columns - 1).checked_sub(self.before[1])?];
        let (channels_in, channels_out) = (self.channels_out, self.channels_in);
        (self.stride == [1, 1]).then_some(Self {
            channels_in,
            channels_out,
            size: self.out,
            out: self.size,
            before,
            ..*self
        })
    }

    /// Images of a block.
    pub(super) fn images(&self) -> usize {
        (BLOCK / self.area()).max(1)
    }

    /// Output rows of a block of one image.
    pub(super) fn rows(&self) -> usize {
        (BLOCK / self.out[1]).clamp(1, self.out[0])
    }
}
