//! A first frame that is given.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use tnas_schedulers::SchedulerConfig;
use tnas_training::{GenerateSettings, generate};
use world::World;

#[test]
fn a_given_first_frame_is_where_every_clip_begins() {
    let world = World::new();
    let shape = world.data.shape;
    let [channels, frames, height, width] = shape;
    let area = height * width;
    let first: Vec<f32> =
        (0..channels).flat_map(|c| world.data.clips[0][c * frames * area..][..area].to_vec()).collect();
    let sample = |first_frame: Option<Vec<f32>>, scheduler: Option<SchedulerConfig>| {
        let how = GenerateSettings { steps: 2, seed: 3, batch: 2, first_frame, scheduler, ..Default::default() };
        generate(&world.model(&world.genotype()), &[0, 1, 1], shape, &how, |_| {})
    };
    let (given, free) = (sample(Some(first.clone()), None).unwrap(), sample(None, None).unwrap());
    for (given, free) in given.iter().zip(&free) {
        for (c, (given, free)) in given.chunks(frames * area).zip(free.chunks(frames * area)).enumerate() {
            assert_eq!(given[..area], first[c * area..][..area]);
            // Temporal layers are nothing before they are trained: the other frames do not know.
            assert_eq!(given[area..], free[area..]);
        }
    }
    let wrong = [sample(Some(first[1..].to_vec()), None), sample(Some(first), Some(SchedulerConfig::flow(1.0)))];
    for wrong in wrong {
        let message = wrong.unwrap_err().to_string();
        assert!(message.contains("first frame"), "{message}");
    }
}
