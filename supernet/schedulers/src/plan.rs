use serde_json::{Map, Value};

use crate::{SchedulerError, options::Options};

/// What is asked of a scheduler besides its config: how many steps, and the arguments of `set_timesteps` and `step` under
/// their names in diffusers. Arguments that a scheduler does not take are refused by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Denoising steps; given by `timesteps` or `sigmas` where those are set.
    pub steps: usize,
    /// Arguments of laying out: `timesteps`, `sigmas`, `mu`, `original_inference_steps`, `strength`.
    pub set_timesteps: Map<String, Value>,
    /// Arguments of each step: `eta`, `use_clipped_model_output`, `s_churn`, `s_tmin`, `s_tmax`, `s_noise`.
    pub step: Map<String, Value>,
}

impl Plan {
    /// So many steps and no arguments.
    pub fn new(steps: usize) -> Self {
        Self { steps, ..Self::default() }
    }

    /// The same with an argument of laying out.
    pub fn with(mut self, argument: &str, value: impl Into<Value>) -> Self {
        self.set_timesteps.insert(argument.into(), value.into());
        self
    }

    /// The same with an argument of each step.
    pub fn with_step(mut self, argument: &str, value: impl Into<Value>) -> Self {
        self.step.insert(argument.into(), value.into());
        self
    }

    /// Reads the arguments: each scheduler takes its own, the others are refused.
    pub(crate) fn call(&self, class: &'static str) -> Call {
        Call {
            class,
            steps: self.steps,
            layout: Options::new(class, self.set_timesteps.clone()),
            step: Options::new(class, self.step.clone()),
            taken: Vec::new(),
        }
    }
}

/// A plan that a scheduler is reading.
pub(crate) struct Call {
    class: &'static str,
    steps: usize,
    layout: Options,
    step: Options,
    taken: Vec<&'static str>,
}

impl Call {
    /// A number of laying out.
    pub fn layout(&mut self, argument: &'static str) -> Result<Option<f64>, SchedulerError> {
        self.taken.push(argument);
        self.layout.number(argument)
    }

    /// A list of laying out: timesteps or sigmas.
    pub fn list(&mut self, argument: &'static str) -> Result<Option<Vec<f64>>, SchedulerError> {
        self.taken.push(argument);
        let list: Option<Vec<f64>> = self.layout.take(argument)?;
        match list {
            Some(list) if list.is_empty() => Err(self.wrong(format!("{argument} = [] has no steps"))),
            list => Ok(list),
        }
    }

    /// Timesteps that were given: whole numbers, falling, within the training ones.
    pub fn timesteps(&mut self, train: usize) -> Result<Option<Vec<f64>>, SchedulerError> {
        let Some(list) = self.list("timesteps")? else { return Ok(None) };
        if let Some(t) = list.iter().find(|t| t.fract() != 0.0) {
            return Err(self.wrong(format!("timesteps has {t}: whole numbers are expected")));
        }
        self.check(&list, train)?;
        if list.windows(2).any(|pair| pair[1] >= pair[0]) {
            return Err(self.wrong("timesteps must fall".into()));
        }
        Ok(Some(list))
    }

    /// A number of each step.
    pub fn step(&mut self, argument: &'static str, default: f64) -> Result<f64, SchedulerError> {
        self.taken.push(argument);
        Ok(self.step.number(argument)?.unwrap_or(default))
    }

    /// A switch of each step.
    pub fn switch(&mut self, argument: &'static str) -> Result<bool, SchedulerError> {
        self.taken.push(argument);
        self.step.get(argument, false)
    }

    /// The number of steps, at most `most`.
    pub fn steps(&self, most: usize) -> Result<usize, SchedulerError> {
        match self.steps {
            0 => Err(self.wrong("0 steps were asked for".into())),
            steps if steps > most => {
                Err(self.wrong(format!("{steps} steps were asked for, at most {most} can be")))
            }
            steps => Ok(steps),
        }
    }

    /// The number of steps, or that of a given list.
    pub fn steps_of(&self, given: Option<usize>, most: usize) -> Result<usize, SchedulerError> {
        match given {
            Some(count) if self.steps != 0 && self.steps != count => {
                Err(self.wrong(format!("{} steps were asked for, {count} are given", self.steps)))
            }
            Some(count) => Ok(count),
            None => self.steps(most),
        }
    }

    /// Refuses timesteps beyond the training ones.
    pub fn check(&self, timesteps: &[f64], train: usize) -> Result<(), SchedulerError> {
        match timesteps.iter().find(|t| !(0.0..train as f64).contains(*t)) {
            Some(t) => Err(self.wrong(format!(
                "there is a timestep {t}, the model was trained on 0 to {}; fewer steps or a smaller steps_offset would do",
                train - 1
            ))),
            None => Ok(()),
        }
    }

    /// Refuses arguments that were not taken.
    pub fn finish(self) -> Result<(), SchedulerError> {
        let taken = self.taken.join(", ");
        self.layout.finish_call(&taken)?;
        self.step.finish_call(&taken)
    }

    pub fn wrong(&self, message: String) -> SchedulerError {
        SchedulerError::Plan { class: self.class, message }
    }
}
