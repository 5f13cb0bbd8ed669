//! Runs the predictor on every published case and prints one line per case.
//!
//!     cargo run --release -p tnas-latency --example published_tables -- FOLDER [CASE..]
#![allow(clippy::unwrap_used, reason = "a harness that cannot go on stops")]
use std::path::Path;

use tnas_latency::tables::{Asked, Operators, Protocol, Report, Table, run};

struct Case {
    name: &'static str,
    set: &'static str,
    protocol: Option<&'static str>,
    sources: &'static str,
    targets: &'static str,
    measurements: Option<usize>,
    train_rows: Option<&'static str>,
    test_rows: Option<&'static str>,
}

const FBNET_GPUS: &str = "1080ti_1,1080ti_32,1080ti_64,2080ti_1,2080ti_32,titan_rtx_1,titan_rtx_32,titan_rtx_64,titanx_1,titanx_32,titanx_64,titanxp_1,titanxp_32,titanxp_64";
const NB_GPUS: &str = "1080ti_1,1080ti_256,1080ti_32,2080ti_1,2080ti_32,titan_rtx_256,titan_rtx_32,titanx_1,titanx_256,titanx_32,titanxp_1,titanxp_256";
const NONE: Case = Case {
    name: "",
    set: "",
    protocol: None,
    sources: "",
    targets: "",
    measurements: None,
    train_rows: None,
    test_rows: None,
};

const CASES: &[Case] = &[
    Case { name: "nb201 published", set: "help_nb201", ..NONE },
    Case { name: "fbnet published", set: "help_fbnet", ..NONE },
    Case { name: "fbnet f1", set: "help_fbnet", protocol: Some("f1"), ..NONE },
    Case { name: "ofa published", set: "help_ofa", ..NONE },
    Case {
        name: "hat enfr raspi 100",
        set: "hat/wmt14enfr_cpu_raspberrypi_all.csv",
        measurements: Some(100),
        ..NONE
    },
    Case {
        name: "hat enfr titanxp",
        set: "hat/wmt14enfr_gpu_titanxp_all.csv",
        train_rows: Some("0..1280"),
        test_rows: Some("80%.."),
        ..NONE
    },
    Case { name: "hat all", set: "hat", ..NONE },
    Case { name: "neusight", set: "neusight", ..NONE },
    Case {
        name: "fbnet gpus to cpus, phones",
        set: "help_fbnet",
        sources: FBNET_GPUS,
        targets: "gold_6240,silver_4114,silver_4210r,raspi4,essential_ph_1,pixel3,samsung_a50,samsung_s7",
        measurements: Some(20),
        train_rows: Some("0..4000"),
        test_rows: Some("4000.."),
        ..NONE
    },
    Case {
        name: "fbnet gpus to all others",
        set: "help_fbnet",
        sources: FBNET_GPUS,
        targets: "",
        measurements: Some(20),
        train_rows: Some("0..4000"),
        test_rows: Some("4000.."),
        ..NONE
    },
    Case {
        name: "nb201 gpus to all others",
        set: "help_nb201",
        sources: NB_GPUS,
        targets: "",
        measurements: Some(20),
        train_rows: Some("0..900"),
        test_rows: Some("900..1900"),
        ..NONE
    },
    Case {
        name: "fbnet alone 20",
        set: "help_fbnet",
        targets: "raspi4,fpga,eyeriss,gold_6240,samsung_s7,titanxp_1",
        measurements: Some(20),
        train_rows: Some("0..4000"),
        test_rows: Some("4000.."),
        ..NONE
    },
    Case {
        name: "fbnet alone 300",
        set: "help_fbnet",
        targets: "raspi4,fpga,eyeriss,gold_6240,samsung_s7,titanxp_1",
        measurements: Some(300),
        train_rows: Some("0..4000"),
        test_rows: Some("4000.."),
        ..NONE
    },
    Case {
        name: "nb201 alone 50",
        set: "help_nb201",
        targets: "raspi4,pixel2,fpga,eyeriss,gold_6226,titan_rtx_256",
        measurements: Some(50),
        train_rows: Some("0..900"),
        test_rows: Some("900..1900"),
        ..NONE
    },
];

fn names(list: &str) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.split(',').map(str::to_string).collect())
}

fn show(name: &str, report: &Report, started: std::time::Instant) {
    let line = |name: &str, b: &tnas_latency::tables::Both| {
        println!(
            "{name:30} spearman {:.4} trimmed {:.4}  mape {:.4} trimmed {:.4}  in10 {:.4}  held {:.3}",
            b.all.spearman,
            b.trimmed.spearman,
            b.all.mape,
            b.trimmed.mape,
            b.all.within_10pct,
            b.all.coverage_90.unwrap_or(f64::NAN)
        );
    };
    line(name, &report.mean);
    if let Some(both) = &report.mean_all_rows {
        line("  . all rows", both);
    }
    if let Some(both) = &report.mean_linear_fit {
        line("  . linear fit", both);
    }
    if let Some(both) = &report.mean_drift_known {
        line("  . drift known", both);
    }
    for (device, figures) in &report.devices {
        line(&format!("    {device}"), &figures.ours);
        if std::env::var("AGREE").is_ok() {
            if let Some(both) = &figures.all_rows {
                line("      all rows", both);
            }
            println!("      {:?} similar {:?}", figures.agreement, figures.similar_source);
        }
    }
    println!(
        "  . {:.0} candidates a second, fit {:.3} s, whole {:.1} s",
        report.predictions_per_second,
        report.fit_seconds,
        started.elapsed().as_secs_f64()
    );
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(&args[0]);
    let seeds = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(10);
    for case in CASES.iter().filter(|c| args.len() == 1 || args[1..].iter().any(|a| c.name.contains(a.as_str()))) {
        let started = std::time::Instant::now();
        let asked = Asked {
            protocol: case.protocol.map(str::to_string),
            sources: names(case.sources),
            targets: names(case.targets),
            measurements: case.measurements,
            train_rows: case.train_rows.map(str::to_string),
            test_rows: case.test_rows.map(str::to_string),
            seeds,
            trim: 0.1,
        };
        let set = folder.join(case.set);
        let report = if Operators::are_in(&set) {
            Operators::read(&set).unwrap().run(&asked).unwrap()
        } else {
            let table = Table::read(&set).unwrap();
            run(&table, &Protocol::new(&table, &asked).unwrap()).unwrap()
        };
        show(case.name, &report, started);
    }
}
