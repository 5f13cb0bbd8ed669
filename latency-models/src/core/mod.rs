//! The Gaussian process behind every prediction of latency, whatever encodes the rows: graphs ([`crate::LatencyPredictor`]) or
//! columns of a published table ([`crate::tables`]).

mod choose;
mod coregion;
mod encoding;
mod factor;
mod layout;
mod level;
mod linear;
mod live_edges;
mod model;
mod near;
mod priors;
mod process;
mod quantile;
mod slot;

pub(crate) use choose::choose;
pub(crate) use encoding::Encoding;
pub(crate) use layout::{Group, Layout, Work};
pub(crate) use level::{LEAST_LEVEL, Level};
pub(crate) use linear::{Linear, baseline, fit as fit_linear, pick};
pub(crate) use live_edges::LiveEdges;
pub(crate) use model::{Guess, Measured, Model, NewPlaces, PlaceEffect};
pub(crate) use near::LENGTHS;
pub(crate) use priors::{Part, Priors, similar_from};
pub(crate) use process::Amplitudes;
pub(crate) use quantile::{conformal, median};
pub(crate) use slot::{NOT_THERE, Slot};
