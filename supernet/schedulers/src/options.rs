//! Options by name: each is read once, and those that were not read are refused.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::SchedulerError;

/// Options that schedulers of this family read. Configs carry those of the class that they were saved from; a class that
/// does not read one leaves it without effect, which is right unless it is a switch that was turned on.
const FAMILY: &[&str] = &[
    "algorithm_type",
    "beta_end",
    "beta_schedule",
    "beta_start",
    "clip_sample",
    "clip_sample_range",
    "dynamic_thresholding_ratio",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "interpolation_type",
    "lambda_min_clipped",
    "lower_order_final",
    "original_inference_steps",
    "prediction_type",
    "rescale_betas_zero_snr",
    "sample_max_value",
    "set_alpha_to_one",
    "sigma_max",
    "sigma_min",
    "skip_prk_steps",
    "solver_order",
    "solver_type",
    "steps_offset",
    "thresholding",
    "timestep_scaling",
    "timestep_spacing",
    "timestep_type",
    "trained_betas",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_flow_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
    "variance_type",
];

/// Switches of solvers that mean nothing to another one.
const HARMLESS: &[&str] = &["set_alpha_to_one", "skip_prk_steps", "lower_order_final", "euler_at_final"];

/// Far beyond the timesteps that any model was trained on.
const MOST: usize = 1 << 16;

/// Options that are still to be read.
pub(crate) struct Options {
    class: String,
    map: Map<String, Value>,
}

impl Options {
    pub fn new(class: &str, map: Map<String, Value>) -> Self {
        Self { class: class.into(), map }
    }

    /// Takes an option; missing and null are `None`.
    pub fn take<T: DeserializeOwned>(&mut self, option: &str) -> Result<Option<T>, SchedulerError> {
        let Some(value) = self.map.remove(option).filter(|value| !value.is_null()) else { return Ok(None) };
        let text = value.to_string();
        serde_json::from_value(value).map(Some).map_err(|error| self.wrong(format!("{option} = {text}: {error}")))
    }

    /// Takes an option with a default.
    pub fn get<T: DeserializeOwned>(&mut self, option: &str, default: T) -> Result<T, SchedulerError> {
        Ok(self.take(option)?.unwrap_or(default))
    }

    /// A number, which may be written `Infinity` and `-Infinity`.
    pub fn number(&mut self, option: &str) -> Result<Option<f64>, SchedulerError> {
        match self.map.get(option).and_then(Value::as_str) {
            Some(text @ ("Infinity" | "-Infinity")) => {
                let number = if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY };
                self.map.remove(option);
                Ok(Some(number))
            }
            _ => self.take(option),
        }
    }

    /// One of a few words.
    pub fn word<T: Copy>(&mut self, option: &str, words: &[(&str, T)], default: T) -> Result<T, SchedulerError> {
        let Some(word) = self.take::<String>(option)? else { return Ok(default) };
        let found = words.iter().find(|(known, _)| *known == word).map(|&(_, value)| value);
        found.ok_or_else(|| {
            let known: Vec<&str> = words.iter().map(|&(known, _)| known).collect();
            self.unsupported(option, &word, &known.join(", "))
        })
    }

    /// An integer that must be at least 1, and no larger than what tables can be made for.
    pub fn count(&mut self, option: &str, default: usize) -> Result<usize, SchedulerError> {
        match self.get(option, default)? {
            0 => Err(self.wrong(format!("{option} = 0 must be at least 1"))),
            count if count > MOST => Err(self.wrong(format!("{option} = {count}; {MOST} are the most"))),
            count => Ok(count),
        }
    }

    /// Refuses by name what was not taken, unless it belongs to a sibling and changes nothing here.
    pub fn finish(self) -> Result<(), SchedulerError> {
        for (option, value) in &self.map {
            let sibling = FAMILY.contains(&option.as_str());
            let on = *value == Value::Bool(true) && !HARMLESS.contains(&option.as_str());
            if option.starts_with('_') || value.is_null() || (sibling && !on) {
                continue;
            }
            let hint = if sibling { "; this scheduler does not read it" } else { "; no scheduler reads it" };
            return Err(self.refuse(option, &value.to_string(), hint.into()));
        }
        Ok(())
    }

    /// The same for arguments of a call, which have no siblings.
    pub fn finish_call(self, taken: &str) -> Result<(), SchedulerError> {
        match self.map.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((option, value)) => {
                let hint = if taken.is_empty() { "; nothing is taken".into() } else { format!("; taken: {taken}") };
                Err(self.refuse(option, &value.to_string(), hint))
            }
        }
    }

    pub fn wrong(&self, message: String) -> SchedulerError {
        SchedulerError::Config { class: self.class.clone(), message }
    }

    pub fn unsupported(&self, option: &str, value: &str, supported: &str) -> SchedulerError {
        self.refuse(option, &format!("{value:?}"), format!("; supported: {supported}"))
    }

    pub fn refuse(&self, option: &str, value: &str, hint: String) -> SchedulerError {
        SchedulerError::Unsupported { class: self.class.clone(), option: option.into(), value: value.into(), hint }
    }
}

/// JSON as Python writes it: `Infinity`, `-Infinity` and `NaN` outside of strings become strings.
pub(crate) fn quote_infinities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(first) = rest.chars().next() {
        let word = ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = word {
            out.push('"');
            out.push_str(word);
            out.push('"');
            rest = &rest[word.len()..];
            continue;
        }
        let mut length = first.len_utf8();
        if first == '"' {
            quoted = !quoted;
        } else if first == '\\' && quoted {
            length += rest[length..].chars().next().map_or(0, char::len_utf8);
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_outside_of_strings_are_quoted() {
        let text = r#"{"a\"-Infinity": -Infinity, "b": [NaN, 1], "é": "Infinity"}"#;
        let value: Value = serde_json::from_str(&quote_infinities(text)).unwrap();
        assert_eq!(value, serde_json::json!({"a\"-Infinity": "-Infinity", "b": ["NaN", 1], "é": "Infinity"}));
    }

    #[test]
    fn what_is_not_taken_is_refused_by_name() {
        let options = |json| Options::new("X", serde_json::from_str(json).unwrap());
        assert!(options(r#"{"_x": 1, "clip_sample": false, "skip_prk_steps": true, "y": null}"#).finish().is_ok());
        for json in [r#"{"clip_sample": true}"#, r#"{"bet_start": 0.1}"#] {
            let error = options(json).finish().unwrap_err().to_string();
            assert!(error.contains("clip_sample = true") || error.contains("bet_start = 0.1"), "{error}");
        }
    }
}
