//! The commands of single stages: the list of stages says how they are called and what they do.

use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches};
use serde_json::{Map, Value};
use tnas_stages::{Entry, STAGES, workbench::Workbench};

use crate::args::{Cli, StudyArgs};

/// Earlier names of commands; they work for one version, with a warning.
const RENAMED: [(&str, &str); 1] = [("judge", "evaluator")];

/// Adds the commands of the stages that have none of their own, and puts all in order: `run`, the stages as they run, the others.
pub fn add(mut program: Command) -> Command {
    for stage in STAGES {
        let (group, leaf) = stage.command.split_once(' ').unwrap_or((stage.command, ""));
        if has(&program, stage.command) {
            continue;
        }
        let about = about(stage.command);
        program = match leaf {
            "" => program.subcommand(StudyArgs::augment_args(Command::new(group)).about(about)),
            _ => {
                let leaf = StudyArgs::augment_args(Command::new(leaf)).about(about.clone());
                if has(&program, group) {
                    program.mut_subcommand(group, |group| group.subcommand(leaf))
                } else {
                    let group = Command::new(group).about(about).subcommand_required(true);
                    program.subcommand(group.arg_required_else_help(true).subcommand(leaf))
                }
            }
        };
    }
    for (old, new) in RENAMED {
        program = program.mut_subcommand(new, |command| command.alias(old));
    }
    let names: Vec<String> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for (place, name) in names.iter().enumerate() {
        let of_stage = STAGES.iter().position(|stage| stage.command.split(' ').next() == Some(name));
        let order = if name == "run" { 0 } else { of_stage.map_or(STAGES.len() + 1 + place, |stage| stage + 1) };
        program = program.mut_subcommand(name, |command| command.display_order(order));
    }
    program
}

/// Whether a program has a command, e.g. `latency fit`.
fn has(program: &Command, command: &str) -> bool {
    let mut words = command.split(' ');
    words.try_fold(program, |program, word| program.find_subcommand(word)).is_some()
}

/// What the stages of a command do, as a sentence.
fn about(command: &str) -> String {
    let stages = STAGES.iter().filter(|stage| stage.command == command);
    let mut text = stages.map(|stage| stage.help).collect::<Vec<_>>().join("; ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// The stages of a command and its study, where it is one that [`add`] added.
pub fn typed(matches: &ArgMatches) -> Option<(Vec<&'static Entry>, StudyArgs)> {
    let (group, of_group) = matches.subcommand()?;
    let (command, of_command) = match of_group.subcommand() {
        Some((leaf, of_leaf)) => (format!("{group} {leaf}"), of_leaf),
        None => (group.to_owned(), of_group),
    };
    let stages: Vec<&Entry> = STAGES.iter().filter(|stage| stage.command == command).collect();
    // Commands with arguments of their own are none that were added.
    if stages.is_empty() || has(&Cli::command(), &command) {
        return None;
    }
    Some((stages, StudyArgs::from_arg_matches(of_command).ok()?))
}

/// The earlier name that a command was typed under, and its name.
pub fn renamed(typed: &str) -> Option<(&'static str, &'static str)> {
    RENAMED.into_iter().find(|(old, _)| *old == typed)
}

/// Brings stages up to date; their figures by name, or those of the only one.
pub fn run(bench: &Workbench, stages: &[&Entry]) -> anyhow::Result<Value> {
    let mut figures = Map::new();
    for stage in stages {
        figures.insert(stage.name.into(), (stage.run)(bench)?);
    }
    Ok(match (stages, figures) {
        ([one], mut figures) => figures.remove(one.name).unwrap_or_default(),
        (_, figures) => Value::Object(figures),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_a_command_and_help_is_in_the_order_of_the_stages() {
        let program = add(Cli::command());
        for stage in STAGES {
            assert!(has(&program, stage.command), "`{}` is no command", stage.command);
        }
        let order = |name: &str| program.find_subcommand(name).map(Command::get_display_order);
        assert!(order("run") < order("backbone") && order("backbone") < order("supernet"));
        assert!(order("samples") < order("export") && order("report") < order("space"));
        program.debug_assert();
    }
}
