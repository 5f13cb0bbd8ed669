use crate::{
    Plan, Scheduler, SchedulerError,
    clamp::Clamp,
    diffusion::{Diffusion, DiffusionDefaults, mix},
    options::Options,
    scheduler::check_step,
    spacing::{Spacing, narrow},
};

const CLASS: &str = "DDPMScheduler";

/// The variance of a step's noise (Ho et al. 2020, §3.2; Nichol & Dhariwal 2021, §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variance {
    /// β̃, the smallest.
    Small,
    /// Its square root, by the logarithm, as the deviation.
    SmallLog,
    /// β, the largest.
    Large,
    /// The second half of the output.
    Learned,
    /// Between β̃ and β, as the second half of the output says.
    LearnedRange,
}

/// Options of DDPM.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DdpmConfig {
    pub diffusion: Diffusion,
    clamp: Clamp,
    variance: Variance,
    steps_offset: i64,
    spacing: Spacing,
}

impl DdpmConfig {
    pub fn read(options: &mut Options) -> Result<Self, SchedulerError> {
        let defaults = DiffusionDefaults {
            schedules: &["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"],
            ..DiffusionDefaults::default()
        };
        // `fixed_large_log` takes the root of a logarithm below 0: it has no numbers anywhere.
        let variances = [
            ("fixed_small", Variance::Small),
            ("fixed_small_log", Variance::SmallLog),
            ("fixed_large", Variance::Large),
            ("learned", Variance::Learned),
            ("learned_range", Variance::LearnedRange),
        ];
        Ok(Self {
            diffusion: Diffusion::read(options, &defaults)?,
            clamp: Clamp::read(options, Some(true))?,
            variance: options.word("variance_type", &variances, Variance::Small)?,
            steps_offset: options.get("steps_offset", 0)?,
            spacing: Spacing::read(options, Spacing::Leading)?,
        })
    }

    pub fn scheduler(&self, plan: &Plan) -> Result<Ddpm, SchedulerError> {
        let mut call = plan.call(CLASS);
        let train = self.diffusion.train();
        let given = call.timesteps(train)?;
        let steps = call.steps_of(given.as_ref().map(Vec::len), train)?;
        let spaced = || self.spacing.timesteps(train, steps, self.steps_offset);
        let timesteps: Vec<f64> = given.unwrap_or_else(spaced).into_iter().map(f64::round_ties_even).collect();
        call.check(&timesteps, train)?;
        call.finish()?;
        Ok(Ddpm { config: self.clone(), timesteps: narrow(&timesteps) })
    }
}

/// Ancestral sampling of the posterior (Ho et al. 2020, eq. 7).
pub(crate) struct Ddpm {
    config: DdpmConfig,
    timesteps: Vec<f32>,
}

impl Ddpm {
    /// Deviation of the noise of each element, from β, β̃ and what the model says.
    fn deviation(&self, beta: f32, smallest: f32, learned: Option<&[f32]>, count: usize) -> Option<Vec<f32>> {
        let one = |deviation: f32| Some(vec![deviation; count]);
        match self.config.variance {
            Variance::Small => one(smallest.sqrt()),
            Variance::SmallLog => one((0.5 * smallest.ln()).exp()),
            Variance::Large => one(beta.sqrt()),
            Variance::Learned => Some(learned?.iter().map(|v| v.sqrt()).collect()),
            Variance::LearnedRange => {
                let (low, high) = (smallest.ln(), beta.ln());
                let deviation = |v: &f32| {
                    let fraction = (v + 1.0) / 2.0;
                    (0.5 * (fraction * high + (1.0 - fraction) * low)).exp()
                };
                Some(learned?.iter().map(deviation).collect())
            }
        }
    }
}

impl Scheduler for Ddpm {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn step(
        &mut self,
        step: usize,
        output: &[f32],
        sample: &mut [f32],
        draw: &mut dyn FnMut() -> Vec<f32>,
    ) -> Result<(), SchedulerError> {
        let learned = matches!(self.config.variance, Variance::Learned | Variance::LearnedRange);
        let (output, learned) = match output.len() {
            length if learned && length == 2 * sample.len() => {
                let (mean, learned) = output.split_at(sample.len());
                (mean, Some(learned))
            }
            _ => (output, None),
        };
        check_step(CLASS, self.timesteps.len(), step, output.len(), sample.len())?;
        let diffusion = &self.config.diffusion;
        let timestep = self.timesteps[step] as i64;
        let now = diffusion.alpha(timestep, 1.0);
        let next = self.timesteps.get(step + 1).map_or(1.0, |&t| diffusion.alpha(t as i64, 1.0));
        let (alpha, beta) = (now / next, 1.0 - now / next);
        let mut data = diffusion.data(sample, output, now);
        self.config.clamp.apply(&mut data);
        let (of_data, of_sample) = (next.sqrt() * beta / (1.0 - now), alpha.sqrt() * (1.0 - next) / (1.0 - now));
        let moved = mix(&data, of_data, sample, of_sample);
        sample.copy_from_slice(&moved);
        if timestep > 0 {
            let smallest = ((1.0 - next) / (1.0 - now) * beta).max(1e-20);
            let deviation = self.deviation(beta, smallest, learned, sample.len()).ok_or_else(|| {
                let message =
                    "its variance_type is learned: the output must have twice the sample's channels".into();
                SchedulerError::Step { class: CLASS, step, message }
            })?;
            sample.iter_mut().zip(draw()).zip(deviation).for_each(|((x, z), deviation)| *x += deviation * z);
        }
        Ok(())
    }

    fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Result<Vec<f32>, SchedulerError> {
        Ok(self.config.diffusion.add_noise(data, noise, timestep))
    }
}
