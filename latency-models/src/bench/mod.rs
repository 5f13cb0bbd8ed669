//! Learning latency from tables of published measurements, and transfer between their devices.
//!
//! A [`Table`] is read with what its [`Card`] says of the columns; a [`Protocol`] names devices and rows; [`run`] learns each
//! target from few of its rows and from other devices, and gives a [`Report`].

mod card;
mod choose;
mod coregion;
mod encoding;
mod error;
mod figures;
mod model;
mod operators;
mod predictor;
mod priors;
mod process;
mod protocol;
mod run;
mod source;
mod table;
mod trees;

pub use card::{Card, PublishedFigure};
pub use error::BenchError;
pub use figures::{Both, DeviceFigures, Figures};
pub use operators::Operators;
pub use predictor::TablePredictor;
pub use protocol::{Asked, Protocol, Rows};
pub use run::{Report, learn, run};
pub use table::{Device, Feature, Table};
