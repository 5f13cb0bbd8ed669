use crate::SchedulerError;

/// Many-step sampling of one sample: from noise to data by a denoiser's outputs. It holds the sample's history, so that each
/// sample has a scheduler of its own.
///
/// ```
/// use tnas_schedulers::{Plan, SchedulerConfig};
///
/// # fn main() -> Result<(), tnas_schedulers::SchedulerError> {
/// let config = SchedulerConfig::from_json(r#"{"_class_name": "DDIMScheduler", "clip_sample": false}"#)?;
/// let mut scheduler = config.scheduler(&Plan::new(10))?;
/// let mut x = vec![0.5 * scheduler.init_noise_sigma()];
/// for step in 0..scheduler.timesteps().len() {
///     let mut input = x.clone();
///     scheduler.scale_model_input(step, &mut input);
///     // A denoiser would look at `input` and `scheduler.timesteps()[step]`; here, all is noise.
///     scheduler.step(step, &input, &mut x, &mut || vec![0.0])?;
/// }
/// # Ok(())
/// # }
/// ```
pub trait Scheduler: Send {
    /// Timestep that the denoiser is conditioned on at each step.
    fn timesteps(&self) -> &[f32];

    /// Noise levels at the steps and after the last, for schedulers that go by them.
    fn sigmas(&self) -> Option<&[f32]> {
        None
    }

    /// The noise to start from is standard normal noise times this.
    fn init_noise_sigma(&self) -> f32 {
        1.0
    }

    /// Scales a sample to what the denoiser takes.
    fn scale_model_input(&self, _step: usize, _sample: &mut [f32]) {}

    /// Moves the sample by one step, given the denoiser's output at it. Steps are taken in order. `draw` gives as many standard
    /// normal numbers as the sample has; steps without chance do not call it.
    fn step(
        &mut self,
        step: usize,
        output: &[f32],
        sample: &mut [f32],
        draw: &mut dyn FnMut() -> Vec<f32>,
    ) -> Result<(), SchedulerError>;

    /// Data noised to the level of a timestep.
    fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Result<Vec<f32>, SchedulerError>;
}

/// Checks what a step was given.
pub(crate) fn check_step(
    class: &'static str,
    steps: usize,
    step: usize,
    output: usize,
    sample: usize,
) -> Result<(), SchedulerError> {
    let wrong = |message| Err(SchedulerError::Step { class, step, message });
    if step >= steps {
        return wrong(format!("there are {steps} steps"));
    }
    if output != sample {
        return wrong(format!("the output has {output} elements, the sample {sample}"));
    }
    Ok(())
}

/// The step of a timestep; where one stands twice, its second place.
pub(crate) fn place(class: &'static str, timesteps: &[f32], timestep: f32) -> Result<usize, SchedulerError> {
    let mut places = (0..timesteps.len()).filter(|&i| timesteps[i] == timestep);
    let first = places.next().ok_or(SchedulerError::Timestep { class, timestep })?;
    Ok(places.next().unwrap_or(first))
}
