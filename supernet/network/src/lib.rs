//! Running graphs on Burn tensors.
