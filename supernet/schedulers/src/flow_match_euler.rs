use crate::{
    Plan, Sampler, Scheduler, SchedulerError,
    diffusion::mix,
    options::Options,
    plan::Call,
    scheduler::{check_step, place},
    sigmas::Sigmas,
    spacing::{linspace, narrow},
};

const CLASS: &str = "FlowMatchEulerDiscreteScheduler";

/// Options of Euler's method over a rectified flow (Esser et al. 2024).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FlowMatchConfig {
    pub train: usize,
    pub shift: f64,
    dynamic: bool,
    linear_shift: bool,
    shift_terminal: Option<f64>,
    /// Shift at the smallest and the largest sample, by tokens; see [`FlowMatchConfig::mu`].
    range: [(f64, f64); 2],
    invert_sigmas: bool,
    sigmas: Sigmas,
    stochastic: bool,
}

impl FlowMatchConfig {
    pub fn read(options: &mut Options) -> Result<Self, SchedulerError> {
        let config = Self {
            train: options.count("num_train_timesteps", 1000)?,
            shift: options.get("shift", 1.0)?,
            dynamic: options.get("use_dynamic_shifting", false)?,
            linear_shift: options.word("time_shift_type", &[("exponential", false), ("linear", true)], false)?,
            shift_terminal: options.take("shift_terminal")?.filter(|&terminal: &f64| terminal != 0.0),
            range: [
                (options.get("base_image_seq_len", 256.0)?, options.get("base_shift", 0.5)?),
                (options.get("max_image_seq_len", 4096.0)?, options.get("max_shift", 1.15)?),
            ],
            invert_sigmas: options.get("invert_sigmas", false)?,
            sigmas: Sigmas::read(options)?,
            stochastic: options.get("stochastic_sampling", false)?,
        };
        if !(config.shift.is_finite() && config.shift > 0.0) {
            return Err(options.wrong(format!("shift = {} must be above 0", config.shift)));
        }
        if config.shift_terminal == Some(1.0) {
            return Err(options.wrong("shift_terminal = 1 leaves no steps".into()));
        }
        Ok(config)
    }

    /// The dynamic shift for a sample of so many tokens: on the line through (`base_image_seq_len`, `base_shift`) and
    /// (`max_image_seq_len`, `max_shift`).
    pub fn mu(&self, tokens: usize) -> f64 {
        let [(few, low), (many, high)] = self.range;
        low + (high - low) / (many - few) * (tokens as f64 - few)
    }

    /// Whether laying out needs a `mu`.
    pub fn is_dynamic(&self) -> bool {
        self.dynamic
    }

    pub fn scheduler(&self, plan: &Plan) -> Result<FlowMatchEuler, SchedulerError> {
        let mut call = plan.call(CLASS);
        let train = self.train as f64;
        let (timesteps, given) = (call.list("timesteps")?, call.list("sigmas")?);
        let mu = call.layout("mu")?;
        if let (Some(timesteps), Some(sigmas)) = (&timesteps, &given)
            && timesteps.len() != sigmas.len()
        {
            let (a, b) = (timesteps.len(), sigmas.len());
            return Err(call.wrong(format!("{a} timesteps and {b} sigmas are given")));
        }
        let steps = call.steps_of(given.as_ref().or(timesteps.as_ref()).map(Vec::len), usize::MAX)?;
        let levels: Vec<f64> = match (given, &timesteps) {
            (Some(sigmas), _) => sigmas.iter().map(|&sigma| f64::from(sigma as f32)).collect(),
            (None, Some(timesteps)) => timesteps.iter().map(|&t| f64::from(t as f32) / train).collect(),
            (None, None) => self.ends(steps).into_iter().map(|t| t / train).collect(),
        };
        let mut levels = self.shifted(&call, levels, mu)?;
        call.finish()?;
        if let (Some(terminal), Some(&last)) = (self.shift_terminal, levels.last()) {
            let scale = (1.0 - last) / (1.0 - terminal);
            levels.iter_mut().for_each(|level| *level = 1.0 - (1.0 - *level) / scale);
        }
        let mut sigmas = narrow(&self.sigmas.spread(levels, steps));
        let scaled = |sigmas: &[f32]| sigmas.iter().map(|sigma| sigma * self.train as f32).collect();
        let mut timesteps = timesteps.map_or_else(|| scaled(&sigmas), |given| narrow(&given));
        if self.invert_sigmas {
            sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - *sigma);
            timesteps = scaled(&sigmas);
        }
        sigmas.push(if self.invert_sigmas { 1.0 } else { 0.0 });
        let sampler = if self.stochastic { Sampler::Renoise } else { Sampler::Euler };
        Ok(FlowMatchEuler { sampler, timesteps, sigmas })
    }

    /// Timesteps between the largest and the smallest training level, which a fixed shift has moved already.
    fn ends(&self, steps: usize) -> Vec<f64> {
        let shift = if self.dynamic { 1.0 } else { self.shift as f32 };
        let level = |t: f32| {
            let sigma = t / self.train as f32;
            f64::from(shift * sigma / (1.0 + (shift - 1.0) * sigma))
        };
        linspace(level(self.train as f32) * self.train as f64, level(1.0) * self.train as f64, steps)
    }

    fn shifted(&self, call: &Call, levels: Vec<f64>, mu: Option<f64>) -> Result<Vec<f64>, SchedulerError> {
        let shift = match (self.dynamic, mu) {
            (true, None) => {
                let example = self.mu(1024);
                let message = format!("use_dynamic_shifting = true needs mu, e.g. {example} for 1024 tokens");
                return Err(call.wrong(message));
            }
            (true, Some(mu)) if self.linear_shift => mu,
            (true, Some(mu)) => mu.exp(),
            // As in diffusers, mu without dynamic shifting changes nothing.
            (false, _) => {
                let shifted = |sigma: f64| self.shift * sigma / (1.0 + (self.shift - 1.0) * sigma);
                return Ok(levels.into_iter().map(shifted).collect());
            }
        };
        Ok(levels.into_iter().map(|level| shift / (shift + (1.0 / level - 1.0))).collect())
    }
}

/// Euler's method over dx/dσ = v, or predicting the data and noising it anew.
pub(crate) struct FlowMatchEuler {
    sampler: Sampler,
    timesteps: Vec<f32>,
    sigmas: Vec<f32>,
}

impl Scheduler for FlowMatchEuler {
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
        check_step(CLASS, self.timesteps.len(), step, output.len(), sample.len())?;
        self.sampler.step(sample, output, self.sigmas[step], self.sigmas[step + 1], draw);
        Ok(())
    }

    fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Result<Vec<f32>, SchedulerError> {
        let sigma = self.sigmas[place(CLASS, &self.timesteps, timestep)?];
        Ok(mix(noise, sigma, data, 1.0 - sigma))
    }
}
