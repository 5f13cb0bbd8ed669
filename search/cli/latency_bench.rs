//! `tnas latency bench`: the latency predictor on published measurements.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tnas_latency::tables::{Asked, Both, Figures, Operators, Protocol, PublishedFigure, Report, Table, learn, run};

use crate::print::{self, table::table};

/// A table of latencies and who learns from whom.
#[derive(Args, Clone)]
pub struct LatencyBenchArgs {
    /// A CSV file, or a folder of them: architectures by rows, features and devices by columns. A TOML of the same name
    /// next to it describes the columns, unless it is a published set that is known.
    pub set: PathBuf,
    /// A protocol of the set, e.g. published; that one runs where no device and no count is given.
    #[arg(long)]
    pub protocol: Option<String>,
    /// Devices that are known: all their training rows may be used. Without, each target is learned alone.
    #[arg(long, value_delimiter = ',')]
    pub sources: Option<Vec<String>>,
    /// Devices to predict; all others where not given.
    #[arg(long, value_delimiter = ',')]
    pub targets: Option<Vec<String>>,
    /// Training rows of a target that are measured, chosen here; all where not given.
    #[arg(long)]
    pub measurements: Option<usize>,
    /// Rows to learn from, e.g. 0..4000, ..80% or 0..10,20..30.
    #[arg(long)]
    pub train_rows: Option<String>,
    /// Rows to predict.
    #[arg(long)]
    pub test_rows: Option<String>,
    /// Repetitions, each with measurements of its own.
    #[arg(long, default_value_t = 10)]
    pub seeds: usize,
    /// Fraction of the fastest and of the slowest test rows that trimmed figures leave out.
    #[arg(long, default_value_t = 0.1)]
    pub trim: f64,
    /// Folder for the predictor of each target (of the first seed).
    #[arg(long)]
    pub save: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Runs the protocol and prints what came of it.
pub fn bench(args: &LatencyBenchArgs) -> anyhow::Result<()> {
    let asked = Asked {
        protocol: args.protocol.clone(),
        sources: args.sources.clone(),
        targets: args.targets.clone(),
        measurements: args.measurements,
        train_rows: args.train_rows.clone(),
        test_rows: args.test_rows.clone(),
        seeds: args.seeds,
        trim: args.trim,
    };
    if Operators::are_in(&args.set) {
        return operators(args, &asked);
    }
    let table = Table::read(&args.set)?;
    let protocol = Protocol::new(&table, &asked)?;
    let report = run(&table, &protocol)?;
    if let Some(folder) = &args.save {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        for target in &protocol.targets {
            let name = format!("{}.json", target.replace('/', "_"));
            learn(&table, &protocol, target, 0)?.save(&folder.join(name))?;
        }
    }
    if args.json {
        return print::json(
            "latency bench",
            &TableFigures {
                report: &report,
                protocol: ProtocolFigures::of(&protocol),
                published: &table.card.published,
            },
        );
    }
    print_report(&table, &protocol, &report);
    Ok(())
}

/// Figures of a table, as `--json` prints them.
#[derive(Serialize)]
struct TableFigures<'a> {
    #[serde(flatten)]
    report: &'a Report,
    protocol: ProtocolFigures<'a>,
    published: &'a [PublishedFigure],
}

#[derive(Serialize)]
struct ProtocolFigures<'a> {
    sources: &'a [String],
    targets: &'a [String],
    measurements: Option<usize>,
    train_rows: String,
    test_rows: String,
    seeds: usize,
    trim: f64,
}

impl<'a> ProtocolFigures<'a> {
    fn of(protocol: &'a Protocol) -> Self {
        Self {
            sources: &protocol.sources,
            targets: &protocol.targets,
            measurements: protocol.measurements,
            train_rows: protocol.train.to_string(),
            test_rows: protocol.test.to_string(),
            seeds: protocol.seeds,
            trim: protocol.trim,
        }
    }
}

/// Figures of single operations, as `--json` prints them.
#[derive(Serialize)]
struct OperatorFigures<'a> {
    #[serde(flatten)]
    report: &'a Report,
    published: PublishedOperators<'a>,
}

#[derive(Serialize)]
struct PublishedOperators<'a> {
    metric: &'static str,
    in_and_out_of_distribution: &'a BTreeMap<String, BTreeMap<String, f64>>,
}

/// Single operations on graphics cards.
fn operators(args: &LatencyBenchArgs, asked: &Asked) -> anyhow::Result<()> {
    anyhow::ensure!(
        args.save.is_none() && args.protocol.is_none(),
        "failed to use --save or --protocol: not for operations"
    );
    let operators = Operators::read(&args.set)?;
    let report = operators.run(asked)?;
    if args.json {
        let published = PublishedOperators { metric: "mape", in_and_out_of_distribution: &operators.published };
        return print::json("latency bench", &OperatorFigures { report: &report, published });
    }
    let known = args.sources.clone().unwrap_or_else(|| operators.sources());
    println!("{}: operations, learned from {}", args.set.display(), known.join(", "));
    let mut rows = FigureRows::new();
    for (name, device) in &report.devices {
        rows.add(name, &device.ours);
        rows.add_known("linear fit", device.linear_fit.as_ref());
        for (class, figures) in &device.operators {
            rows.add_all(&format!("  {class}"), figures);
        }
    }
    rows.add("mean", &report.mean);
    rows.add_known("linear fit", report.mean_linear_fit.as_ref());
    println!("{}", rows.table);
    for (learner, figures) in &operators.published {
        let figures: Vec<String> =
            figures.iter().map(|(name, mape)| format!("{name} {}", percent(*mape))).collect();
        println!("published MAPE, {learner}, in and out of distribution: {}", figures.join(", "));
    }
    println!(
        "learned in {:.1} s for each card; {:.0} candidates a second",
        report.fit_seconds, report.predictions_per_second
    );
    Ok(())
}

/// Figures of devices and of other predictors of them, on all test rows and without the fastest and the slowest.
struct FigureRows {
    table: comfy_table::Table,
}

impl FigureRows {
    fn new() -> Self {
        let of_all = ["", "MAPE", "±5 %", "±10 %", "Spearman", "Kendall", "held 90"];
        let trimmed = ["trimmed MAPE", "±10 %", "Spearman", "held 90"];
        Self { table: table(&of_all.into_iter().chain(trimmed).map(str::to_owned).collect::<Vec<_>>()) }
    }

    fn add(&mut self, name: &str, Both { all, trimmed }: &Both) {
        let mut row = of_all(name, all);
        row.extend([
            percent(trimmed.mape),
            percent(trimmed.within_10pct),
            format!("{:.3}", trimmed.spearman),
            held(trimmed),
        ]);
        self.table.add_row(row);
    }

    /// Another predictor of the device above, where there is one.
    fn add_known(&mut self, name: &str, both: Option<&Both>) {
        if let Some(both) = both {
            self.add(&format!("  {name}"), both);
        }
    }

    fn add_all(&mut self, name: &str, figures: &Figures) {
        self.table.add_row(of_all(name, figures));
    }
}

fn of_all(name: &str, figures: &Figures) -> Vec<String> {
    vec![
        name.into(),
        percent(figures.mape),
        percent(figures.within_5pct),
        percent(figures.within_10pct),
        format!("{:.3}", figures.spearman),
        format!("{:.3}", figures.kendall),
        held(figures),
    ]
}

fn held(figures: &Figures) -> String {
    figures.coverage_90.map_or_else(|| "–".to_string(), |fraction| format!("{:.1} %", 100.0 * fraction))
}

fn print_report(table: &Table, protocol: &Protocol, report: &Report) {
    let learned = match protocol.sources.as_slice() {
        [] => "each device alone".to_string(),
        sources => format!("from {}", sources.join(", ")),
    };
    let measured = protocol.measurements.map_or_else(|| "all".to_string(), |count| count.to_string());
    println!(
        "{}: {learned}; {measured} of rows {} measured, rows {} predicted, {} seeds",
        table.path.display(),
        protocol.train,
        protocol.test,
        protocol.seeds
    );
    let mut rows = FigureRows::new();
    for (name, device) in &report.devices {
        rows.add(name, &device.ours);
        rows.add_known("linear fit", device.linear_fit.as_ref());
        rows.add_known("all rows", device.all_rows.as_ref());
        rows.add_known("drift known", device.drift_known.as_ref());
    }
    rows.add("mean", &report.mean);
    rows.add_known("linear fit", report.mean_linear_fit.as_ref());
    rows.add_known("all rows", report.mean_all_rows.as_ref());
    rows.add_known("drift known", report.mean_drift_known.as_ref());
    println!("{}", rows.table);
    for (name, device) in &report.devices {
        if let Some(fraction) = device.similar_source.filter(|&fraction| fraction < 1.0) {
            println!(
                "{name}: no similar source in {:.0} % of the seeds: learned alone there",
                100.0 * (1.0 - fraction)
            );
        }
    }
    if report.mean_drift_known.is_some() {
        println!("drift known: each test row predicted from all others, measured before and after it");
    }
    table.card.published.iter().for_each(|figure| published(figure, report));
    println!(
        "learned a target in {:.3} s; {:.0} candidates a second",
        report.fit_seconds, report.predictions_per_second
    );
}

fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// What others report, of the devices that were predicted.
fn published(figure: &PublishedFigure, report: &Report) {
    let of = figure.devices.iter().filter(|(name, _)| report.devices.contains_key(*name));
    let mut parts: Vec<String> = of.map(|(name, value)| format!("{name} {value}")).collect();
    // Its mean is over its own devices, and compares with no other mean.
    if parts.len() == figure.devices.len() {
        parts.extend(figure.mean.map(|mean| format!("mean {mean}")));
    }
    if !parts.is_empty() {
        let trimmed = if figure.trimmed { ", trimmed" } else { "" };
        println!("published: {} ({}{trimmed}): {}", figure.what, figure.metric, parts.join(", "));
    }
}
