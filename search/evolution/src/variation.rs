use serde::Serialize;
use serde::de::DeserializeOwned;

/// The random stream of a search: the same on every machine, and serialisable.
pub type Rng = rand_chacha::ChaCha8Rng;

/// What can be evolved: anything ordered that can be stored. Equal genomes are one candidate.
pub trait Genome: Clone + Ord + Serialize + DeserializeOwned {}

impl<G: Clone + Ord + Serialize + DeserializeOwned> Genome for G {}

/// How genomes arise and change.
///
/// Invariant: the result depends on the arguments and on what is drawn from `rng` alone.
pub trait Variation<G> {
    /// A random genome; every genome of the space should be possible.
    fn sample(&self, rng: &mut Rng) -> G;

    /// A neighbour of `genome`; preferably another one, for copies are drawn again.
    fn mutate(&self, genome: &G, rng: &mut Rng) -> G;

    /// A child of two parents.
    fn crossover(&self, mother: &G, father: &G, rng: &mut Rng) -> G;
}
