use crate::{
    Plan, Scheduler, SchedulerError,
    diffusion::{Diffusion, DiffusionDefaults, Prediction, mix, zip},
    options::Options,
    scheduler::check_step,
    spacing::{Spacing, narrow, rev},
};

const CLASS: &str = "PNDMScheduler";

/// Options of PNDM (Liu et al. 2022, "Pseudo numerical methods").
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PndmConfig {
    pub diffusion: Diffusion,
    skip_prk_steps: bool,
    set_alpha_to_one: bool,
    steps_offset: i64,
    spacing: Spacing,
}

impl PndmConfig {
    pub fn read(options: &mut Options) -> Result<Self, SchedulerError> {
        let predictions = &[("epsilon", Prediction::Epsilon), ("v_prediction", Prediction::Velocity)];
        let defaults = DiffusionDefaults { predictions, rescales: false, ..DiffusionDefaults::default() };
        Ok(Self {
            diffusion: Diffusion::read(options, &defaults)?,
            skip_prk_steps: options.get("skip_prk_steps", false)?,
            set_alpha_to_one: options.get("set_alpha_to_one", false)?,
            steps_offset: options.get("steps_offset", 0)?,
            spacing: Spacing::read(options, Spacing::Leading)?,
        })
    }

    pub fn scheduler(&self, plan: &Plan) -> Result<Pndm, SchedulerError> {
        let call = plan.call(CLASS);
        let train = self.diffusion.train();
        let steps = call.steps(train)?;
        if !self.skip_prk_steps && steps < 4 {
            return Err(call.wrong(format!("{steps} steps were asked for, its Runge-Kutta start needs 4")));
        }
        // Rising.
        let spaced = rev(self.spacing.timesteps(train, steps, self.steps_offset));
        let spaced: Vec<f64> = spaced.into_iter().map(f64::round_ties_even).collect();
        let stride = train / steps;
        let (start, rest) = if self.skip_prk_steps {
            let count = spaced.len();
            // The second one is visited twice.
            let rest = [&spaced[..count - 1], &spaced[count.saturating_sub(2)..count - 1], &spaced[count - 1..]];
            (Vec::new(), rev(rest.concat()))
        } else {
            let half = (stride / 2) as f64;
            let halves: Vec<f64> = spaced[steps - 4..].iter().flat_map(|&t| [t, t + half]).collect();
            let twice: Vec<f64> = halves[..7].iter().flat_map(|&t| [t, t]).collect();
            (rev(twice[1..13].to_vec()), rev(spaced[..steps - 3].to_vec()))
        };
        let timesteps = [start.clone(), rest].concat();
        call.check(&timesteps, train)?;
        call.finish()?;
        Ok(Pndm {
            config: self.clone(),
            timesteps: narrow(&timesteps),
            start: start.len(),
            stride: stride as i64,
            sum: Vec::new(),
            past: Vec::new(),
            from: None,
        })
    }
}

/// A Runge-Kutta start, then four linear multisteps.
pub(crate) struct Pndm {
    config: PndmConfig,
    timesteps: Vec<f32>,
    /// Steps of the start.
    start: usize,
    stride: i64,
    /// Outputs of a Runge-Kutta round, weighted.
    sum: Vec<f32>,
    /// Outputs before, oldest first.
    past: Vec<Vec<f32>>,
    /// The sample that a round set out from.
    from: Option<Vec<f32>>,
}

impl Pndm {
    /// Liu et al. 2022, eq. 11, from one timestep to another.
    fn moved(&self, sample: &[f32], timestep: i64, next: i64, output: &[f32]) -> Vec<f32> {
        let diffusion = &self.config.diffusion;
        let last = if self.config.set_alpha_to_one { 1.0 } else { diffusion.alphas[0] };
        let (now, next) = (diffusion.alpha(timestep, last), diffusion.alpha(next, last));
        let velocity = mix(output, now.sqrt(), sample, (1.0 - now).sqrt());
        let epsilon = if diffusion.prediction == Prediction::Velocity { &velocity } else { output };
        let scale = now * (1.0 - next).sqrt() + (now * (1.0 - now) * next).sqrt();
        zip(sample, epsilon, |x, e| (next / now).sqrt() * x - (next - now) * e / scale)
    }

    fn add_to_sum(&mut self, output: &[f32], weight: f32) {
        self.sum.resize(output.len(), 0.0);
        self.sum.iter_mut().zip(output).for_each(|(sum, output)| *sum += weight * output);
    }

    /// One of the four calls of a Runge-Kutta round.
    fn runge_kutta(&mut self, step: usize, output: &[f32], sample: &[f32]) -> Vec<f32> {
        const WEIGHTS: [f32; 4] = [1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0];
        let back = if step.is_multiple_of(2) { self.stride / 2 } else { 0 };
        let next = self.timesteps[step] as i64 - back;
        let timestep = self.timesteps[step / 4 * 4] as i64;
        if step.is_multiple_of(4) {
            self.past.push(output.to_vec());
            self.from = Some(sample.to_vec());
        }
        self.add_to_sum(output, WEIGHTS[step % 4]);
        let output = if step % 4 == 3 { std::mem::take(&mut self.sum) } else { output.to_vec() };
        let from = self.from.as_deref().unwrap_or(sample);
        self.moved(from, timestep, next, &output)
    }

    fn multistep(&mut self, step: usize, output: &[f32], sample: &[f32]) -> Vec<f32> {
        let timestep = self.timesteps[step] as i64;
        let (mut from, mut to) = (timestep, timestep - self.stride);
        if step == 1 {
            (from, to) = (timestep + self.stride, timestep);
        } else {
            let drop = self.past.len().saturating_sub(3);
            self.past.drain(..drop);
            self.past.push(output.to_vec());
        }
        let past = |back: usize, i: usize| self.past[self.past.len() - back][i];
        let combined = |weigh: &dyn Fn(usize) -> f32| (0..output.len()).map(weigh).collect::<Vec<f32>>();
        let mut start = sample.to_vec();
        let output = match (self.past.len(), step) {
            (1, 0) => {
                self.from = Some(sample.to_vec());
                output.to_vec()
            }
            (1, 1) => {
                start = self.from.clone().unwrap_or(start);
                combined(&|i| (output[i] + past(1, i)) / 2.0)
            }
            (1, _) => output.to_vec(),
            (2, _) => combined(&|i| (3.0 * past(1, i) - past(2, i)) / 2.0),
            (3, _) => combined(&|i| (23.0 * past(1, i) - 16.0 * past(2, i) + 5.0 * past(3, i)) / 12.0),
            _ => combined(&|i| {
                1.0 / 24.0 * (55.0 * past(1, i) - 59.0 * past(2, i) + 37.0 * past(3, i) - 9.0 * past(4, i))
            }),
        };
        self.moved(&start, from, to, &output)
    }
}

impl Scheduler for Pndm {
    fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    fn step(
        &mut self,
        step: usize,
        output: &[f32],
        sample: &mut [f32],
        _: &mut dyn FnMut() -> Vec<f32>,
    ) -> Result<(), SchedulerError> {
        check_step(CLASS, self.timesteps.len(), step, output.len(), sample.len())?;
        let moved = if step < self.start {
            self.runge_kutta(step, output, sample)
        } else {
            self.multistep(step, output, sample)
        };
        sample.copy_from_slice(&moved);
        Ok(())
    }

    fn add_noise(&self, data: &[f32], noise: &[f32], timestep: f32) -> Result<Vec<f32>, SchedulerError> {
        Ok(self.config.diffusion.add_noise(data, noise, timestep))
    }
}
