//! Reading and writing safetensors without trusting them.
