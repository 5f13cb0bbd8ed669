//! A stage is current while its settings, the contents of its inputs and its own outputs are the same.

use serde_json::json;
use std::error::Error;
use std::fs;
use std::path::Path;
use tnas_study::{RunDir, Stage, StaleReason, StudyError};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn stage(run: &RunDir, clips: &Path, population: u32) -> std::result::Result<Stage, StudyError> {
    let settings = json!({ "population": population, "limits": { "latency_ms": 30.5 } });
    Ok(Stage::new("search")
        .setting("search", &settings)?
        .input(run.files().study())
        .input(clips)
        .output(run.files().path("front.json")))
}

/// A finished stage that reads study.toml and a folder of clips, in the folder given.
fn finished(folder: &Path) -> Result<(RunDir, std::path::PathBuf)> {
    let run = RunDir::create(folder.join("run"))?;
    let clips = folder.join("clips");
    fs::create_dir_all(clips.join("train"))?;
    fs::write(clips.join("train/0.gif"), [0; 100])?;
    run.write(run.files().study(), b"seed = 7")?;
    let stage = stage(&run, &clips, 64)?;
    assert_eq!(run.stale_reason(&stage)?, Some(StaleReason::NotFinished));
    run.write(run.files().path("front.json"), b"[1]")?;
    run.finish(&stage, &json!({ "front": 1 }))?;
    Ok((run, clips))
}

fn reason(run: &RunDir, clips: &Path, population: u32) -> Result<String> {
    Ok(run.stale_reason(&stage(run, clips, population)?)?.map_or("current".into(), |reason| reason.to_string()))
}

#[test]
fn nothing_changed_is_current_and_tells_its_summary() -> Result {
    let folder = tempfile::tempdir()?;
    let (run, clips) = finished(folder.path())?;
    assert!(run.is_current(&stage(&run, &clips, 64)?)?);
    assert_eq!(run.stamp("search")?.ok().map(|stamp| stamp.summary), Some(json!({ "front": 1 })));
    assert!(run.stamp("export")?.is_err());
    Ok(())
}

#[test]
fn a_byte_of_an_input_makes_it_stale_and_its_time_does_not() -> Result {
    let folder = tempfile::tempdir()?;
    let (run, clips) = finished(folder.path())?;
    let clip = clips.join("train/0.gif");
    let mut bytes = fs::read(&clip)?;
    bytes[99] ^= 1;
    fs::write(&clip, &bytes)?;
    assert_eq!(reason(&run, &clips, 64)?, format!("its input {} has changed", clips.display()));
    bytes[99] ^= 1;
    fs::write(&clip, &bytes)?;
    fs::File::options().write(true).open(&clip)?.set_modified(std::time::UNIX_EPOCH)?;
    assert_eq!(reason(&run, &clips, 64)?, "current");
    Ok(())
}

#[test]
fn a_setting_a_version_or_a_further_input_makes_it_stale() -> Result {
    let folder = tempfile::tempdir()?;
    let (run, clips) = finished(folder.path())?;
    assert_eq!(reason(&run, &clips, 65)?, "search.population was 64, is 65");
    let reason = |stage: Stage| Ok::<_, StudyError>(run.stale_reason(&stage)?.map(|reason| reason.to_string()));
    let again = || stage(&run, &clips, 64);
    assert_eq!(reason(again()?.format_version(2))?.as_deref(), Some("it is version 2 now and was version 1"));
    assert_eq!(reason(again()?.setting("k", &3)?)?.as_deref(), Some("k = 3 is new"));
    let more = reason(again()?.input(run.files().path("front.json")))?.unwrap_or_default();
    assert!(more.ends_with("front.json has changed"), "{more}");
    let fewer =
        Stage::new("search").setting("search", &json!({ "population": 64, "limits": { "latency_ms": 30.5 } }))?;
    assert_eq!(reason(fewer.input(run.files().study()))?.as_deref(), Some("it had 2 inputs and has 1"));
    Ok(())
}

#[test]
fn an_output_lost_or_changed_makes_it_stale() -> Result {
    let folder = tempfile::tempdir()?;
    let (run, clips) = finished(folder.path())?;
    run.write(run.files().path("front.json"), b"[2]")?;
    assert_eq!(reason(&run, &clips, 64)?, "its output front.json has changed");
    fs::remove_file(run.files().path("front.json"))?;
    assert_eq!(reason(&run, &clips, 64)?, "its output front.json is missing");
    run.write(run.files().path("front.json"), b"[1]")?;
    assert_eq!(reason(&run, &clips, 64)?, "current");
    let more = stage(&run, &clips, 64)?.output(run.files().samples());
    assert_eq!(run.stale_reason(&more)?, Some(StaleReason::OutputMissing("samples".into())));
    fs::remove_dir_all(&clips)?;
    assert_eq!(reason(&run, &clips, 64)?, format!("its input {} is missing", clips.display()));
    Ok(())
}

#[test]
fn a_run_and_its_inputs_may_be_moved() -> Result {
    let folder = tempfile::tempdir()?;
    let (run, clips) = finished(folder.path())?;
    let (new_run, new_clips) = (folder.path().join("elsewhere"), folder.path().join("other"));
    fs::rename(run.path(), &new_run)?;
    fs::rename(&clips, &new_clips)?;
    assert_eq!(reason(&RunDir::open(new_run)?, &new_clips, 64)?, "current");
    Ok(())
}

#[test]
fn the_stamp_has_the_inputs_that_the_work_began_with() -> Result {
    let folder = tempfile::tempdir()?;
    let (run, clips) = finished(folder.path())?;
    let working = stage(&run, &clips, 65)?;
    assert!(!run.is_current(&working)?);
    run.write(run.files().study(), b"seed = 8")?;
    run.finish(&working, &json!(null))?;
    assert!(reason(&run, &clips, 65)?.ends_with("study.toml has changed"));
    Ok(())
}

#[test]
fn a_torn_stamp_counts_as_none() -> Result {
    let folder = tempfile::tempdir()?;
    let (run, clips) = finished(folder.path())?;
    let stamp = run.files().stamp("search")?;
    let text = fs::read_to_string(&stamp)?;
    fs::write(&stamp, &text[..text.len() / 2])?;
    assert!(reason(&run, &clips, 64)?.starts_with("its stamp is not readable"));
    fs::write(&stamp, text.replace("\"format_version\": 1", "\"format_version\": 9"))?;
    assert!(reason(&run, &clips, 64)?.ends_with("its format version is 9, this program knows 1"));
    Ok(())
}

#[test]
fn outputs_elsewhere_and_missing_ones_cannot_be_stamped() -> Result {
    let folder = tempfile::tempdir()?;
    let (run, _) = finished(folder.path())?;
    let outside = Stage::new("a").output(folder.path().join("clips"));
    assert!(run.finish(&outside, &json!(null)).is_err_and(|e| e.to_string().contains("is not in the run")));
    assert!(run.finish(&Stage::new("a").output("../clips"), &json!(null)).is_err());
    assert!(run.finish(&Stage::new("a").output("samples"), &json!(null)).is_err());
    assert!(run.finish(&Stage::new("a").input("no/such/file"), &json!(null)).is_err());
    Ok(())
}
