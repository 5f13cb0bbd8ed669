//! Small records for tests.

use serde_json::{Value, json};
use tnas_record::{FrontRow, SearchCandidate, SearchCandidates};

use crate::RunRecord;

fn spread(x: f64) -> Value {
    json!({"estimate": x, "standard_error": 0.1, "low": x - 0.2, "high": x + 0.2})
}

fn arm(name: &str, x: f64, copies: bool) -> Value {
    json!({
        "arm": name, "settings": {"kind": "real"}, "clips": 64, "seeds": 1, "mean_frame_difference": 0.1,
        "warp_error": 0.1, "minus_first": {"kernel_mmd": spread(0.0)},
        "metrics": {"kernel_mmd": spread(x), "frechet": spread(x), "accuracy/action": spread(0.9)},
        "memorisation": {
            "median": 1.0, "held_out_median": 2.0, "ratio": 0.5, "copies": copies, "below_1st": 0.9,
            "below_1st_interval": [0.8, 1.0], "below_5th": 0.9, "below_5th_interval": [0.8, 1.0],
        },
    })
}

/// A run that was evaluated: one arm that copies training clips, one control.
pub(crate) fn evaluated() -> RunRecord {
    let evaluation = json!({
        "format_version": 3, "clips": 64, "reference": {"clips": 64, "of": "held-out clips"}, "resamples": 100,
        "evaluator": {
            "hash": "a1", "evaluator_sha256": "abc", "training_split_sha256": "def", "training_clips": 200, "features": 64,
            "labels": [["action", ["rise", "fall"]]], "settings": {},
            "network": {"size": 16, "frames": 8, "width": 8, "classes": [2]},
        },
        "seeds": [0], "warnings": ["few <clips>"], "floor": arm("real", 0.0, false), "held_out": null, "before_autoencoder": null,
        "arms": [arm("4 steps", 1.5, true)], "controls": [arm("real, frozen", 9.0, false)],
        "few_steps": [{
            "steps": 4, "gap": spread(2.0), "beyond_2_errors": true,
            "students": [{"arm": "student", "won": spread(1.6), "closed": spread(0.8)}],
        }],
        "fitness": [{"metric": "accuracy/action", "fit": false, "blind_to": ["real, frozen"]}], "differences": [],
    });
    RunRecord { evaluation: Some(serde_json::from_value(evaluation).unwrap()), ..RunRecord::default() }
}

/// The same run with two candidates, both on the front.
pub(crate) fn searched() -> RunRecord {
    let values = |loss: f64, ms: f64| [("loss".to_owned(), loss), ("latency_ms".to_owned(), ms)].into();
    let candidate = |arch_id: &str, genotype: &str, loss, ms| SearchCandidate {
        arch_id: arch_id.into(),
        genotype: genotype.into(),
        generation: 0,
        objectives: values(loss, ms),
        feasible: true,
    };
    let rows = vec![
        candidate("0a", "in=none;mid.0.r=none", 0.5, 10.0),
        candidate("0b", "in=none;mid.0.r=conv1d(k=3)", 0.4, 12.0),
    ];
    let member = |(place, row): (usize, &SearchCandidate)| FrontRow {
        arch_id: row.arch_id.clone(),
        genotype: row.genotype.clone(),
        objectives: row.objectives.clone(),
        measured: [("latency_ms".to_owned(), 11.0)].into(),
        parameters: 1000,
        macs: 2_000_000,
        peak_activation_bytes: 4096,
        winner: place == 1,
    };
    let front = tnas_record::Front { rows: rows.iter().enumerate().map(member).collect(), ..Default::default() };
    let search = json!({
        "evaluated": 3, "feasible": 2, "front": 2, "generations": 1, "stop_reason": {"generation_limit": 1},
        "limits": {"latency_ms": 20.0},
        "slots": [{"slot": "in", "level": 0, "channels": 8}, {"slot": "mid.0.r", "level": 1, "channels": 16}],
    });
    let mut record = evaluated();
    record.name = "small & <quick>".into();
    record.candidates = Some(SearchCandidates { rows, ..SearchCandidates::default() });
    record.front = Some(front);
    record.figures.search = Some(serde_json::from_value(search).unwrap());
    record
}
