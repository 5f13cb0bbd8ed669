//! What holds of every scheduler and of the change of variables.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tnas_schedulers::{Class, Level, Parameterisation, Plan, Sampler, SchedulerConfig, interpolate};

fn config(options: &str) -> SchedulerConfig {
    SchedulerConfig::from_json(options).unwrap()
}

/// Stable Diffusion's noise levels.
fn diffusion(class: &str, more: &str) -> SchedulerConfig {
    config(&format!(
        r#"{{"_class_name": "{class}", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear" {more}}}"#
    ))
}

const PREDICTIONS: [&str; 3] = ["epsilon", "v_prediction", "sample"];

fn ddim(prediction: &str) -> SchedulerConfig {
    diffusion("DDIMScheduler", &format!(r#", "clip_sample": false, "prediction_type": "{prediction}""#))
}

/// Factors of data and noise, √ᾱ and √(1 − ᾱ), of a training timestep.
fn factors(config: &SchedulerConfig, timestep: usize) -> (f32, f32) {
    let alpha = config.alphas_cumprod().unwrap()[timestep];
    (alpha.sqrt(), (1.0 - alpha).sqrt())
}

fn combine(level: Level, x: &[f32], out: &[f32]) -> Vec<f32> {
    x.iter().zip(out).map(|(x, out)| level.skip * x + level.output * out).collect()
}

fn assert_near(a: &[f32], b: &[f32], tolerance: f32, what: &str) {
    let worst = a.iter().zip(b).fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(a.len() == b.len() && worst <= tolerance, "{what}: {a:?} {b:?}");
}

const DATA: [f32; 4] = [0.3, -0.9, 1.4, 0.05];
const NOISE: [f32; 4] = [-1.1, 0.4, 0.7, -0.2];

#[test]
fn the_change_of_variables_inverts() {
    for prediction in PREDICTIONS {
        let config = ddim(prediction);
        let flow = Parameterisation::new(config.clone()).unwrap();
        for timestep in [0, 1, 17, 500, 998, 999] {
            let (signal, noise) = factors(&config, timestep);
            let t = noise / (signal + noise);
            let level = flow.at(t);
            assert!((level.timestep - timestep as f32).abs() < 0.02, "{timestep} {level:?}");
            // x_t of the flow, scaled, is the diffusion's noised data.
            let scaled: Vec<f32> = interpolate(&DATA, &NOISE, t).iter().map(|x| level.input * x).collect();
            let noised: Vec<f32> = DATA.iter().zip(NOISE).map(|(d, e)| signal * d + noise * e).collect();
            assert_near(&scaled, &noised, 1e-5, prediction);
        }
        assert!((flow.most() - 0.936).abs() < 1e-3);
    }
}

#[test]
fn a_perfect_model_of_any_kind_gives_the_velocity_and_the_data() {
    for prediction in PREDICTIONS {
        let config = ddim(prediction);
        let flow = Parameterisation::new(config.clone()).unwrap();
        for timestep in [3, 250, 700, 999] {
            let (signal, noise) = factors(&config, timestep);
            let t = noise / (signal + noise);
            let out: Vec<f32> = match prediction {
                "epsilon" => NOISE.to_vec(),
                "sample" => DATA.to_vec(),
                _ => DATA.iter().zip(NOISE).map(|(d, e)| signal * e - noise * d).collect(),
            };
            let x = interpolate(&DATA, &NOISE, t);
            let v = combine(flow.at(t), &x, &out);
            let velocity: Vec<f32> = DATA.iter().zip(NOISE).map(|(d, e)| e - d).collect();
            assert_near(&v, &velocity, 1e-4, prediction);
            let data: Vec<f32> = x.iter().zip(&v).map(|(x, v)| x - t * v).collect();
            assert_near(&data, &DATA, 1e-4, prediction);
        }
    }
}

/// A denoiser that is linear in what it is given and in time.
fn linear(input: &[f32], timestep: f32) -> Vec<f32> {
    input.iter().map(|x| (0.6 + timestep / 5000.0) * x - 0.1).collect()
}

#[test]
fn ddim_and_euler_are_one_move_along_the_flow() {
    for prediction in PREDICTIONS {
        let config = ddim(prediction);
        let flow = Parameterisation::new(config.clone()).unwrap();
        let mut scheduler = config.scheduler(&Plan::new(20)).unwrap();
        let timesteps = scheduler.timesteps().to_vec();
        let time = |timestep: f32| {
            let (signal, noise) = factors(&config, timestep as usize);
            noise / (signal + noise)
        };
        let mut x: Vec<f32> = NOISE.to_vec();
        // The same noise as the flow has it: x_vp = s·x_t.
        let mut y: Vec<f32> = x.iter().map(|x| x / flow.at(time(timesteps[0])).input).collect();
        for (step, pair) in timesteps.windows(2).enumerate() {
            let out = linear(&x, pair[0]);
            scheduler.step(step, &out, &mut x, &mut Vec::new).unwrap();
            let (t, next) = (time(pair[0]), time(pair[1]));
            let level = flow.at(t);
            let scaled: Vec<f32> = y.iter().map(|y| level.input * y).collect();
            let v = combine(level, &y, &linear(&scaled, pair[0]));
            Sampler::Euler.step(&mut y, &v, t, next, &mut Vec::new);
            let scaled: Vec<f32> = y.iter().map(|y| flow.at(next).input * y).collect();
            assert_near(&x, &scaled, 1e-4, &format!("{prediction} at {step}"));
        }
    }
}

#[test]
fn every_scheduler_keeps_the_point_that_a_perfect_model_points_at() {
    // One datum: the model knows it, so that every way must end there, by noise or without.
    for (class, more) in [
        ("DDIMScheduler", r#", "clip_sample": false"#),
        ("DDPMScheduler", r#", "clip_sample": false"#),
        ("PNDMScheduler", r#", "skip_prk_steps": true, "set_alpha_to_one": true"#),
        ("EulerDiscreteScheduler", ""),
        ("EulerDiscreteScheduler", r#", "use_karras_sigmas": true"#),
        ("EulerAncestralDiscreteScheduler", ""),
        ("DPMSolverMultistepScheduler", ""),
        ("DPMSolverMultistepScheduler", r#", "algorithm_type": "sde-dpmsolver++", "solver_order": 3"#),
        ("LCMScheduler", ""),
    ] {
        let config = diffusion(class, more);
        let flow = Parameterisation::new(config.clone()).unwrap();
        let mut scheduler = config.scheduler(&Plan::new(25)).unwrap();
        let mut x: Vec<f32> = NOISE.iter().map(|e| e * scheduler.init_noise_sigma()).collect();
        for step in 0..scheduler.timesteps().len() {
            let mut input = x.clone();
            scheduler.scale_model_input(step, &mut input);
            // ε̂ = (x_vp − α·x0)/σ at the level that the network is conditioned on.
            let (signal, noise) = factors(&config, scheduler.timesteps()[step].round() as usize);
            let out: Vec<f32> = input.iter().zip(DATA).map(|(x, d)| (x - signal * d) / noise).collect();
            scheduler.step(step, &out, &mut x, &mut || vec![0.3, -1.2, 0.6, 0.9]).unwrap();
        }
        let tolerance = if class.starts_with("PNDM") || more.contains("karras") { 0.2 } else { 0.06 };
        assert_near(&x, &DATA, tolerance, &format!("{class} {more} {}", flow.describe()));
    }
}

#[test]
fn a_flow_stays_as_it_is() {
    let flow = Parameterisation::default();
    for t in [1.0, 0.75, 0.3] {
        assert_eq!(flow.at(t), Level { timestep: 1000.0 * t, input: 1.0, skip: 0.0, output: 1.0 });
        assert_eq!(flow.time(t), t);
    }
    assert_eq!(flow.times(4, 1.0), [1.0, 0.75, 0.5, 0.25, 0.0]);
    assert_eq!(flow.describe(), "rectified flow, timestep = 1000 t");
    // Its scheduler moves as the sampler does.
    let mut scheduler = SchedulerConfig::flow(1.0).scheduler(&Plan::new(4)).unwrap();
    assert_eq!(scheduler.sigmas().unwrap()[0], 1.0);
    let (mut x, mut y) = (NOISE.to_vec(), NOISE.to_vec());
    scheduler.step(0, &DATA, &mut x, &mut Vec::new).unwrap();
    let next = scheduler.sigmas().unwrap()[1];
    Sampler::Euler.step(&mut y, &DATA, 1.0, next, &mut Vec::new);
    assert_eq!(x, y);
}

#[test]
fn a_continuous_model_is_told_the_logarithm() {
    let more = r#", "timestep_type": "continuous", "prediction_type": "v_prediction", "use_karras_sigmas": true,
        "sigma_min": 0.002, "sigma_max": 700.0"#;
    let flow = Parameterisation::new(diffusion("EulerDiscreteScheduler", more)).unwrap();
    assert!((flow.most() - 700.0 / 701.0).abs() < 1e-6);
    assert!((flow.at(0.5).timestep).abs() < 1e-6);
    assert!((flow.at(flow.most()).timestep - 0.25 * 700f32.ln()).abs() < 1e-3);
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    for (json, said) in [
        (r#"{"_class_name": "HeunDiscreteScheduler"}"#, "_class_name = \"HeunDiscreteScheduler\""),
        (r#"{"beta_start": 1}"#, "_class_name is missing"),
        (r#"{"_class_name": "DDIMScheduler", "beta_schedule": "cosine"}"#, "beta_schedule = \"cosine\""),
        (r#"{"_class_name": "DDIMScheduler", "prediction_type": "flow"}"#, "prediction_type = \"flow\""),
        (r#"{"_class_name": "DDIMScheduler", "use_karras_sigmas": true}"#, "use_karras_sigmas = true"),
        (r#"{"_class_name": "DDIMScheduler", "num_train_timesteps": 0}"#, "num_train_timesteps = 0"),
        (r#"{"_class_name": "DDIMScheduler", "beta_end": 2}"#, "between 0 and 1"),
        (r#"{"_class_name": "DDIMScheduler", "trained_betas": [0.1]}"#, "trained_betas has 1"),
        (r#"{"_class_name": "DDIMScheduler", "timestep_space": "x"}"#, "timestep_space = \"x\""),
        (r#"{"_class_name": "DDPMScheduler", "variance_type": "fixed_large_log"}"#, "fixed_large_log"),
        (r#"{"_class_name": "DPMSolverMultistepScheduler", "solver_order": 4}"#, "solver_order = \"4\""),
        (
            r#"{"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"}"#,
            "final_sigmas_type = zero",
        ),
        (
            r#"{"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": true, "use_beta_sigmas": true}"#,
            "cannot both be true",
        ),
    ] {
        let error = SchedulerConfig::from_json(json).unwrap_err().to_string();
        assert!(error.contains(said), "{json}: {error}");
    }
    let plan = |config: &SchedulerConfig, plan: Plan| config.scheduler(&plan).map(|_| ()).unwrap_err().to_string();
    let eps = ddim("epsilon");
    assert!(plan(&eps, Plan::new(0)).contains("0 steps"));
    assert!(plan(&eps, Plan::new(1001)).contains("at most 1000"));
    assert!(plan(&eps, Plan::new(5).with("mu", 1.0)).contains("mu = 1.0"));
    assert!(plan(&eps, Plan::new(5).with_step("s_churn", 1.0)).contains("s_churn = 1.0"));
    let dynamic = config(r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true}"#);
    assert!(plan(&dynamic, Plan::new(5)).contains("needs mu"));
    let empty = diffusion("DDIMScheduler", r#", "rescale_betas_zero_snr": true"#);
    assert!(Parameterisation::new(empty).unwrap_err().to_string().contains("v_prediction"));
    assert!(SchedulerConfig::flow(1.0).converted(Class::Ddim, 1.0).unwrap_err().to_string().contains("dpm++"));
}

#[test]
fn configs_are_written_as_they_were_read() {
    let config = config(r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#);
    assert!(config.to_json().contains("\"lambda_min_clipped\": -Infinity"), "{}", config.to_json());
    assert_eq!(SchedulerConfig::from_json(&config.to_json()).unwrap(), config);
}

#[test]
fn a_published_config_with_options_of_others_is_read() {
    // As Stable Diffusion 1.5 and XL carry them.
    diffusion(
        "PNDMScheduler",
        r#", "skip_prk_steps": true, "steps_offset": 1, "clip_sample": false, "trained_betas": null"#,
    );
    let euler = diffusion(
        "EulerDiscreteScheduler",
        r#", "clip_sample": false, "sample_max_value": 1.0, "set_alpha_to_one": false, "skip_prk_steps": true"#,
    );
    for class in [Class::Ddim, Class::Ddpm, Class::Pndm, Class::EulerAncestral, Class::DpmSolver, Class::Lcm] {
        let other = euler.converted(class, 1.0).unwrap();
        assert_eq!(
            (other.class(), other.alphas_cumprod()),
            (class, euler.alphas_cumprod().map(|_| other.alphas_cumprod().unwrap()))
        );
        assert!((other.alphas_cumprod().unwrap()[500] - euler.alphas_cumprod().unwrap()[500]).abs() < 1e-6);
    }
}
