//! What the project promises to its users, one module per promise.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

/// Crates depend on each other in the directions that ARCHITECTURE.md draws, and the pure ones never on Burn.
mod layering;

/// An untrained insertion changes nothing: every genotype of the untrained supernet equals the image model.
mod identity;

/// A graph gives the same numbers here and, exported as ONNX, in every runtime that is found.
mod onnx;

/// Mistakes in settings point at their place and name the way out.
mod settings;

/// Schedulers move as those of diffusers do, and models of other processes are flows.
mod schedulers;

/// Any UNet of diffusers that a config can describe is a backbone.
mod backbones;

/// A published motion model is a point of the search space.
mod motion;

/// A whole pipeline of diffusers serves a study: autoencoder, text encoder and tokenizer as their files say.
mod pipelines;

/// Any mixture of films serves a study; broken ones are named, and what was encoded once is not encoded again.
mod clips;

/// Clips are compared with real ones, by an evaluator that is itself evaluated.
mod evaluation;

/// The one smoke run that tests share.
mod smoke;

/// Every command does on the smoke study what the README says.
mod commands;

/// A graphics adapter computes what the processor does, and a software rasteriser is none unless it is asked for.
mod gpu;

/// JSON Schemas are those of the types, and hold for what a run leaves.
mod schemas;

/// Help and errors read as their snapshots do.
mod messages;

/// Data that is wrong is an error that names it, never a guess; a space may ask for an operator at a slot.
mod wrong_data;
