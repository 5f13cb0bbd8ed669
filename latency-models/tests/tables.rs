use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use tnas_latency::tables::{Asked, Operators, Protocol, Report, Table, TableError, TablePredictor, learn, run};

/// A folder with a table and what describes it.
struct Made {
    folder: tempfile::TempDir,
}

const CARD: &str = r#"
format_version = 1
id = "id"
categorical = ["op#"]
numeric = ["width"]
"#;

impl Made {
    fn new(text: &str, card: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("table.csv"), text).unwrap();
        if let Some(card) = card {
            std::fs::write(folder.path().join("table.toml"), card).unwrap();
        }
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("table.csv")
    }

    fn read(&self) -> Result<Table, TableError> {
        Table::read(&self.path())
    }

    fn message(&self) -> String {
        self.read().unwrap_err().to_string()
    }
}

/// Milliseconds of five operations and a width on a device that weighs them its own way.
fn device_ms(ops: [usize; 5], width: f64, device: usize) -> f64 {
    let cost = [[0.2, 1.0, 2.0, 4.0], [0.1, 2.0, 2.5, 3.0], [0.3, 1.2, 1.0, 5.0], [0.2, 1.5, 2.2, 3.6]];
    let place = [1.0, 0.8, 1.3, 0.5, 1.1];
    let sum: f64 = ops.iter().enumerate().map(|(slot, &op)| place[slot] * cost[device][op]).sum();
    (3.0 + sum) * (1.0 + 0.1 * device as f64) + 0.02 * width
}

/// Rows of a small space, all different, with noise of 1 % that repeats itself; the last device agrees with none.
fn text(rows: usize) -> String {
    let mut text = String::from("id,op0,op1,op2,op3,op4,width,a,b,c,d,odd\n");
    for row in 0..rows {
        let code = row * 389 % 1024;
        let ops = [0, 2, 4, 6, 8].map(|shift| code >> shift & 3);
        let width = 16.0 + (row * 7 % 5) as f64;
        write!(text, "{row},{},{},{},{},{},{width}", ops[0], ops[1], ops[2], ops[3], ops[4]).unwrap();
        for device in 0..4 {
            let noise = 1.0 + 0.01 * ((row * (31 + device) % 17) as f64 / 8.0 - 1.0);
            write!(text, ",{}", device_ms(ops, width, device) * noise).unwrap();
        }
        writeln!(text, ",{}", 1.0 + (row * 7919 % 101) as f64).unwrap();
    }
    text
}

fn asked(sources: &[&str], targets: &[&str], measurements: usize) -> Asked {
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_string()).collect());
    Asked {
        sources: names(sources).filter(|names: &Vec<String>| !names.is_empty()),
        targets: names(targets),
        measurements: Some(measurements),
        train_rows: Some("0..300".into()),
        test_rows: Some("300..".into()),
        seeds: 3,
        trim: 0.1,
        ..Asked::default()
    }
}

fn report(asked: &Asked) -> Report {
    let table = Made::new(&text(400), Some(CARD)).read().unwrap();
    run(&table, &Protocol::new(&table, asked).unwrap()).unwrap()
}

#[test]
fn sources_make_few_measurements_go_further() {
    let (alone, transferred) = (report(&asked(&[], &["d"], 10)), report(&asked(&["a", "b", "c"], &["d"], 10)));
    assert!(transferred.mean.all.mape < 0.75 * alone.mean.all.mape, "{:?} {:?}", transferred.mean, alone.mean);
    assert!(transferred.mean.all.spearman > 0.97, "{:?}", transferred.mean);
    let linear = transferred.mean_linear_fit.unwrap();
    assert!(transferred.mean.all.mape < linear.all.mape, "{linear:?}");
    assert_eq!(transferred.devices["d"].similar_source, Some(1.0));
}

#[test]
fn more_measurements_are_no_worse_and_intervals_hold() {
    let (few, many) = (report(&asked(&["a", "b"], &["c", "d"], 10)), report(&asked(&["a", "b"], &["c", "d"], 150)));
    assert!(many.mean.all.mape < few.mean.all.mape, "{:?} {:?}", few.mean, many.mean);
    let held = many.mean.all.coverage_90.unwrap();
    assert!((0.84..=0.97).contains(&held), "{held}");
}

#[test]
fn a_device_like_no_other_is_said_to_be_so() {
    let found = report(&asked(&["a", "b"], &["odd"], 30));
    assert_eq!(found.devices["odd"].similar_source, Some(0.0));
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_the_file_predicts_the_same() {
    let table = Made::new(&text(400), Some(CARD)).read().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for asked in [asked(&["a", "b"], &["d"], 20), asked(&[], &["d"], 60)] {
        let protocol = Protocol::new(&table, &asked).unwrap();
        let save = |name: &str| {
            let predictor = learn(&table, &protocol, "d", 4).unwrap();
            let path = folder.path().join(name);
            predictor.save(&path).unwrap();
            (predictor, path)
        };
        let ((first, path), (_, other)) = (save("one.json"), save("two.json"));
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(other).unwrap());
        let read = TablePredictor::read(&path).unwrap();
        let rows: Vec<Vec<f64>> = vec![vec![0.0, 1.0, 2.0, 3.0, 0.0, 17.0], vec![3.0, 3.0, 0.0, 1.0, 2.0, 20.0]];
        assert_eq!(read.predict_ms(&rows), first.predict_ms(&rows));
        assert!((read.predict_ms(&rows)[0] / device_ms([0, 1, 2, 3, 0], 17.0, 3) - 1.0).abs() < 0.15);
    }
    std::fs::write(folder.path().join("one.json"), "{}").unwrap();
    assert!(TablePredictor::read(&folder.path().join("one.json")).is_err());
}

#[test]
fn drift_is_followed_where_rows_stand_in_the_order_of_measurement() {
    // From row 200 on the device is a third slower.
    let mut slowed = String::from("id,op0,op1,op2,op3,op4,width,d\n");
    for row in 0..400 {
        let code = row * 389 % 1024;
        let ops = [0, 2, 4, 6, 8].map(|shift| code >> shift & 3);
        let ms = device_ms(ops, 16.0, 0) * if row < 200 { 1.0 } else { 1.3 };
        let width = 16 + row % 2;
        writeln!(slowed, "{row},{},{},{},{},{},{width},{ms}", ops[0], ops[1], ops[2], ops[3], ops[4]).unwrap();
    }
    let found = |card: String| {
        let table = Made::new(&slowed, Some(&card)).read().unwrap();
        run(&table, &Protocol::new(&table, &asked(&[], &["d"], 60)).unwrap()).unwrap()
    };
    let (followed, not) = (found(format!("{CARD}in_order = true\n")), found(CARD.into()));
    let (followed_mape, mape) = (followed.mean.all.mape, not.mean.all.mape);
    assert!(followed_mape < 0.06 && mape > 0.1, "{followed_mape} {mape}");
    // With the speed of the rows around each known, next to nothing is left; where rows have no order, nothing is said.
    let known = followed.mean_drift_known.unwrap().all;
    assert!(known.mape < 0.01 && known.mape < followed_mape && known.coverage_90.unwrap() > 0.84, "{known:?}");
    assert!(not.mean_drift_known.is_none());
}

#[test]
fn tables_that_are_none_are_refused_with_their_place() {
    let good = text(20);
    let lines: Vec<&str> = good.lines().collect();
    let with = |index: usize, line: &str| {
        let mut lines = lines.clone();
        lines[index] = line;
        Made::new(&lines.join("\n"), Some(CARD)).message()
    };
    for (value, expected) in
        [("NaN", "no number"), ("-3", "-3 ms"), ("0", "0 ms"), ("inf", "no number"), ("", "no number")]
    {
        let line = format!("4,1,2,3,0,1,16,{value},1,1,1,1");
        let message = with(5, &line);
        assert!(message.contains("line 6") && message.contains(expected), "{value}: {message}");
    }
    assert!(with(5, lines[4]).contains("repeats line 5"));
    assert!(with(5, "3,1,2,3,0,1,16,1,1,1,1,1").contains("id 3 stands in line 5 too"));
    assert!(with(5, "4,1,2").contains("line"));
    assert!(with(0, "id,op0,op0,op2,op3,op4,width,a,b,c,d,odd").contains("op0 stands there twice"));
    assert!(with(0, "id,x,y,z,u,v,width,a,b,c,d,odd").contains("no column op#"));
    assert!(Made::new("", Some(CARD)).message().contains("empty"));
    assert!(Made::new(&lines[..2].join("\n"), Some(CARD)).message().contains("1 rows"));
    assert!(Made::new("\u{0}\u{1}garbage", Some(CARD)).read().is_err());
    assert!(Made::new(&good, None).message().contains("no known set"));
    assert!(Made::new(&good, Some("format_version = 9")).message().contains("format_version = 9"));
    assert!(Made::new(&good, Some("format_version = 1\nwrong = 2")).message().contains("wrong"));
    assert!(Table::read(Path::new("not/there.csv")).is_err());
}

#[test]
fn protocols_that_cannot_be_followed_are_refused() {
    let table = Made::new(&text(100), Some(CARD)).read().unwrap();
    let refused = |change: &dyn Fn(&mut Asked)| {
        let mut asked =
            Asked { train_rows: Some("0..80".into()), test_rows: Some("80..".into()), ..asked(&["a"], &["b"], 20) };
        change(&mut asked);
        Protocol::new(&table, &asked).unwrap_err().to_string()
    };
    assert!(refused(&|asked| asked.targets = Some(vec!["nobody".into()])).contains("nobody"));
    assert!(refused(&|asked| asked.targets = Some(vec!["a".into()])).contains("a source and a target"));
    assert!(refused(&|asked| asked.targets = Some(vec!["b".into(), "b".into()])).contains("twice"));
    assert!(refused(&|asked| asked.train_rows = Some("0..90".into())).contains("row 80"));
    assert!(refused(&|asked| asked.test_rows = Some("80..101".into())).contains("0..100"));
    assert!(refused(&|asked| asked.measurements = Some(81)).contains("81 are needed"));
    assert!(refused(&|asked| asked.measurements = Some(2)).contains("at least 5"));
    assert!(refused(&|asked| asked.seeds = 0).contains("seeds"));
    assert!(refused(&|asked| asked.trim = 0.5).contains("trim"));
    assert!(refused(&|asked| asked.protocol = Some("other".into())).contains("no protocol other"));
}

/// A published set, or `None` with a line that says so.
fn shared(set: &str) -> Option<PathBuf> {
    tnas_testing::shared(&format!("data/latency/{set}"))
}

/// One seed of what the sets' protocols ask for; the figures are those of the release build, less a margin.
#[test]
fn published_sets_reach_their_figures() {
    for (set, name, trimmed, all) in [
        ("help_nb201", "published", 0.94, 0.96),
        ("help_fbnet", "published", 0.93, 0.96),
        ("help_fbnet", "f1", 0.82, 0.86),
    ] {
        let Some(path) = shared(set) else { continue };
        let table = Table::read(&path).unwrap();
        let asked = Asked { protocol: Some(name.into()), seeds: 1, trim: 0.1, ..Asked::default() };
        let mean = run(&table, &Protocol::new(&table, &asked).unwrap()).unwrap().mean;
        assert!(mean.trimmed.spearman > trimmed && mean.all.spearman > all, "{set} {name} {mean:?}");
    }
    let Some(path) = shared("hat") else { return };
    let table = Table::read(&path).unwrap();
    let asked = Asked {
        train_rows: Some("0..1280".into()),
        test_rows: Some("1280..1600".into()),
        seeds: 1,
        ..asked(&[], &["wmt14enfr_cpu_raspberrypi_all"], 100)
    };
    let mean = run(&table, &Protocol::new(&table, &asked).unwrap()).unwrap().mean.all;
    assert!(mean.mape < 0.009 && mean.within_10pct == 1.0, "{mean:?}");
}

#[test]
fn operations_of_cards_are_read_where_they_are() {
    let Some(path) = shared("neusight") else { return };
    assert!(Operators::are_in(&path));
    let operators = Operators::read(&path).unwrap();
    assert_eq!(operators.sources().len(), 5);
    assert!(operators.published["NeuSight"]["out/FC"] > 0.1);
}
