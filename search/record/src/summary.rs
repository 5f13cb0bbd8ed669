use serde::{Serialize, de::DeserializeOwned};

/// The figures that a stage leaves in its stamp, for its command's `--json`, for later stages and for the report.
pub trait Summary: Serialize + DeserializeOwned {
    /// Name of the stage. Variants of a stage append to it: `distill-dmd2-4`, `profile-onnxruntime`.
    const STAGE: &'static str;
}

/// Names a summary's stage.
macro_rules! summary_of {
    ($stage:literal, $summary:ty) => {
        impl $crate::Summary for $summary {
            const STAGE: &'static str = $stage;
        }
    };
}

/// Names a file's version and, where a run has it once, its path.
macro_rules! file_at {
    ($path:literal, $version:literal, $file:ty) => {
        file_at!($version, $file);
        impl $crate::RunFile for $file {
            const PATH: &'static str = $path;
        }
    };
    ($version:literal, $file:ty) => {
        impl $crate::Versioned for $file {
            const FORMAT_VERSION: u32 = $version;
        }
    };
}

pub(crate) use {file_at, summary_of};
