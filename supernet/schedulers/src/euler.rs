use crate::{
    Plan, Scheduler, SchedulerError,
    diffusion::{Diffusion, DiffusionDefaults, Prediction, mix, zip},
    options::Options,
    scheduler::{check_step, place},
    sigmas::{LevelTable, Sigmas, Spread},
    spacing::{Spacing, linspace_f32, narrow},
};

const CLASS: &str = "EulerDiscreteScheduler";

/// Predictions of the Euler schedulers.
const PREDICTIONS: &[(&str, Prediction)] = &[
    ("epsilon", Prediction::Epsilon),
    ("v_prediction", Prediction::Velocity),
    ("sample", Prediction::Sample),
    ("original_sample", Prediction::Sample),
];

/// Options of Euler's method in σ (Karras et al. 2022, algorithm 2).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EulerConfig {
    pub diffusion: Diffusion,
    pub sigmas: Sigmas,
    /// The model is conditioned on ¼·log σ instead of a timestep.
    pub told_log_sigma: bool,
    /// σ between timesteps is interpolated in its logarithm, evenly over the steps.
    log_linear: bool,
    /// The last step ends at the smallest level instead of at none.
    stops_early: bool,
    steps_offset: i64,
    spacing: Spacing,
}

impl EulerConfig {
    pub fn read(options: &mut Options) -> Result<Self, SchedulerError> {
        let defaults =
            DiffusionDefaults { predictions: PREDICTIONS, keeps_trace: true, ..DiffusionDefaults::default() };
        let diffusion = Diffusion::read(options, &defaults)?;
        let continuous = options.word("timestep_type", &[("discrete", false), ("continuous", true)], false)?;
        Ok(Self {
            told_log_sigma: continuous && diffusion.prediction == Prediction::Velocity,
            diffusion,
            sigmas: Sigmas::read(options)?,
            log_linear: options.word("interpolation_type", &[("linear", false), ("log_linear", true)], false)?,
            stops_early: options.word("final_sigmas_type", &[("zero", false), ("sigma_min", true)], false)?,
            steps_offset: options.get("steps_offset", 0)?,
            spacing: Spacing::read(options, Spacing::Linspace)?,
        })
    }

    pub fn scheduler(&self, plan: &Plan) -> Result<Euler, SchedulerError> {
        let mut call = plan.call(CLASS);
        let (given_timesteps, given_sigmas) = (call.list("timesteps")?, call.list("sigmas")?);
        let churn = Churn {
            amount: call.step("s_churn", 0.0)?,
            from: call.step("s_tmin", 0.0)?,
            to: call.step("s_tmax", f64::INFINITY)?,
            noise: call.step("s_noise", 1.0)? as f32,
        };
        let train = self.diffusion.train();
        let table = LevelTable::new(self.diffusion.sigmas());
        let (timesteps, sigmas) = match (given_timesteps, given_sigmas) {
            (Some(_), Some(_)) => return Err(call.wrong("timesteps and sigmas cannot both be given".into())),
            (None, Some(sigmas)) => {
                call.steps_of(Some(sigmas.len() - 1), usize::MAX)?;
                let sigmas = narrow(&sigmas);
                let timesteps = sigmas[..sigmas.len() - 1].iter().map(|&sigma| table.timestep(f64::from(sigma)));
                (timesteps.collect(), sigmas)
            }
            (given, None) => {
                if given.is_some() && (self.sigmas.spread != Spread::Timesteps || self.told_log_sigma) {
                    let why =
                        "timesteps cannot be given where the config spreads sigmas or gives them to the model";
                    return Err(call.wrong(why.into()));
                }
                let steps = call.steps_of(given.as_ref().map(Vec::len), train)?;
                let timesteps = given.unwrap_or_else(|| self.spacing.timesteps(train, steps, self.steps_offset));
                let timesteps: Vec<f64> = timesteps.iter().map(|&t| f64::from(t as f32)).collect();
                self.levels(&table, timesteps, steps)
            }
        };
        call.finish()?;
        let timesteps = if self.told_log_sigma {
            sigmas[..sigmas.len() - 1].iter().map(|sigma| 0.25 * sigma.ln()).collect()
        } else {
            narrow(&timesteps)
        };
        Ok(Euler { config: self.clone(), timesteps, sigmas, churn })
    }

    /// Levels at the timesteps and after the last, spread as the config says, and the timesteps that then belong to them.
    fn levels(&self, table: &LevelTable, mut timesteps: Vec<f64>, steps: usize) -> (Vec<f64>, Vec<f32>) {
        let mut sigmas: Vec<f64> = if self.log_linear {
            let (low, high) = (table.sigmas[0].ln(), table.sigmas[table.sigmas.len() - 1].ln());
            let logs = linspace_f32(f64::from(high), f64::from(low), steps + 1);
            logs.iter().map(|log| f64::from(log.exp())).collect()
        } else {
            timesteps.iter().map(|&t| table.sigma(t)).collect()
        };
        if self.sigmas.spread != Spread::Timesteps {
            sigmas = self.sigmas.spread(sigmas, steps);
            timesteps = sigmas.iter().map(|&sigma| table.timestep(sigma)).collect();
        }
        sigmas.push(if self.stops_early { f64::from(table.sigmas[0]) } else { 0.0 });
        (timesteps, narrow(&sigmas))
    }
}

/// Noise added on the way (Karras et al. 2022, algorithm 2, lines 4-6).
struct Churn {
    amount: f64,
    from: f64,
    to: f64,
    noise: f32,
}

impl Churn {
    /// γ at a level.
    fn at(&self, sigma: f32, levels: usize) -> f32 {
        let inside = (self.from..=self.to).contains(&f64::from(sigma));
        if inside { (self.amount / (levels - 1) as f64).min(2f64.sqrt() - 1.0) as f32 } else { 0.0 }
    }
}

/// Euler's method over dx/dσ = (x − x̂0)/σ, x being data plus σ times noise.
pub(crate) struct Euler {
    config: EulerConfig,
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
    churn: Churn,
}

/// The data that an output stands for, where noise is added to data at full size.
fn data(prediction: Prediction, sample: &[f32], output: &[f32], sigma: f32, raised: f32) -> Vec<f32> {
    let square = sigma * sigma + 1.0;
    match prediction {
        Prediction::Epsilon => zip(sample, output, |x, e| x - raised * e),
        Prediction::Velocity => zip(sample, output, |x, v| v * (-sigma / square.sqrt()) + x / square),
        Prediction::Sample | Prediction::Flow => output.to_vec(),
    }
}

/// Standard noise times this is where sampling starts.
fn first_sigma(sigmas: &[f32], spacing: Spacing) -> f32 {
    let most = sigmas.iter().fold(0.0f32, |most, &sigma| most.max(sigma));
    if spacing == Spacing::Leading { (most * most + 1.0).sqrt() } else { most }
}

fn scale(sample: &mut [f32], sigma: f32) {
    let size = (sigma * sigma + 1.0).sqrt();
    sample.iter_mut().for_each(|x| *x /= size);
}

impl Scheduler for Euler {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> Option<&[f32]> {
        Some(&self.sigmas)
    }

    fn init_noise_sigma(&self) -> f32 {
        first_sigma(&self.sigmas, self.config.spacing)
    }

    fn scale_model_input(&self, step: usize, sample: &mut [f32]) {
        scale(sample, self.sigmas[step]);
    }

    fn step(
        &mut self,
        step: usize,
        output: &[f32],
        sample: &mut [f32],
        draw: &mut dyn FnMut() -> Vec<f32>,
    ) -> Result<(), SchedulerError> {
        check_step(CLASS, self.timesteps.len(), step, output.len(), sample.len())?;
        let (sigma, next) = (self.sigmas[step], self.sigmas[step + 1]);
        let gamma = self.churn.at(sigma, self.sigmas.len());
        let raised = sigma * (gamma + 1.0);
        if gamma > 0.0 {
            let size = (raised * raised - sigma * sigma).sqrt();
            sample.iter_mut().zip(draw()).for_each(|(x, z)| *x += z * self.churn.noise * size);
        }
        let data = data(self.config.diffusion.prediction, sample, output, sigma, raised);
        let moved = zip(sample, &data, |x, data| x + (x - data) / raised * (next - raised));
        sample.copy_from_slice(&moved);
        Ok(())
    }

    fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Result<Vec<f32>, SchedulerError> {
        Ok(mix(data, 1.0, noise, self.sigmas[place(CLASS, &self.timesteps, timestep)?]))
    }
}

const ANCESTRAL: &str = "EulerAncestralDiscreteScheduler";

/// Options of Euler's method with noise at every step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EulerAncestralConfig {
    pub diffusion: Diffusion,
    steps_offset: i64,
    spacing: Spacing,
}

impl EulerAncestralConfig {
    pub fn read(options: &mut Options) -> Result<Self, SchedulerError> {
        let predictions = &PREDICTIONS[..2];
        let defaults = DiffusionDefaults { predictions, keeps_trace: true, ..DiffusionDefaults::default() };
        Ok(Self {
            diffusion: Diffusion::read(options, &defaults)?,
            steps_offset: options.get("steps_offset", 0)?,
            spacing: Spacing::read(options, Spacing::Linspace)?,
        })
    }

    pub fn scheduler(&self, plan: &Plan) -> Result<EulerAncestral, SchedulerError> {
        let call = plan.call(ANCESTRAL);
        let train = self.diffusion.train();
        let timesteps = narrow(&self.spacing.timesteps(train, call.steps(train)?, self.steps_offset));
        call.finish()?;
        let table = LevelTable::new(self.diffusion.sigmas());
        let sigmas = timesteps.iter().map(|&t| table.sigma(f64::from(t)) as f32).chain([0.0]).collect();
        Ok(EulerAncestral { config: self.clone(), timesteps, sigmas })
    }
}

/// Each step goes below the next level and comes up to it by fresh noise.
pub(crate) struct EulerAncestral {
    config: EulerAncestralConfig,
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
}

impl Scheduler for EulerAncestral {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn sigmas(&self) -> Option<&[f32]> {
        Some(&self.sigmas)
    }

    fn init_noise_sigma(&self) -> f32 {
        first_sigma(&self.sigmas, self.config.spacing)
    }

    fn scale_model_input(&self, step: usize, sample: &mut [f32]) {
        scale(sample, self.sigmas[step]);
    }

    fn step(
        &mut self,
        step: usize,
        output: &[f32],
        sample: &mut [f32],
        draw: &mut dyn FnMut() -> Vec<f32>,
    ) -> Result<(), SchedulerError> {
        check_step(ANCESTRAL, self.timesteps.len(), step, output.len(), sample.len())?;
        let (sigma, next) = (self.sigmas[step], self.sigmas[step + 1]);
        let up = (next * next * (sigma * sigma - next * next) / (sigma * sigma)).sqrt();
        let down = (next * next - up * up).sqrt();
        let data = data(self.config.diffusion.prediction, sample, output, sigma, sigma);
        let moved = zip(sample, &data, |x, data| x + (x - data) / sigma * (down - sigma));
        sample.copy_from_slice(&mix(&moved, 1.0, &draw(), up));
        Ok(())
    }

    fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Result<Vec<f32>, SchedulerError> {
        Ok(mix(data, 1.0, noise, self.sigmas[place(ANCESTRAL, &self.timesteps, timestep)?]))
    }
}
