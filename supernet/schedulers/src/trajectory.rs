use serde_json::{Map, Value};

use crate::{Plan, Scheduler, SchedulerConfig, SchedulerError};

/// Allowed error relative to the larger of 1 and the largest element.
const TOLERANCE: f32 = 1e-4;

/// A recorded tensor: shape and elements.
pub type Recorded = (Vec<usize>, Vec<f32>);

/// A recorded run of a scheduler on the denoiser out = 0.7·x + 0.1·sin(5·x), to be repeated.
///
/// Its config holds the scheduler's options and `steps`, `set_timesteps` and `step` (arguments of those calls). Its tensors are
/// `trajectory` `[steps + 1, B, …]`, `noise_if_used` `[steps, B, …]` and, where they are recorded, `timesteps`, `sigmas`,
/// `alphas_cumprod` and `add_noise.{x0, noise, t, out}`. In Python, for a name, a scheduler `s` of diffusers and a number of steps:
///
/// ```python
/// s.set_timesteps(steps)
/// g, shape = torch.Generator(), (1, 2, 4, 4)
/// x = torch.randn(shape) * getattr(s, "init_noise_sigma", 1.0)
/// trajectory, noise = [x], []
/// for k, t in enumerate(s.timesteps):
///     noise.append(torch.randn(shape, generator=g.manual_seed(k)))
///     xi = s.scale_model_input(x, t) if hasattr(s, "scale_model_input") else x
///     out = 0.7 * xi + 0.1 * torch.sin(5 * xi)
///     drawn = {"generator": g.manual_seed(k)} if "generator" in inspect.signature(s.step).parameters else {}
///     x = s.step(out, t, x, **drawn).prev_sample
///     trajectory.append(x)
/// config[name] = {"steps": steps, "set_timesteps": {}, "step": {}, "_class_name": type(s).__name__, **s.config}
/// io[f"{name}.trajectory"], io[f"{name}.noise_if_used"] = torch.stack(trajectory), torch.stack(noise)
/// io[f"{name}.timesteps"] = s.timesteps.float()
/// ```
///
/// and then `config` as config.json and `io` as io.safetensors.
pub struct Trajectory<'a> {
    /// Options and calls.
    pub config: &'a Map<String, Value>,
    /// Tensors by name.
    pub tensor: &'a dyn Fn(&str) -> Option<Recorded>,
}

/// What a repeated run differs by.
#[derive(Clone, Debug, PartialEq)]
pub struct TrajectoryErrors {
    /// Largest difference over all steps.
    pub largest: Difference,
    /// The first step after which the sample differs by more than allowed.
    pub first_step: Option<usize>,
    /// Differences of the other quantities that are recorded, by name.
    pub others: Vec<(&'static str, Difference)>,
}

/// A largest absolute difference, and what is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Infinite where the two cannot be compared.
    pub error: f32,
    /// 1e-4 × max(1, largest element).
    pub allowed: f32,
}

impl Difference {
    fn of(ours: &[f32], golden: &[f32]) -> Self {
        let allowed = TOLERANCE * golden.iter().fold(1.0f32, |most, x| most.max(x.abs()));
        let worst = |worst: f32, (a, b): (&f32, &f32)| {
            // Equal infinities are equal.
            let difference = if a == b { 0.0 } else { (a - b).abs() };
            if difference.is_nan() { f32::INFINITY } else { worst.max(difference) }
        };
        let error =
            if ours.len() == golden.len() { ours.iter().zip(golden).fold(0.0, worst) } else { f32::INFINITY };
        Self { error, allowed }
    }

    /// Whether it is allowed.
    pub fn passes(&self) -> bool {
        self.error <= self.allowed
    }
}

impl TrajectoryErrors {
    /// Whether all that is recorded was repeated.
    pub fn passes(&self) -> bool {
        self.first_step.is_none() && self.others.iter().all(|(_, difference)| difference.passes())
    }
}

impl Trajectory<'_> {
    /// Runs the scheduler and compares.
    pub fn run(&self) -> Result<TrajectoryErrors, SchedulerError> {
        let (config, plan) = self.read()?;
        let (shape, golden) = self.need("trajectory")?;
        let &[points, rows, ..] = shape.as_slice() else {
            return Err(wrong(format!("trajectory has the shape {shape:?}, [steps + 1, B, …] is expected")));
        };
        let (steps, row) = (points.saturating_sub(1), shape[2..].iter().product::<usize>());
        let noise = (self.tensor)("noise_if_used").map_or_else(Vec::new, |(_, noise)| noise);
        if golden.is_empty() || !(noise.is_empty() || noise.len() == steps * rows * row) {
            return Err(wrong(format!("noise_if_used has {} numbers, trajectory {shape:?}", noise.len())));
        }
        let mut schedulers: Vec<Box<dyn Scheduler>> =
            (0..rows).map(|_| config.scheduler(&plan)).collect::<Result<_, _>>()?;
        let first = &schedulers[0];
        if first.timesteps().len() != steps {
            let count = first.timesteps().len();
            return Err(wrong(format!("trajectory has {steps} steps, the scheduler lays out {count}")));
        }
        let mut others = self.others(&config, first.as_ref())?;
        let mut x = golden[..rows * row].to_vec();
        let (mut largest, mut first_step) = (Difference { error: 0.0, allowed: TOLERANCE }, None);
        for step in 0..steps {
            for (index, scheduler) in schedulers.iter_mut().enumerate() {
                let sample = &mut x[index * row..(index + 1) * row];
                let mut input = sample.to_vec();
                scheduler.scale_model_input(step, &mut input);
                let output: Vec<f32> = input.iter().map(|x| 0.7 * x + 0.1 * (5.0 * x).sin()).collect();
                let place = (step * rows + index) * row;
                let mut draw =
                    || if noise.is_empty() { vec![0.0; row] } else { noise[place..place + row].to_vec() };
                scheduler.step(step, &output, sample, &mut draw)?;
            }
            let difference = Difference::of(&x, &golden[(step + 1) * rows * row..(step + 2) * rows * row]);
            if !difference.passes() && first_step.is_none() {
                first_step = Some(step);
            }
            if difference.error / difference.allowed >= largest.error / largest.allowed {
                largest = difference;
            }
        }
        others.sort_by_key(|&(name, _)| name);
        Ok(TrajectoryErrors { largest, first_step, others })
    }

    fn read(&self) -> Result<(SchedulerConfig, Plan), SchedulerError> {
        let mut options = self.config.clone();
        let mut call = |name: &str| match options.remove(name) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(arguments)) => Ok(arguments),
            Some(other) => Err(wrong(format!("{name} = {other}: an object is expected"))),
        };
        let (set_timesteps, step) = (call("set_timesteps")?, call("step")?);
        let steps = match options.remove("steps") {
            None | Some(Value::Null) => 0,
            Some(value) => value.as_u64().ok_or_else(|| wrong(format!("steps = {value}: a number is expected")))?,
        };
        Ok((SchedulerConfig::new(options)?, Plan { steps: steps as usize, set_timesteps, step }))
    }

    fn need(&self, name: &str) -> Result<Recorded, SchedulerError> {
        (self.tensor)(name).ok_or_else(|| wrong(format!("there is no {name}")))
    }

    fn others(
        &self,
        config: &SchedulerConfig,
        scheduler: &dyn Scheduler,
    ) -> Result<Vec<(&'static str, Difference)>, SchedulerError> {
        let mut others = Vec::new();
        for (name, ours) in [
            ("timesteps", Some(scheduler.timesteps())),
            ("sigmas", scheduler.sigmas()),
            ("alphas_cumprod", config.alphas_cumprod()),
        ] {
            if let (Some(ours), Some((_, golden))) = (ours, (self.tensor)(name)) {
                others.push((name, Difference::of(ours, &golden)));
            }
        }
        if let Some((_, golden)) = (self.tensor)("add_noise.out") {
            let (data, noise) = (self.need("add_noise.x0")?.1, self.need("add_noise.noise")?.1);
            let timestep = self.need("add_noise.t")?.1;
            let &[timestep] = timestep.as_slice() else {
                return Err(wrong(format!("add_noise.t has {} numbers, one is expected", timestep.len())));
            };
            // The layout's own number stands for the recorded one, which may differ in its last bits.
            let known = scheduler.timesteps().iter().copied();
            let nearest = known.min_by(|a, b| (a - timestep).abs().total_cmp(&(b - timestep).abs()));
            let nearest = nearest.filter(|near| (near - timestep).abs() <= TOLERANCE * timestep.abs().max(1.0));
            let ours = scheduler.add_noise(&data, &noise, nearest.unwrap_or(timestep))?;
            others.push(("add_noise", Difference::of(&ours, &golden)));
        }
        Ok(others)
    }
}

fn wrong(message: String) -> SchedulerError {
    SchedulerError::Config { class: "recorded trajectory".into(), message }
}
