use std::collections::VecDeque;

use crate::{
    Plan, Scheduler, SchedulerError,
    clamp::Clamp,
    diffusion::{Diffusion, DiffusionDefaults, Prediction, mix, zip},
    options::Options,
    plan::Call,
    scheduler::check_step,
    sigmas::{LevelTable, Sigmas, Spread},
    spacing::{Spacing, linspace, narrow, rev, trailing},
};

const CLASS: &str = "DPMSolverMultistepScheduler";

/// Which integral is solved: over predicted data or noise, with or without fresh noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Algorithm {
    /// DPM-Solver++ (Lu et al. 2022b) instead of DPM-Solver (Lu et al. 2022a).
    over_data: bool,
    stochastic: bool,
}

/// Options of the multistep DPM solvers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DpmConfig {
    pub diffusion: Diffusion,
    sigmas: Sigmas,
    clamp: Clamp,
    algorithm: Algorithm,
    order: usize,
    heun: bool,
    lower_order_final: bool,
    euler_at_final: bool,
    /// Levels of a rectified flow with this shift.
    pub flow_shift: Option<f64>,
    dynamic: bool,
    stops_early: bool,
    lambda_min: f64,
    steps_offset: i64,
    spacing: Spacing,
}

impl DpmConfig {
    pub fn read(options: &mut Options) -> Result<Self, SchedulerError> {
        let predictions = &[
            ("epsilon", Prediction::Epsilon),
            ("v_prediction", Prediction::Velocity),
            ("sample", Prediction::Sample),
            ("flow_prediction", Prediction::Flow),
        ];
        let defaults = DiffusionDefaults { predictions, keeps_trace: true, ..DiffusionDefaults::default() };
        let diffusion = Diffusion::read(options, &defaults)?;
        let algorithm = |over_data, stochastic| Algorithm { over_data, stochastic };
        let algorithms = [
            ("dpmsolver++", algorithm(true, false)),
            ("dpmsolver", algorithm(false, false)),
            ("sde-dpmsolver++", algorithm(true, true)),
            ("sde-dpmsolver", algorithm(false, true)),
            // Other solvers' configs; taken for the nearest.
            ("deis", algorithm(true, false)),
        ];
        let solvers = [("midpoint", false), ("heun", true), ("logrho", false), ("bh1", false), ("bh2", false)];
        let order = options.get("solver_order", 2)?;
        if !(1..=3).contains(&order) {
            return Err(options.unsupported("solver_order", &order.to_string(), "1, 2, 3"));
        }
        let mut sigmas = Sigmas::read(options)?;
        // As diffusers asks them one after another.
        let lambdas = options.get("use_lu_lambdas", false)?;
        if lambdas && sigmas.spread != Spread::Karras {
            sigmas.spread = Spread::Lambda;
        }
        let flow = options.get("use_flow_sigmas", false)?;
        let shift = options.get("flow_shift", 1.0f64)?;
        let config = Self {
            diffusion,
            sigmas,
            clamp: Clamp::read(options, None)?,
            algorithm: options.word("algorithm_type", &algorithms, algorithms[0].1)?,
            order,
            heun: options.word("solver_type", &solvers, false)?,
            lower_order_final: options.get("lower_order_final", true)?,
            euler_at_final: options.get("euler_at_final", false)?,
            flow_shift: flow.then_some(shift),
            dynamic: options.get("use_dynamic_shifting", false)?,
            stops_early: options.word("final_sigmas_type", &[("zero", false), ("sigma_min", true)], false)?,
            lambda_min: options.number("lambda_min_clipped")?.unwrap_or(f64::NEG_INFINITY),
            steps_offset: options.get("steps_offset", 0)?,
            spacing: Spacing::read(options, Spacing::Linspace)?,
        };
        options.word("time_shift_type", &[("exponential", ())], ())?;
        // A variance among the model's outputs is dropped.
        options.word("variance_type", &[("learned", ()), ("learned_range", ())], ())?;
        config.check(options)?;
        Ok(config)
    }

    fn check(&self, options: &Options) -> Result<(), SchedulerError> {
        if !self.algorithm.over_data && !self.stops_early {
            let hint = "; with algorithm_type dpmsolver and sde-dpmsolver it must be sigma_min";
            return Err(options.refuse("final_sigmas_type", "zero", hint.into()));
        }
        if !self.algorithm.over_data && self.algorithm.stochastic && self.order == 3 {
            return Err(options.refuse("solver_order", "3", "; sde-dpmsolver has the orders 1 and 2".into()));
        }
        if !self.algorithm.over_data && self.diffusion.prediction == Prediction::Flow {
            let hint = "; with algorithm_type dpmsolver and sde-dpmsolver: epsilon, v_prediction, sample";
            return Err(options.refuse("prediction_type", "flow_prediction", hint.into()));
        }
        Ok(())
    }

    pub fn scheduler(&self, plan: &Plan) -> Result<DpmSolver, SchedulerError> {
        let mut call = plan.call(CLASS);
        let train = self.diffusion.train();
        let mu = call.layout("mu")?;
        if mu.is_some() && !self.dynamic {
            return Err(call.wrong("mu is taken with use_dynamic_shifting = true alone".into()));
        }
        let given = call.timesteps(train)?;
        if given.is_some() && self.sigmas.spread != Spread::Timesteps {
            return Err(call.wrong("timesteps cannot be given where the config spreads sigmas".into()));
        }
        let steps = call.steps_of(given.as_ref().map(Vec::len), train)?;
        let timesteps = match given {
            Some(timesteps) => timesteps,
            None => self.spaced(&call, steps)?,
        };
        let table = LevelTable::new(self.diffusion.sigmas());
        let (timesteps, mut sigmas) = self.levels(&table, timesteps, steps, mu);
        call.check(&timesteps, train)?;
        call.finish()?;
        sigmas.push(if self.stops_early { f64::from(table.sigmas[0]) } else { 0.0 });
        Ok(DpmSolver {
            config: self.clone(),
            timesteps: timesteps.iter().map(|t| t.trunc() as f32).collect(),
            sigmas: narrow(&sigmas),
            past: VecDeque::new(),
        })
    }

    /// Timesteps where `spacing` rules: one more is laid out, and the lowest is left out.
    fn spaced(&self, call: &Call, steps: usize) -> Result<Vec<f64>, SchedulerError> {
        let train = self.diffusion.train();
        let lambda = |&alpha: &f32| alpha.sqrt().ln() - (1.0 - alpha).sqrt().ln();
        // λ falls with the timestep; those below the bound are left out.
        let last = self.diffusion.alphas.iter().filter(|alpha| f64::from(lambda(alpha)) >= self.lambda_min).count();
        if last == 0 {
            return Err(call.wrong(format!("lambda_min_clipped = {} leaves no timestep", self.lambda_min)));
        }
        let mut timesteps: Vec<f64> = match self.spacing {
            Spacing::Linspace => rev(linspace(0.0, last as f64 - 1.0, steps + 1)),
            Spacing::Leading => {
                rev((0..=steps).map(|i| (i * (last / (steps + 1))) as f64 + self.steps_offset as f64).collect())
            }
            Spacing::Trailing => return Ok(trailing(last, train, steps)),
        };
        timesteps.truncate(steps);
        Ok(timesteps.into_iter().map(f64::round_ties_even).collect())
    }

    /// Levels at the timesteps, spread as the config says, and the timesteps that then belong to them.
    fn levels(
        &self,
        table: &LevelTable,
        timesteps: Vec<f64>,
        steps: usize,
        mu: Option<f64>,
    ) -> (Vec<f64>, Vec<f64>) {
        let spread = self.sigmas.spread;
        let ends = [table.sigmas.last(), table.sigmas.first()].map(|sigma| sigma.map_or(0.0, |&s| f64::from(s)));
        match (spread, self.flow_shift) {
            (Spread::Timesteps, None) => {
                let sigmas = timesteps.iter().map(|&t| table.sigma(t)).collect();
                (timesteps, sigmas)
            }
            (Spread::Timesteps, Some(shift)) => {
                let shift = mu.map_or(shift, f64::exp);
                let train = self.diffusion.train() as f64;
                let shifted = |sigma: f64| shift * sigma / (1.0 + (shift - 1.0) * sigma);
                let levels = linspace(1.0, 1.0 / train, steps + 1).into_iter().map(|alpha| shifted(1.0 - alpha));
                let mut sigmas: Vec<f64> = rev(levels.collect());
                sigmas.truncate(steps);
                (sigmas.iter().map(|sigma| sigma * train).collect(), sigmas)
            }
            _ => {
                let sigmas = self.sigmas.spread(ends.to_vec(), steps);
                let whole = matches!(spread, Spread::Karras | Spread::Lambda) && !self.diffusion.cosine;
                let round = |t: f64| if whole { t.round_ties_even() } else { t };
                (sigmas.iter().map(|&sigma| round(table.timestep(sigma))).collect(), sigmas)
            }
        }
    }
}

/// Exponential integrators of up to third order over the last outputs.
pub(crate) struct DpmSolver {
    config: DpmConfig,
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    /// Predicted data (or noise) of the last steps, latest first.
    past: VecDeque<Vec<f32>>,
}

/// α, σ and λ = log(α/σ) at a level.
#[derive(Clone, Copy)]
struct Level {
    alpha: f32,
    sigma: f32,
    lambda: f32,
}

impl DpmSolver {
    fn level(&self, index: usize) -> Level {
        let sigma = self.sigmas[index];
        let (alpha, sigma) = if self.config.flow_shift.is_some() {
            (1.0 - sigma, sigma)
        } else {
            let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
            (alpha, sigma * alpha)
        };
        Level { alpha, sigma, lambda: alpha.ln() - sigma.ln() }
    }

    /// The data, or for the first DPM-Solver the noise, that an output stands for.
    fn convert(&self, step: usize, output: &[f32], sample: &[f32]) -> Vec<f32> {
        let Level { alpha, sigma, .. } = self.level(step);
        let clamp = self.config.clamp;
        let data_of = |epsilon: &[f32]| zip(sample, epsilon, |x, e| (x - sigma * e) / alpha);
        if self.config.algorithm.over_data {
            let mut data = match self.config.diffusion.prediction {
                Prediction::Epsilon => data_of(output),
                Prediction::Sample => output.to_vec(),
                Prediction::Velocity => mix(sample, alpha, output, -sigma),
                Prediction::Flow => mix(sample, 1.0, output, -self.sigmas[step]),
            };
            clamp.apply(&mut data);
            return data;
        }
        let noise_of = |data: &[f32]| zip(sample, data, |x, d| (x - alpha * d) / sigma);
        let epsilon = match self.config.diffusion.prediction {
            Prediction::Epsilon | Prediction::Flow => output.to_vec(),
            Prediction::Sample => noise_of(output),
            Prediction::Velocity => mix(output, alpha, sample, sigma),
        };
        if clamp == Clamp::Free {
            return epsilon;
        }
        let mut data = data_of(&epsilon);
        clamp.apply(&mut data);
        noise_of(&data)
    }

    /// Order of a step: fewer at the start, and at the end where asked for.
    fn order(&self, step: usize) -> usize {
        let (config, count) = (&self.config, self.timesteps.len());
        let careful = config.lower_order_final && count < 15;
        if step + 1 == count && (config.euler_at_final || careful || !config.stops_early) {
            return 1;
        }
        let most = if step + 2 == count && careful { 2 } else { 3 };
        config.order.min(self.past.len()).min(step + 1).min(most)
    }

    /// Differences of the past outputs that stand for derivatives in λ: D0, D1, D2 of the order's.
    fn differences(&self, step: usize, order: usize, h: f32) -> Vec<Vec<f32>> {
        let past = &self.past;
        let lambda = |back: usize| self.level(step - back).lambda;
        let mut all = vec![past[0].clone()];
        if order > 1 {
            let r0 = (lambda(0) - lambda(1)) / h;
            let first = zip(&past[0], &past[1], |a, b| 1.0 / r0 * (a - b));
            if order == 2 {
                all.push(first);
            } else {
                let r1 = (lambda(1) - lambda(2)) / h;
                let second = zip(&past[1], &past[2], |a, b| 1.0 / r1 * (a - b));
                all.push(zip(&first, &second, |a, b| a + r0 / (r0 + r1) * (a - b)));
                all.push(zip(&first, &second, |a, b| 1.0 / (r0 + r1) * (a - b)));
            }
        }
        all
    }

    /// Weights of the sample, of the differences, and of fresh noise: the integrals of e^∓λ over the step, and of its products
    /// with λ and λ². With noise the data's exponent is twice as steep.
    fn weights(&self, now: Level, next: Level, order: usize) -> (f32, [f32; 3], f32) {
        let Algorithm { over_data, stochastic } = self.config.algorithm;
        let h = next.lambda - now.lambda;
        let middle = order == 2 && !self.config.heun;
        if over_data {
            let size = if stochastic { 2.0 * h } else { h };
            let (grown, factor) = ((-size).exp() - 1.0, -next.alpha);
            let slope = if middle { 0.5 * factor * grown } else { -factor * (grown / size + 1.0) };
            // The sign of the half is as diffusers has it.
            let curve = if stochastic {
                -factor * ((-grown - size) / (size * size) - 0.5)
            } else {
                factor * ((grown + size) / (size * size) - 0.5)
            };
            let scale = next.sigma / now.sigma;
            let (scale, noise) = if stochastic {
                (scale * (-h).exp(), next.sigma * (1.0 - (-size).exp()).sqrt())
            } else {
                (scale, 0.0)
            };
            return (scale, [factor * grown, slope, curve], noise);
        }
        let grown = h.exp() - 1.0;
        let (factor, noise) = if stochastic {
            (-2.0 * next.sigma, next.sigma * ((2.0 * h).exp() - 1.0).sqrt())
        } else {
            (-next.sigma, 0.0)
        };
        let slope = if middle { 0.5 * factor * grown } else { factor * (grown / h - 1.0) };
        let curve = factor * ((grown - h) / (h * h) - 0.5);
        (next.alpha / now.alpha, [factor * grown, slope, curve], noise)
    }
}

impl Scheduler for DpmSolver {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> Option<&[f32]> {
        Some(&self.sigmas)
    }

    fn step(
        &mut self,
        step: usize,
        output: &[f32],
        sample: &mut [f32],
        draw: &mut dyn FnMut() -> Vec<f32>,
    ) -> Result<(), SchedulerError> {
        // A learned variance comes after the prediction.
        let output = if output.len() == 2 * sample.len() { &output[..sample.len()] } else { output };
        check_step(CLASS, self.timesteps.len(), step, output.len(), sample.len())?;
        let converted = self.convert(step, output, sample);
        self.past.push_front(converted);
        self.past.truncate(self.config.order);
        let (now, next) = (self.level(step), self.level(step + 1));
        let order = self.order(step);
        let differences = self.differences(step, order, next.lambda - now.lambda);
        let (scale, weights, noise) = self.weights(now, next, order);
        sample.iter_mut().for_each(|x| *x *= scale);
        for (difference, weight) in differences.iter().zip(weights) {
            sample.iter_mut().zip(difference).for_each(|(x, d)| *x += weight * d);
        }
        if self.config.algorithm.stochastic {
            sample.iter_mut().zip(draw()).for_each(|(x, z)| *x += noise * z);
        }
        Ok(())
    }

    fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Result<Vec<f32>, SchedulerError> {
        let mut places = (0..self.timesteps.len()).filter(|&i| self.timesteps[i] == timestep);
        let first = places.next().unwrap_or(self.timesteps.len() - 1);
        let Level { alpha, sigma, .. } = self.level(places.next().unwrap_or(first));
        Ok(mix(data, alpha, noise, sigma))
    }
}
