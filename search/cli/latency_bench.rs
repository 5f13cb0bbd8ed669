//! `tnas latency bench`: the latency predictor on published measurements.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use tnas_latency::tables::{Asked, Both, Figures, Operators, Protocol, PublishedFigure, Report, Table, learn, run};

/// A table of latencies and who learns from whom.
#[derive(Args, Clone)]
pub struct LatencyBenchArgs {
    /// A CSV file, or a folder of them: architectures by rows, features and devices by columns. What the columns mean is said
    /// by a TOML of the same name beside it, or known of a published set.
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
        println!("{}", to_json(&table, &protocol, &report)?);
    } else {
        print(&table, &protocol, &report);
    }
    Ok(())
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
        let mut json = serde_json::to_value(&report)?;
        json["format_version"] = json!(1);
        json["command"] = json!("latency bench");
        json["published"] = json!({"metric": "mape", "in_and_out_of_distribution": operators.published});
        println!("{json}");
        return Ok(());
    }
    let known = args.sources.clone().unwrap_or_else(|| operators.sources());
    println!("{}: operations, learned from {}", args.set.display(), known.join(", "));
    let wide = report.devices.keys().map(String::len).max().unwrap_or(0).max(12);
    heading(wide);
    for (name, device) in &report.devices {
        line(name, &device.ours, wide);
        if let Some(fit) = &device.linear_fit {
            line("  linear fit", fit, wide);
        }
        for (class, figures) in &device.operators {
            println!(
                "{:wide$}  {:>7} {:>7} {:>7} {:>8.3} {:>8.3} {:>8}",
                format!("  {class}"),
                percent(figures.mape),
                percent(figures.within_5pct),
                percent(figures.within_10pct),
                figures.spearman,
                figures.kendall,
                held(figures)
            );
        }
    }
    line("mean", &report.mean, wide);
    if let Some(fit) = &report.mean_linear_fit {
        line("  linear fit", fit, wide);
    }
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

fn heading(wide: usize) {
    println!(
        "{:wide$}  {:>7} {:>7} {:>7} {:>8} {:>8} {:>8} | trimmed {:>7} {:>7} {:>8} {:>8}",
        "", "MAPE", "±5 %", "±10 %", "Spearman", "Kendall", "held 90", "MAPE", "±10 %", "Spearman", "held 90"
    );
}

fn held(figures: &Figures) -> String {
    figures.coverage_90.map_or_else(|| "–".to_string(), |fraction| format!("{:.1} %", 100.0 * fraction))
}

fn to_json(table: &Table, protocol: &Protocol, report: &Report) -> anyhow::Result<Value> {
    let mut json = serde_json::to_value(report)?;
    json["format_version"] = json!(1);
    json["command"] = json!("latency bench");
    json["protocol"] = json!({
        "sources": protocol.sources, "targets": protocol.targets, "measurements": protocol.measurements,
        "train_rows": protocol.train.to_string(), "test_rows": protocol.test.to_string(),
        "seeds": protocol.seeds, "trim": protocol.trim,
    });
    json["published"] = json!(table.card.published);
    Ok(json)
}

fn print(table: &Table, protocol: &Protocol, report: &Report) {
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
    let wide = report.devices.keys().map(String::len).max().unwrap_or(0).max(12);
    heading(wide);
    for (name, device) in &report.devices {
        line(name, &device.ours, wide);
        if let Some(fit) = &device.linear_fit {
            line("  linear fit", fit, wide);
        }
        if let Some(all) = &device.all_rows {
            line("  all rows", all, wide);
        }
        if let Some(known) = &device.drift_known {
            line("  drift known", known, wide);
        }
        if let Some(fraction) = device.similar_source.filter(|&fraction| fraction < 1.0) {
            println!("  no similar source in {:.0} % of the seeds: learned alone there", 100.0 * (1.0 - fraction));
        }
    }
    line("mean", &report.mean, wide);
    if let Some(fit) = &report.mean_linear_fit {
        line("  linear fit", fit, wide);
    }
    if let Some(all) = &report.mean_all_rows {
        line("  all rows", all, wide);
    }
    if let Some(known) = &report.mean_drift_known {
        line("  drift known", known, wide);
        println!("  drift known: each test row predicted from all others, measured before and after it");
    }
    table.card.published.iter().for_each(|figure| published(figure, report));
    println!(
        "learned a target in {:.3} s; {:.0} candidates a second",
        report.fit_seconds, report.predictions_per_second
    );
}

fn line(name: &str, both: &Both, wide: usize) {
    let Both { all, trimmed } = both;
    println!(
        "{name:wide$}  {:>7} {:>7} {:>7} {:>8.3} {:>8.3} {:>8} |         {:>7} {:>7} {:>8.3} {:>8}",
        percent(all.mape),
        percent(all.within_5pct),
        percent(all.within_10pct),
        all.spearman,
        all.kendall,
        held(all),
        percent(trimmed.mape),
        percent(trimmed.within_10pct),
        trimmed.spearman,
        held(trimmed)
    );
}

fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// What others report, of the devices that were predicted.
fn published(figure: &PublishedFigure, report: &Report) {
    let of = figure.devices.iter().filter(|(name, _)| report.devices.contains_key(*name));
    let mut parts: Vec<String> = of.map(|(name, value)| format!("{name} {value}")).collect();
    // Its mean is over its own devices: beside others it would say nothing.
    if parts.len() == figure.devices.len() {
        parts.extend(figure.mean.map(|mean| format!("mean {mean}")));
    }
    if !parts.is_empty() {
        let trimmed = if figure.trimmed { ", trimmed" } else { "" };
        println!("published: {} ({}{trimmed}): {}", figure.what, figure.metric, parts.join(", "));
    }
}
