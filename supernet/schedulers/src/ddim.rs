use crate::{
    Plan, Scheduler, SchedulerError,
    clamp::Clamp,
    diffusion::{Diffusion, DiffusionDefaults, Prediction, mix, zip},
    options::Options,
    scheduler::check_step,
    spacing::{Spacing, narrow},
};

const CLASS: &str = "DDIMScheduler";

/// Options of DDIM (Song et al. 2021).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DdimConfig {
    pub diffusion: Diffusion,
    clamp: Clamp,
    set_alpha_to_one: bool,
    steps_offset: i64,
    spacing: Spacing,
}

impl DdimConfig {
    pub fn read(options: &mut Options) -> Result<Self, SchedulerError> {
        Ok(Self {
            diffusion: Diffusion::read(options, &DiffusionDefaults::default())?,
            clamp: Clamp::read(options, Some(true))?,
            set_alpha_to_one: options.get("set_alpha_to_one", true)?,
            steps_offset: options.get("steps_offset", 0)?,
            spacing: Spacing::read(options, Spacing::Leading)?,
        })
    }

    pub fn scheduler(&self, plan: &Plan) -> Result<Ddim, SchedulerError> {
        let mut call = plan.call(CLASS);
        let train = self.diffusion.train();
        let steps = call.steps(train)?;
        let timesteps = self.spacing.timesteps(train, steps, self.steps_offset);
        let timesteps: Vec<f64> = timesteps.into_iter().map(f64::round_ties_even).collect();
        call.check(&timesteps, train)?;
        let (eta, use_clipped) = (call.step("eta", 0.0)?, call.switch("use_clipped_model_output")?);
        call.finish()?;
        Ok(Ddim {
            config: self.clone(),
            timesteps: narrow(&timesteps),
            stride: (train / steps) as i64,
            eta: eta as f32,
            use_clipped,
        })
    }
}

/// DDIM: x_s = √ᾱ_s·x̂0 + √(1 − ᾱ_s − σ²)·ε̂ + σ·z (eq. 12), σ being `eta` times DDPM's.
pub(crate) struct Ddim {
    config: DdimConfig,
    timesteps: Vec<f32>,
    stride: i64,
    eta: f32,
    use_clipped: bool,
}

impl Scheduler for Ddim {
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
        check_step(CLASS, self.timesteps.len(), step, output.len(), sample.len())?;
        let diffusion = &self.config.diffusion;
        let timestep = self.timesteps[step] as i64;
        let last = if self.config.set_alpha_to_one { 1.0 } else { diffusion.alphas[0] };
        let (now, next) = (diffusion.alpha(timestep, last), diffusion.alpha(timestep - self.stride, last));
        let (signal, noise) = (now.sqrt(), (1.0 - now).sqrt());
        let mut data = diffusion.data(sample, output, now);
        let towards = |data: &[f32]| zip(sample, data, |x, d| (x - signal * d) / noise);
        let mut epsilon = match diffusion.prediction {
            Prediction::Epsilon => output.to_vec(),
            Prediction::Velocity => mix(output, signal, sample, noise),
            Prediction::Sample | Prediction::Flow => towards(&data),
        };
        self.config.clamp.apply(&mut data);
        if self.use_clipped {
            epsilon = towards(&data);
        }
        let deviation = match self.eta {
            0.0 => 0.0,
            eta => eta * ((1.0 - next) / (1.0 - now) * (1.0 - now / next)).sqrt(),
        };
        let direction = (1.0 - next - deviation * deviation).sqrt();
        let moved = mix(&data, next.sqrt(), &epsilon, direction);
        sample.copy_from_slice(&moved);
        if self.eta > 0.0 {
            sample.iter_mut().zip(draw()).for_each(|(x, z)| *x += deviation * z);
        }
        Ok(())
    }

    fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Result<Vec<f32>, SchedulerError> {
        Ok(self.config.diffusion.add_noise(data, noise, timestep))
    }
}
