//! The latency predictor on tables of published measurements, and transfer between their devices.
//!
//! A `Table` is read with what its `Card` says of the columns; a `Protocol` names devices and rows; `run` learns each
//! target from few of its rows and from other devices, and gives a `Report`.

mod card;
mod drift;
mod encoder;
mod error;
mod figures;
mod network;
mod operation;
mod operators;
mod predictor;
mod protocol;
mod run;
mod table;
mod trees;

pub use card::{Card, PublishedFigure};
pub use error::TableError;
pub use figures::{Both, DeviceFigures, Figures};
pub use network::{Bottleneck, Network, Stage};
pub use operators::Operators;
pub use predictor::TablePredictor;
pub use protocol::{Asked, Protocol, Rows};
pub use run::{Report, learn, run};
pub use table::{Device, Feature, Table};
