use serde_json::{Map, Value};

use crate::{
    Plan, Prediction, Scheduler, SchedulerError,
    ddim::DdimConfig,
    ddpm::DdpmConfig,
    diffusion::Diffusion,
    dpm_solver::DpmConfig,
    euler::{EulerAncestralConfig, EulerConfig},
    flow_match_euler::FlowMatchConfig,
    lcm::LcmConfig,
    options::{Options, quote_infinities},
    pndm::PndmConfig,
};

/// A `scheduler_config.json` of diffusers. Every option is honoured or refused by name.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerConfig {
    options: Map<String, Value>,
    class: Class,
    pub(crate) settings: Settings,
}

/// Schedulers that are there, under their names in diffusers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `DDIMScheduler`
    Ddim,
    /// `DDPMScheduler`
    Ddpm,
    /// `PNDMScheduler`
    Pndm,
    /// `EulerDiscreteScheduler`
    Euler,
    /// `EulerAncestralDiscreteScheduler`
    EulerAncestral,
    /// `DPMSolverMultistepScheduler`
    DpmSolver,
    /// `LCMScheduler`
    Lcm,
    /// `FlowMatchEulerDiscreteScheduler`
    FlowMatchEuler,
}

/// Every class with its name.
const CLASSES: &[(Class, &str)] = &[
    (Class::Ddim, "DDIMScheduler"),
    (Class::Ddpm, "DDPMScheduler"),
    (Class::Pndm, "PNDMScheduler"),
    (Class::Euler, "EulerDiscreteScheduler"),
    (Class::EulerAncestral, "EulerAncestralDiscreteScheduler"),
    (Class::DpmSolver, "DPMSolverMultistepScheduler"),
    (Class::Lcm, "LCMScheduler"),
    (Class::FlowMatchEuler, "FlowMatchEulerDiscreteScheduler"),
];

impl Class {
    /// Its name in diffusers.
    pub fn name(self) -> &'static str {
        CLASSES.iter().find(|(class, _)| *class == self).map_or("", |(_, name)| name)
    }

    fn parse(name: &str) -> Result<Self, SchedulerError> {
        let found = CLASSES.iter().find(|(_, known)| *known == name).map(|(class, _)| *class);
        found.ok_or_else(|| {
            let known: Vec<&str> = CLASSES.iter().map(|(_, name)| *name).collect();
            SchedulerError::Unsupported {
                class: "scheduler config".into(),
                option: "_class_name".into(),
                value: format!("{name:?}"),
                hint: format!("; supported: {}", known.join(", ")),
            }
        })
    }
}

/// The options of each class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Settings {
    Ddim(DdimConfig),
    Ddpm(DdpmConfig),
    Pndm(PndmConfig),
    Euler(EulerConfig),
    EulerAncestral(EulerAncestralConfig),
    DpmSolver(DpmConfig),
    Lcm(LcmConfig),
    FlowMatchEuler(FlowMatchConfig),
}

impl SchedulerConfig {
    /// Reads a config; `Infinity` may stand for a number, as Python writes it.
    pub fn from_json(text: &str) -> Result<Self, SchedulerError> {
        Self::new(read_object(text)?)
    }

    /// Reads options; infinities are the strings `"Infinity"` and `"-Infinity"`.
    pub fn new(options: Map<String, Value>) -> Result<Self, SchedulerError> {
        let Some(Value::String(name)) = options.get("_class_name") else {
            let (class, message) = ("scheduler config".into(), "_class_name is missing".into());
            return Err(SchedulerError::Config { class, message });
        };
        let class = Class::parse(name)?;
        let mut left = Options::new(class.name(), options.clone());
        let settings = match class {
            Class::Ddim => Settings::Ddim(DdimConfig::read(&mut left)?),
            Class::Ddpm => Settings::Ddpm(DdpmConfig::read(&mut left)?),
            Class::Pndm => Settings::Pndm(PndmConfig::read(&mut left)?),
            Class::Euler => Settings::Euler(EulerConfig::read(&mut left)?),
            Class::EulerAncestral => Settings::EulerAncestral(EulerAncestralConfig::read(&mut left)?),
            Class::DpmSolver => Settings::DpmSolver(DpmConfig::read(&mut left)?),
            Class::Lcm => Settings::Lcm(LcmConfig::read(&mut left)?),
            Class::FlowMatchEuler => Settings::FlowMatchEuler(FlowMatchConfig::read(&mut left)?),
        };
        left.finish()?;
        Ok(Self { options, class, settings })
    }

    /// Euler's method over a rectified flow with this shift, conditioned on 1000·t.
    pub fn flow(shift: f32) -> Self {
        let options = serde_json::json!({
            "_class_name": Class::FlowMatchEuler.name(),
            "num_train_timesteps": 1000,
            "shift": shift,
        });
        let Value::Object(options) = options else { unreachable!("an object literal") };
        Self::new(options).unwrap_or_else(|error| unreachable!("these options are read: {error}"))
    }

    /// The options as they were read, in the form of diffusers.
    pub fn to_json(&self) -> String {
        let text = format!("{:#}\n", Value::Object(self.options.clone()));
        text.replace("\"-Infinity\"", "-Infinity").replace("\"Infinity\"", "Infinity")
    }

    /// The scheduler's class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The options as they were read.
    pub fn options(&self) -> &Map<String, Value> {
        &self.options
    }

    /// The same with one option set.
    pub fn with(&self, option: &str, value: impl Into<Value>) -> Result<Self, SchedulerError> {
        let mut options = self.options.clone();
        options.insert(option.into(), value.into());
        Self::new(options)
    }

    /// Another scheduler for the same model. Noise levels, prediction, spacing and clipping stay; what only the other class reads
    /// falls away. A flow has a solver besides its own, which is given `shift`.
    pub fn converted(&self, class: Class, shift: f32) -> Result<Self, SchedulerError> {
        const KEPT: &[&str] = &[
            "num_train_timesteps",
            "beta_start",
            "beta_end",
            "beta_schedule",
            "trained_betas",
            "prediction_type",
            "rescale_betas_zero_snr",
            "steps_offset",
            "timestep_spacing",
        ];
        let refuse = |message: &str| SchedulerError::Flow { class: class.name(), message: message.into() };
        let mut options: Map<String, Value> =
            self.options.iter().filter(|(name, _)| KEPT.contains(&name.as_str())).map(owned).collect();
        options.insert("_class_name".into(), class.name().into());
        match (class, &self.settings) {
            (Class::DpmSolver, Settings::FlowMatchEuler(_)) => {
                options.insert("use_flow_sigmas".into(), true.into());
                options.insert("prediction_type".into(), "flow_prediction".into());
                options.insert("flow_shift".into(), shift.into());
            }
            (_, Settings::FlowMatchEuler(_)) => {
                return Err(refuse("the model is a flow: flow, own or dpm++ would do"));
            }
            (_, Settings::Euler(euler)) if euler.told_log_sigma => {
                return Err(refuse("the model is conditioned on log sigma: flow or own would do"));
            }
            (Class::Ddim | Class::Ddpm | Class::Lcm, _) => {
                let clips = self.options.get("clip_sample").cloned().unwrap_or(false.into());
                options.insert("clip_sample".into(), clips);
            }
            _ => {}
        }
        Self::new(options)
    }

    /// A scheduler for one sample.
    pub fn scheduler(&self, plan: &Plan) -> Result<Box<dyn Scheduler>, SchedulerError> {
        Ok(match &self.settings {
            Settings::Ddim(config) => Box::new(config.scheduler(plan)?),
            Settings::Ddpm(config) => Box::new(config.scheduler(plan)?),
            Settings::Pndm(config) => Box::new(config.scheduler(plan)?),
            Settings::Euler(config) => Box::new(config.scheduler(plan)?),
            Settings::EulerAncestral(config) => Box::new(config.scheduler(plan)?),
            Settings::DpmSolver(config) => Box::new(config.scheduler(plan)?),
            Settings::Lcm(config) => Box::new(config.scheduler(plan)?),
            Settings::FlowMatchEuler(config) => Box::new(config.scheduler(plan)?),
        })
    }

    /// ᾱ by training timestep; none for flows.
    pub fn alphas_cumprod(&self) -> Option<&[f32]> {
        self.diffusion().map(|diffusion| &diffusion.alphas[..])
    }

    /// What the model predicts.
    pub fn prediction(&self) -> Prediction {
        self.diffusion().map_or(Prediction::Flow, |diffusion| diffusion.prediction)
    }

    /// `mu` for a sample of so many tokens, where the config shifts dynamically.
    pub fn mu(&self, tokens: usize) -> Option<f64> {
        match &self.settings {
            Settings::FlowMatchEuler(config) if config.is_dynamic() => Some(config.mu(tokens)),
            _ => None,
        }
    }

    pub(crate) fn diffusion(&self) -> Option<&Diffusion> {
        match &self.settings {
            Settings::Ddim(config) => Some(&config.diffusion),
            Settings::Ddpm(config) => Some(&config.diffusion),
            Settings::Pndm(config) => Some(&config.diffusion),
            Settings::Euler(config) => Some(&config.diffusion),
            Settings::EulerAncestral(config) => Some(&config.diffusion),
            Settings::DpmSolver(config) => Some(&config.diffusion),
            Settings::Lcm(config) => Some(&config.diffusion),
            Settings::FlowMatchEuler(_) => None,
        }
    }
}

/// A JSON object as Python writes it: `Infinity` and `-Infinity` become strings.
pub fn read_object(text: &str) -> Result<Map<String, Value>, SchedulerError> {
    let config = |message: String| SchedulerError::Config { class: "scheduler config".into(), message };
    match serde_json::from_str(&quote_infinities(text)) {
        Ok(Value::Object(options)) => Ok(options),
        Ok(other) => Err(config(format!("an object is expected, not {other}"))),
        Err(error) => Err(config(error.to_string())),
    }
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}
