use crate::{Prediction, SchedulerConfig, SchedulerError, config::Settings, euler_times, sigmas::LevelTable};

/// What a denoiser takes and gives, as a rectified flow: the change of variables t = σ/(α + σ), x_t = x_vp/(α + σ),
/// v = (x_t − x̂0)/t. Losses, samplers and the few-step stage then know one process, whatever the model was trained for.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameterisation {
    config: SchedulerConfig,
    conditioning: Conditioning,
    shared_noise: f64,
}

/// How the network is conditioned on time.
#[derive(Clone, Debug, PartialEq)]
enum Conditioning {
    /// This many times t, the model being a flow.
    Time(f32),
    /// The training timestep with the same σ/α, between two by the logarithm.
    Timestep { sigmas: Vec<f32>, most: f32 },
    /// ¼·log σ (Karras et al. 2022, table 1).
    LogSigma { most: f32 },
}

/// The change of variables at one time: the network is given `input`·x_t and `timestep`, and v = `skip`·x_t + `output`·out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// How the network is conditioned on time.
    pub timestep: f32,
    /// Factor of the sample given to the network.
    pub input: f32,
    /// Factor of the sample in the velocity.
    pub skip: f32,
    /// Factor of the network's output in the velocity.
    pub output: f32,
}

impl Default for Parameterisation {
    /// A flow conditioned on 1000·t.
    fn default() -> Self {
        Self { config: SchedulerConfig::flow(1.0), conditioning: Conditioning::Time(1000.0), shared_noise: 0.0 }
    }
}

impl Parameterisation {
    /// That of a model with this scheduler.
    pub fn new(config: SchedulerConfig) -> Result<Self, SchedulerError> {
        let conditioning = match (&config.settings, config.diffusion()) {
            (Settings::FlowMatchEuler(flow), _) => Conditioning::Time(flow.train as f32),
            (Settings::DpmSolver(solver), Some(diffusion)) if solver.flow_shift.is_some() => {
                if diffusion.prediction != Prediction::Flow {
                    return Err(flow_error(
                        &config,
                        "use_flow_sigmas goes with prediction_type = \"flow_prediction\"",
                    ));
                }
                Conditioning::Time(diffusion.train() as f32)
            }
            (Settings::Euler(euler), Some(_)) if euler.told_log_sigma => {
                // The levels of such a model are its config's, not a table's.
                let (_, largest) = euler.sigmas.ends().ok_or_else(|| {
                    flow_error(&config, "timestep_type = \"continuous\" needs sigma_min and sigma_max")
                })?;
                Conditioning::LogSigma { most: (largest / (1.0 + largest)) as f32 }
            }
            (_, Some(diffusion)) => {
                let sigmas = diffusion.sigmas();
                let last = sigmas.last().copied().unwrap_or(0.0);
                let most = if last.is_finite() { last / (1.0 + last) } else { 1.0 };
                if diffusion.prediction == Prediction::Flow {
                    return Err(flow_error(
                        &config,
                        "prediction_type = \"flow_prediction\" goes with use_flow_sigmas",
                    ));
                }
                if diffusion.prediction == Prediction::Epsilon && last > LARGEST_EPSILON {
                    let message = "its last noise level holds no data, where noise alone shows nothing of it; a model with \
                                   rescale_betas_zero_snr has prediction_type = \"v_prediction\"";
                    return Err(flow_error(&config, message));
                }
                Conditioning::Timestep { sigmas, most }
            }
            (_, None) => Conditioning::Time(1000.0),
        };
        Ok(Self { config, conditioning, shared_noise: 0.0 })
    }

    /// With noise of which the frames of a clip have this fraction of the variance, 0 to 1, in common.
    pub fn sharing_noise(self, fraction: f64) -> Self {
        Self { shared_noise: fraction, ..self }
    }

    /// Fraction of the noise's variance that the frames of a clip have in common.
    pub fn shared_noise(&self) -> f64 {
        self.shared_noise
    }

    /// The scheduler's config that it was made of.
    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    /// Whether the model is a flow already, so that nothing changes but the scale of time.
    pub fn is_flow(&self) -> bool {
        matches!(self.conditioning, Conditioning::Time(_))
    }

    /// The largest time that the model knows, 1 for flows.
    pub fn most(&self) -> f32 {
        match self.conditioning {
            Conditioning::Time(_) => 1.0,
            Conditioning::Timestep { most, .. } | Conditioning::LogSigma { most } => most,
        }
    }

    /// A time of the unit interval brought into the model's range.
    pub fn time(&self, t: f32) -> f32 {
        t * self.most()
    }

    /// A sampler's times, from the largest that the model knows to 0.
    pub fn times(&self, steps: usize, shift: f32) -> Vec<f32> {
        euler_times(steps, shift).into_iter().map(|t| self.time(t)).collect()
    }

    /// The change of variables at a time above 0 of the model's range.
    ///
    /// With s = α + σ = 1/√((1 − t)² + t²) and x_vp = s·x_t:
    /// ε̂: x̂0 = (x_t − t·ε̂)/(1 − t), v = (ε̂ − x_t)/(1 − t);
    /// v̂: x̂0 = α·x_vp − σ·v̂, v = (2t − 1)·s²·x_t + s·v̂;
    /// x̂0: v = (x_t − x̂0)/t.
    pub fn at(&self, t: f32) -> Level {
        let timestep = match &self.conditioning {
            Conditioning::Time(scale) => return Level { timestep: t * scale, input: 1.0, skip: 0.0, output: 1.0 },
            Conditioning::Timestep { sigmas, .. } => timestep(sigmas, t),
            Conditioning::LogSigma { .. } => (0.25 * (f64::from(t) / (1.0 - f64::from(t))).ln()) as f32,
        };
        let t = f64::from(t);
        let rest = 1.0 - t;
        let scale = 1.0 / (rest * rest + t * t).sqrt();
        let (skip, output) = match self.config.prediction() {
            Prediction::Epsilon => (-1.0 / rest, 1.0 / rest),
            Prediction::Velocity => ((2.0 * t - 1.0) * scale * scale, scale),
            Prediction::Sample => (1.0 / t, -1.0 / t),
            Prediction::Flow => (0.0, 1.0),
        };
        Level { timestep, input: scale as f32, skip: skip as f32, output: output as f32 }
    }

    /// The process and how the network is conditioned on time, for people and for exported files.
    pub fn describe(&self) -> String {
        let process = self.describe_process();
        match self.shared_noise {
            0.0 => process,
            fraction => format!(
                "{process}, noise of a frame = sqrt(s) a + sqrt(1 - s) b, a drawn for the clip and b for the frame, s = {fraction}"
            ),
        }
    }

    fn describe_process(&self) -> String {
        match &self.conditioning {
            Conditioning::Time(scale) => format!("rectified flow, timestep = {scale} t"),
            conditioning => {
                let predicts = match self.config.prediction() {
                    Prediction::Epsilon => "epsilon",
                    Prediction::Velocity => "v",
                    Prediction::Sample => "x0",
                    Prediction::Flow => "flow",
                };
                let time = match conditioning {
                    Conditioning::LogSigma { .. } => "timestep = 0.25 ln(sigma)",
                    _ => "timestep = training timestep of sigma / alpha",
                };
                format!("variance preserving diffusion, predicts {predicts}, {time}")
            }
        }
    }
}

/// Above it a level counts as without data.
const LARGEST_EPSILON: f32 = 4000.0;

/// The fractional training timestep of σ/α = t/(1 − t).
fn timestep(sigmas: &[f32], t: f32) -> f32 {
    LevelTable::new(sigmas.to_vec()).timestep(f64::from(t) / (1.0 - f64::from(t))) as f32
}

fn flow_error(config: &SchedulerConfig, message: &str) -> SchedulerError {
    SchedulerError::Flow { class: config.class().name(), message: message.into() }
}
