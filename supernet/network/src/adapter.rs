/// A graphics adapter of this machine, as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// Its name, e.g. `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub name: String,
    /// Graphics API: Vulkan, Metal, Dx12 or Gl.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// What it is.
    pub kind: AdapterKind,
    /// Most bytes of one buffer.
    pub max_buffer_bytes: u64,
    /// Most bytes of a buffer that a kernel reads and writes: of one tensor.
    pub max_storage_bytes: u64,
}

/// What an adapter is, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    /// A card of its own.
    Discrete,
    /// A part of the processor's chip.
    Integrated,
    /// A card that a virtual machine is lent.
    Virtual,
    /// A driver that does not say what it is.
    Other,
    /// A software rasteriser: the processor, by a detour.
    Software,
}

impl AdapterKind {
    /// Name on the terminal.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete GPU",
            Self::Integrated => "integrated GPU",
            Self::Virtual => "virtual GPU",
            Self::Other => "other",
            Self::Software => "software rasteriser",
        }
    }
}
