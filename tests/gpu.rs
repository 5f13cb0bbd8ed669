//! Graphics adapters. Without one, or built without the feature `wgpu`, these tests are skipped and counted.

use tnas_network::{AdapterKind, adapters};

use crate::{
    backbones::shared,
    smoke::{succeeds, tnas},
};

/// Kinds of the adapters that are found; a skipped test where there is none.
fn kinds() -> Vec<AdapterKind> {
    match adapters() {
        Err(error) => tnas_testing::skip(&error.to_string()),
        Ok(found) if found.is_empty() => {
            tnas_testing::skip("no graphics adapter, not even Mesa's llvmpipe, is found")
        }
        Ok(found) => return found.iter().map(|adapter| adapter.kind).collect(),
    }
    Vec::new()
}

#[test]
fn a_software_rasteriser_is_no_gpu_unless_it_is_asked_for() {
    let kinds = kinds();
    if kinds.is_empty() {
        return;
    }
    let (stdout, _) = succeeds(&["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(found["adapters"].as_array().unwrap().len(), kinds.len(), "{found}");
    if kinds.iter().all(|kind| *kind == AdapterKind::Software) {
        let output = tnas(&["backbone", "check", "nowhere", "--device", "gpu"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("a software rasteriser") && message.contains("gpu:software"), "{message}");
    }
}

#[test]
fn golden_models_are_computed_alike_on_the_best_adapter() {
    let kinds = kinds();
    let Some(best) = kinds.first() else { return };
    let device = if *best == AdapterKind::Software { "gpu:software" } else { "gpu" };
    for model in ["unet2dcond_bk_tiny", "ae_kl", "clip_text", "motion_animatediff"] {
        let Some(folder) = shared(model) else { return };
        // 1e-4 of the largest golden value: an error exits with 3.
        succeeds(&["backbone", "check", folder.to_str().unwrap(), "--device", device]);
    }
}
