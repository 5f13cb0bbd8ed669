use crate::{
    Plan, Scheduler, SchedulerError,
    clamp::Clamp,
    diffusion::{Diffusion, DiffusionDefaults, mix},
    options::Options,
    scheduler::check_step,
    spacing::{Spacing, narrow},
};

const CLASS: &str = "LCMScheduler";

/// Options of latent consistency models (Luo et al. 2023).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LcmConfig {
    pub diffusion: Diffusion,
    clamp: Clamp,
    original_steps: usize,
    timestep_scaling: f32,
}

impl LcmConfig {
    pub fn read(options: &mut Options) -> Result<Self, SchedulerError> {
        let defaults = DiffusionDefaults {
            beta_start: 0.00085,
            beta_end: 0.012,
            schedule: "scaled_linear",
            ..DiffusionDefaults::default()
        };
        let config = Self {
            diffusion: Diffusion::read(options, &defaults)?,
            clamp: Clamp::read(options, Some(false))?,
            original_steps: options.count("original_inference_steps", 50)?,
            timestep_scaling: options.get("timestep_scaling", 10.0)?,
        };
        // Read by none of its steps: they go from one timestep to the next of the distillation's schedule.
        Spacing::read(options, Spacing::Leading)?;
        let _: (bool, i64) = (options.get("set_alpha_to_one", true)?, options.get("steps_offset", 0)?);
        Ok(config)
    }

    pub fn scheduler(&self, plan: &Plan) -> Result<Lcm, SchedulerError> {
        let mut call = plan.call(CLASS);
        let train = self.diffusion.train();
        let original = call.layout("original_inference_steps")?.map_or(self.original_steps, |steps| steps as usize);
        let strength = call.layout("strength")?.unwrap_or(1.0);
        if !(1..=train).contains(&original) {
            return Err(call.wrong(format!("original_inference_steps = {original} must lie between 1 and {train}")));
        }
        if !(strength > 0.0 && strength <= 1.0) {
            return Err(call.wrong(format!("strength = {strength} must lie above 0 and at most at 1")));
        }
        let timesteps = match call.timesteps(train)? {
            Some(given) => {
                let count = call.steps_of(Some(given.len()), train)?;
                let kept = ((count as f64 * strength) as usize).min(count);
                given[count - kept..].to_vec()
            }
            None => {
                // The distillation's timesteps, highest first, of which some are picked evenly.
                let stride = train / original;
                let kept = (original as f64 * strength) as usize;
                let known: Vec<f64> = (1..=kept).rev().map(|i| (i * stride - 1) as f64).collect();
                let steps = call.steps(kept)?;
                let gap = known.len() as f64 / steps as f64;
                (0..steps).map(|i| known[(i as f64 * gap).floor() as usize]).collect()
            }
        };
        call.finish()?;
        Ok(Lcm { config: self.clone(), timesteps: narrow(&timesteps) })
    }
}

/// Multistep consistency sampling (Luo et al. 2023, algorithm 3): predict the data, noise it anew.
pub(crate) struct Lcm {
    config: LcmConfig,
    timesteps: Vec<f32>,
}

impl Scheduler for Lcm {
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
        /// Deviation of the data in the boundary condition (Song et al. 2023, appendix C).
        const SIGMA_DATA: f32 = 0.5;
        check_step(CLASS, self.timesteps.len(), step, output.len(), sample.len())?;
        let diffusion = &self.config.diffusion;
        let timestep = self.timesteps[step];
        let mut data = diffusion.data(sample, output, diffusion.alpha(timestep as i64, 1.0));
        self.config.clamp.apply(&mut data);
        let scaled = timestep * self.config.timestep_scaling;
        let square = scaled * scaled + SIGMA_DATA * SIGMA_DATA;
        let (skip, out) = (SIGMA_DATA * SIGMA_DATA / square, scaled / square.sqrt());
        let mut moved = mix(&data, out, sample, skip);
        if let Some(&next) = self.timesteps.get(step + 1) {
            let next = diffusion.alpha(next as i64, 1.0);
            moved = mix(&moved, next.sqrt(), &draw(), (1.0 - next).sqrt());
        }
        sample.copy_from_slice(&moved);
        Ok(())
    }

    fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Result<Vec<f32>, SchedulerError> {
        Ok(self.config.diffusion.add_noise(data, noise, timestep))
    }
}
