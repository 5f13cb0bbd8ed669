//! Noise levels as σ/α: other ways to spread them, and the timesteps that belong to them.

use crate::{SchedulerError, options::Options, spacing::linspace};

/// How levels are spread between the smallest and the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// As the timesteps lie.
    Timesteps,
    /// Evenly in σ^(1/7) (Karras et al. 2022, eq. 5).
    Karras,
    /// Evenly in log σ.
    Exponential,
    /// By quantiles of the beta distribution B(0.6, 0.6) (Lee et al. 2024).
    Beta,
    /// Evenly in log σ over the whole table (Lu et al. 2022), by whole timesteps.
    Lambda,
}

/// Spread, and the ends where they are given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sigmas {
    pub spread: Spread,
    smallest: Option<f64>,
    largest: Option<f64>,
}

impl Sigmas {
    pub fn read(options: &mut Options) -> Result<Self, SchedulerError> {
        let switches = [
            ("use_karras_sigmas", Spread::Karras),
            ("use_exponential_sigmas", Spread::Exponential),
            ("use_beta_sigmas", Spread::Beta),
        ];
        let mut on = Vec::new();
        for (option, spread) in switches {
            if options.get(option, false)? {
                on.push((option, spread));
            }
        }
        if let [(first, _), (second, _), ..] = on.as_slice() {
            return Err(options.wrong(format!("{first} and {second} cannot both be true")));
        }
        let spread = on.first().map_or(Spread::Timesteps, |&(_, spread)| spread);
        let (smallest, largest) = (options.number("sigma_min")?, options.number("sigma_max")?);
        for (option, sigma) in [("sigma_min", smallest), ("sigma_max", largest)] {
            if let Some(sigma) = sigma.filter(|sigma| !(sigma.is_finite() && *sigma > 0.0)) {
                return Err(options.wrong(format!("{option} = {sigma} must be above 0")));
            }
        }
        Ok(Self { spread, smallest, largest })
    }

    /// The ends that are set.
    pub fn ends(&self) -> Option<(f64, f64)> {
        self.smallest.zip(self.largest)
    }

    /// Spreads levels anew between the first and the last of `given`, which run from high to low; as they are where
    /// the timesteps rule.
    pub fn spread(&self, given: Vec<f64>, steps: usize) -> Vec<f64> {
        let (Some(&first), Some(&last)) = (given.first(), given.last()) else { return given };
        let (high, low) = (self.largest.unwrap_or(first), self.smallest.unwrap_or(last));
        match self.spread {
            Spread::Timesteps => given,
            Spread::Karras => {
                let (high, low) = (high.powf(1.0 / 7.0), low.powf(1.0 / 7.0));
                linspace(0.0, 1.0, steps).into_iter().map(|ramp| (high + ramp * (low - high)).powi(7)).collect()
            }
            Spread::Exponential => linspace(high.ln(), low.ln(), steps).into_iter().map(f64::exp).collect(),
            Spread::Beta => {
                let quantile = |ramp| low + beta_quantile(1.0 - ramp) * (high - low);
                linspace(0.0, 1.0, steps).into_iter().map(quantile).collect()
            }
            Spread::Lambda => {
                let (high, low) = (first.ln(), last.ln());
                linspace(0.0, 1.0, steps).into_iter().map(|ramp| (high + ramp * (low - high)).exp()).collect()
            }
        }
    }
}

/// The σ/α of training timesteps, rising, and the way back.
pub(crate) struct LevelTable {
    pub sigmas: Vec<f32>,
    logs: Vec<f32>,
}

impl LevelTable {
    pub fn new(sigmas: Vec<f32>) -> Self {
        let logs = sigmas.iter().map(|sigma| sigma.ln()).collect();
        Self { sigmas, logs }
    }

    /// σ at a fractional timestep, linearly between neighbours.
    pub fn sigma(&self, timestep: f64) -> f64 {
        let last = self.sigmas.len() - 1;
        if timestep >= last as f64 {
            return f64::from(self.sigmas[last]);
        }
        let below = timestep.max(0.0).floor() as usize;
        let (low, high) = (f64::from(self.sigmas[below]), f64::from(self.sigmas[below + 1]));
        (high - low) * (timestep.max(0.0) - below as f64) + low
    }

    /// The fractional timestep of a σ, linearly in its logarithm, within the table.
    pub fn timestep(&self, sigma: f64) -> f64 {
        // The last level may hold no data: its σ has no finite logarithm.
        if self.sigmas.last().is_some_and(|&last| sigma >= f64::from(last)) {
            return (self.sigmas.len() - 1) as f64;
        }
        let log = sigma.max(1e-10).ln();
        let below = self.logs.partition_point(|&known| f64::from(known) <= log).saturating_sub(1);
        let Some(below) = self.logs.len().checked_sub(2).map(|most| below.min(most)) else { return 0.0 };
        let (low, high) = (self.logs[below], self.logs[below + 1]);
        let fraction = ((f64::from(low) - log) / f64::from(low - high)).clamp(0.0, 1.0);
        (1.0 - fraction) * below as f64 + fraction * (below + 1) as f64
    }
}

/// Quantile of the beta distribution with both parameters 0.6, by bisection.
fn beta_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (0.0f64, 1.0f64);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if beta_cdf(middle) < probability { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Its distribution function: symmetric, and below the middle half of S(x)/S(½), S being the incomplete beta integral.
fn beta_cdf(x: f64) -> f64 {
    const A: f64 = 0.6;
    // ∫₀ˣ u^(a−1)·(1 − u)^(a−1) du by the binomial series of the second factor.
    let integral = |x: f64| {
        let (mut term, mut sum) = (1.0, 0.0);
        for n in 0..80 {
            sum += term / (A + f64::from(n));
            term *= x * (1.0 - A + f64::from(n)) / f64::from(n + 1);
        }
        x.powf(A) * sum
    };
    let below = |x| 0.5 * integral(x) / integral(0.5);
    if x <= 0.5 { below(x) } else { 1.0 - below(1.0 - x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_beta_distribution() {
        // scipy.stats.beta.ppf(p, 0.6, 0.6)
        for (probability, x) in
            [(0.0, 0.0), (0.1, 0.039_584_4), (0.25, 0.175_680), (0.5, 0.5), (0.9, 0.960_416), (1.0, 1.0)]
        {
            assert!((beta_quantile(probability) - x).abs() < 1e-5, "{probability} {}", beta_quantile(probability));
        }
    }

    #[test]
    fn timesteps_and_sigmas_are_each_others_inverse() {
        let table = LevelTable::new((1..50).map(|i| 0.1 * i as f32).collect());
        for t in [0.0, 1.0, 17.0, 48.0] {
            assert!((table.timestep(table.sigma(t)) - t).abs() < 1e-4);
        }
        assert_eq!((table.timestep(1e9), table.timestep(0.0)), (48.0, 0.0));
        let without_data = LevelTable::new(vec![0.1, 1.0, f32::INFINITY]);
        assert_eq!((without_data.timestep(f64::INFINITY), without_data.timestep(1e9)), (2.0, 1.0));
    }
}
