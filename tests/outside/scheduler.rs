//! A scheduler_config.json, and the steps that it lays out.

use tnas_schedulers::{Plan, SchedulerConfig};

use super::{Parser, message, text};

pub const PARSER: Parser = Parser { name: "scheduler", examples, read, room_bytes: 16 << 20 };

const CLASSES: [&str; 8] = [
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "LCMScheduler",
    "FlowMatchEulerDiscreteScheduler",
];

fn examples() -> Vec<Vec<u8>> {
    let diffusion = r#""beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "prediction_type": "epsilon",
        "num_train_timesteps": 1000"#;
    let flow = r#""num_train_timesteps": 1000, "shift": 3.0"#;
    let config = |class: &str| {
        let options = if class.starts_with("Flow") { flow } else { diffusion };
        format!("{{\"_class_name\": \"{class}\", {options}}}").into_bytes()
    };
    CLASSES.iter().map(|class| config(class)).collect()
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let config = SchedulerConfig::from_json(text(bytes)?).map_err(message)?;
    assert_eq!(SchedulerConfig::from_json(&config.to_json()).map_err(message)?.to_json(), config.to_json());
    config.scheduler(&Plan::new(4)).map(drop).map_err(message)
}
