//! The stages of a study, in the order in which `run` does them.

use serde_json::Value;

use crate::{
    backbone, distill, evaluator, export, finetune, front, hypervolume, latency, profile, report, samples, search,
    supernet, workbench::Workbench,
};

/// A stage of `run`.
pub struct Entry {
    /// Name of its figures and of its line on the terminal.
    pub name: &'static str,
    /// Command that brings it up to date alone; stages of one command run together, in their order.
    pub command: &'static str,
    /// What it does, in one sentence.
    pub help: &'static str,
    /// Brings it up to date, and gives its figures.
    pub run: fn(&Workbench) -> anyhow::Result<Value>,
}

/// Every stage of `run`. To add one, write its file and its entry here: `run`, its command, their help and the order follow.
pub const STAGES: &[Entry] = &[
    Entry {
        name: "backbone",
        command: "backbone",
        help: "train the image model, or copy the study's into the run",
        run: |bench| value(backbone::backbone(bench)),
    },
    Entry {
        name: "supernet",
        command: "supernet train",
        help: "train every choice of the search space in one set of shared weights",
        run: |bench| value(supernet::supernet(bench)),
    },
    Entry {
        name: "profile",
        command: "profile",
        help: "measure architectures on this machine, by each runtime of the study",
        run: |bench| value(profile::profile(bench)),
    },
    Entry {
        name: "latency",
        command: "latency fit",
        help: "fit the latency predictor of the target device",
        run: |bench| value(latency::latency(bench)),
    },
    Entry {
        name: "search",
        command: "search",
        help: "search the trade-off of the study's objectives within its limits",
        run: |bench| value(search::search(bench)),
    },
    Entry {
        name: "hypervolume",
        command: "search",
        help: "take the hypervolume of the archive after each generation",
        run: |bench| value(hypervolume::hypervolume(bench)),
    },
    Entry {
        name: "front",
        command: "search",
        help: "measure the Pareto front again, and pick the winner",
        run: |bench| value(front::front(bench)),
    },
    Entry {
        name: "finetune",
        command: "finetune",
        help: "train the winner, and what it is compared with",
        run: |bench| value(finetune::finetune(bench, &front::winner(bench)?)),
    },
    Entry {
        name: "distill",
        command: "distill",
        help: "fine-tune the winner to few denoising steps",
        run: |bench| value(distill::distill(bench, &front::winner(bench)?)),
    },
    Entry {
        name: "evaluator",
        command: "evaluator train",
        help: "train the classifier that evaluates clips",
        run: |bench| value(evaluator::evaluator(bench)),
    },
    Entry {
        name: "samples",
        command: "samples",
        help: "sample clips in many and in few steps, and evaluate them",
        run: |bench| value(samples::samples(bench)),
    },
    Entry {
        name: "export",
        command: "export",
        help: "write the winner for other runtimes, and verify the files",
        run: |bench| value(export::export(bench, &front::winner(bench)?)),
    },
    Entry {
        name: "report",
        command: "report",
        help: "draw what the stages recorded",
        run: |bench| value(report::report(&bench.run, &bench.study)),
    },
];

fn value(figures: anyhow::Result<impl serde::Serialize>) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(figures?)?)
}
