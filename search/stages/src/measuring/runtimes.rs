//! The list of runtimes, and the settings of a study about them.

use anyhow::Context;
use tnas_graph::RuntimeKind;
use tnas_network::BURN;
use tnas_training::SettingError;

use crate::settings::ProfileSettings;

/// Every runtime of this machine: this program first, then the libraries that are loaded when it runs
/// ([`tnas_export::RUNTIMES`]).
pub fn runtimes() -> impl Iterator<Item = &'static RuntimeKind> {
    const THIS_PROGRAM: &RuntimeKind = &BURN;
    std::iter::once(THIS_PROGRAM).chain(tnas_export::RUNTIMES)
}

/// The runtime and the device that a study names, e.g. `burn@gpu`; the runtime's usual device where it names none.
pub fn parse_target(name: &str) -> anyhow::Result<(&'static RuntimeKind, &str)> {
    let (runtime, device) = name.split_once('@').map_or((name, None), |(runtime, device)| (runtime, Some(device)));
    let kind = runtimes().find(|kind| kind.name == runtime).with_context(|| unknown(runtime))?;
    let device = device.or_else(|| kind.devices.first().copied()).unwrap_or("cpu");
    anyhow::ensure!(
        kind.has_device(device),
        "failed to measure by {name}: {runtime} computes on {}, not on {device}",
        kind.devices.join(", ")
    );
    Ok((kind, device))
}

/// Checks the names in a study's `profile` table. `target` may also be a device whose profile was imported.
pub fn check(settings: &ProfileSettings) -> Result<(), SettingError> {
    for (index, name) in settings.runtimes.iter().enumerate() {
        let wrong = |error| SettingError::new(format!("runtimes.{index}"), format!("= {name:?}: {error}"));
        parse_target(name).map_err(wrong)?;
    }
    for name in settings.libraries.keys() {
        let known = runtimes().any(|kind| kind.name == *name && kind.install.is_some());
        if !known {
            let names: Vec<&str> = runtimes().filter(|kind| kind.install.is_some()).map(|kind| kind.name).collect();
            let names = names.join(", ");
            let reason = format!("is of no runtime with a library; there are {names}");
            return Err(SettingError::new(format!("libraries.{name:?}"), reason));
        }
    }
    Ok(())
}

/// The runtimes by name, a line each.
pub fn help() -> String {
    let line = |kind: &RuntimeKind| {
        let install = kind.install.map_or(String::new(), |command| format!(" ({command})"));
        format!("  {:<26} {}{install}\n", kind.targets().collect::<Vec<_>>().join(", "), kind.help)
    };
    let lines: String = runtimes().map(line).collect();
    format!("Runtimes, for profile.runtimes and profile.target of a study:\n{lines}")
}

fn unknown(runtime: &str) -> String {
    let near = tnas_study::nearest(runtime, runtimes().map(|kind| kind.name));
    let near = near.map_or(String::new(), |name| format!("; did you mean {name}?"));
    let all: Vec<String> = runtimes().flat_map(RuntimeKind::targets).collect();
    format!("failed to find runtime {runtime:?}: there are {}{near}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_kind_and_a_device() {
        let parsed = |name: &'static str| parse_target(name).map(|(kind, device)| (kind.name, device)).unwrap();
        assert_eq!(parsed("burn"), ("burn", "cpu"));
        assert_eq!(parsed("burn@cuda:1"), ("burn", "cuda:1"));
        assert_eq!(parsed("onnxruntime"), ("onnxruntime", "cpu"));
    }

    #[test]
    fn wrong_names_are_errors_with_the_way_out() {
        let message = |name: &str| parse_target(name).unwrap_err().to_string();
        assert!(message("onxruntime").contains("did you mean onnxruntime?"));
        assert!(message("onnxruntime@gpu").contains("onnxruntime computes on cpu, not on gpu"));
        assert!(message("burn@cuda").contains("cuda:N"));
    }

    #[test]
    fn every_runtime_has_a_name_of_its_own_and_a_usual_device() {
        let mut names: Vec<&str> = runtimes().map(|kind| kind.name).collect();
        assert!(runtimes().all(|kind| kind.has_device(kind.devices[0])));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn only_runtimes_with_a_library_take_one() {
        let with = |name: &str| {
            let libraries = [(name.to_string(), "here".into())].into();
            check(&ProfileSettings { libraries, ..ProfileSettings::default() })
        };
        assert_eq!(with("onnxruntime"), Ok(()));
        assert!(with("burn").unwrap_err().to_string().contains("onnxruntime"));
    }
}
