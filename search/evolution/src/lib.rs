//! Multi-objective evolution over any genome.
//!
//! A search is asked for candidates and takes their evaluations; what a genome is, how it varies and how it is
//! measured stay outside. The smallest whole program: Schaffer's problem, `x²` against `(x − 2)²`, whose best
//! trade-offs are all `x` between 0 and 2.
//!
//! ```
//! use rand::RngExt;
//! use tnas_evolution::{Evaluation, Nsga2, Nsga2Settings, Rng, Variation};
//!
//! /// The genome is `x` in hundredths.
//! struct Hundredths;
//!
//! impl Variation<i32> for Hundredths {
//!     fn sample(&self, rng: &mut Rng) -> i32 {
//!         rng.random_range(-1_000..=1_000)
//!     }
//!     fn mutate(&self, genome: &i32, rng: &mut Rng) -> i32 {
//!         (genome + rng.random_range(-20..=20)).clamp(-1_000, 1_000)
//!     }
//!     fn crossover(&self, mother: &i32, father: &i32, _rng: &mut Rng) -> i32 {
//!         (mother + father) / 2
//!     }
//! }
//!
//! let evaluate = |genome: &i32| {
//!     let x = f64::from(*genome) / 100.0;
//!     Evaluation::feasible(vec![x * x, (x - 2.0).powi(2)])
//! };
//!
//! let settings = Nsga2Settings { population: 20, generations: 30, ..Nsga2Settings::default() };
//! let mut evolution = Nsga2::new(settings, 42, vec![700])?;
//! while let Some(candidates) = evolution.ask(&Hundredths) {
//!     let evaluations = candidates.iter().map(evaluate).collect::<Result<_, _>>()?;
//!     evolution.tell(candidates, evaluations)?;
//!     // Here a study saves `evolution`: it serialises whole, and continues bit for bit.
//! }
//!
//! let front = evolution.history().archive();
//! assert!(front.members().iter().all(|member| (0..=200).contains(&member.genome)));
//! assert!(front.hypervolume(&[4.0, 4.0])? > 13.2); // The whole curve has 13 1/3.
//! # Ok::<(), tnas_evolution::EvolutionError>(())
//! ```
//!
//! Everything is minimised, deterministic in its seed, and free of clocks, threads and hash order.

mod archive;
mod brood;
mod crowding;
mod error;
mod evaluation;
mod fronts;
mod history;
mod hypervolume;
mod individual;
mod knapsack;
mod knee;
mod nsga2;
mod objectives;
mod order;
mod ranking;
mod settings;
mod snapshot;
mod stop;
mod variation;

pub use archive::{Member, ParetoArchive};
pub use error::{EvolutionError, Result};
pub use evaluation::{Evaluation, Violation};
pub use fronts::non_dominated_fronts;
pub use history::History;
pub use hypervolume::hypervolume;
pub use individual::Individual;
pub use knapsack::{Item, KnapsackFront, KnapsackSolution};
pub use knee::{Knee, knee};
pub use nsga2::Nsga2;
pub use objectives::Objectives;
pub use settings::Nsga2Settings;
pub use stop::{HypervolumeStall, StopReason};
pub use variation::{Genome, Rng, Variation};
