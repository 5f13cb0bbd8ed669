use super::Figure;
use super::scene::{Actor, Background, Scene};

/// Samples per pixel and axis: 37 grades of coverage, a step of 1/6 pixel is seen.
const SAMPLES: usize = 6;

/// `[F, 3, S, S]` in [-1, 1].
pub(crate) fn render(scene: &Scene, frames: usize, size: usize) -> Vec<f32> {
    let background = paint(&scene.background, size);
    let mut pixels = Vec::with_capacity(frames * background.len());
    for frame in 0..frames {
        let mut picture = background.clone();
        for actor in &scene.actors {
            draw(actor, time(frame, frames), &mut picture, size);
        }
        pixels.extend(picture.into_iter().map(|value| (value * 2.0 - 1.0) as f32));
    }
    pixels
}

/// 0 at the first frame, 1 at the last; a single frame shows the middle.
fn time(frame: usize, frames: usize) -> f64 {
    if frames == 1 { 0.5 } else { frame as f64 / (frames - 1) as f64 }
}

/// The background, `[3, S, S]` in [0, 1].
fn paint(background: &Background, size: usize) -> Vec<f64> {
    let centre = |i: usize| (i as f64 + 0.5) / size as f64;
    let mut picture = Vec::with_capacity(3 * size * size);
    for channel in background.rgb {
        for row in 0..size {
            for column in 0..size {
                let (x, y) = (centre(column), centre(row));
                let slope = background.slope[0] * (x - 0.5) + background.slope[1] * (y - 0.5);
                picture.push((channel + slope + cloud(&background.clouds, x, y)).clamp(0.0, 1.0));
            }
        }
    }
    picture
}

/// Bilinear between the grid's points.
fn cloud(clouds: &[[f64; 5]; 5], x: f64, y: f64) -> f64 {
    let cell = |t: f64| {
        let scaled = t * 4.0;
        let index = (scaled as usize).min(3);
        (index, scaled - index as f64)
    };
    let ((i, u), (j, v)) = (cell(x), cell(y));
    let row = |j: usize| clouds[j][i] * (1.0 - u) + clouds[j][i + 1] * u;
    row(j) * (1.0 - v) + row(j + 1) * v
}

/// Blends an actor over `picture`, `[3, S, S]`.
fn draw(actor: &Actor, time: f64, picture: &mut [f64], size: usize) {
    let [x, y] = actor.path.at(time).map(|coordinate| coordinate * size as f64);
    let radius = actor.radius * actor.scale.at(time) * size as f64;
    let opacity = actor.opacity.at(time);
    let (sine, cosine) = actor.turn.angle(time).sin_cos();
    let reach = radius * Figure::REACH;
    let span =
        |middle: f64| ((middle - reach).max(0.0) as usize)..((middle + reach).ceil().max(0.0) as usize).min(size);
    for row in span(y) {
        for column in span(x) {
            let inside = samples(column, row)
                .filter(|[px, py]| {
                    let (dx, dy) = ((px - x) / radius, (py - y) / radius);
                    actor.figure.contains([dx * cosine + dy * sine, dy * cosine - dx * sine])
                })
                .count();
            let alpha = opacity * inside as f64 / (SAMPLES * SAMPLES) as f64;
            for (channel, colour) in actor.colour.rgb().into_iter().enumerate() {
                let value = &mut picture[(channel * size + row) * size + column];
                *value += alpha * (colour - *value);
            }
        }
    }
}

/// Points of a regular grid in one pixel.
fn samples(column: usize, row: usize) -> impl Iterator<Item = [f64; 2]> {
    let within = |i: usize| (i as f64 + 0.5) / SAMPLES as f64;
    (0..SAMPLES * SAMPLES).map(move |i| [column as f64 + within(i % SAMPLES), row as f64 + within(i / SAMPLES)])
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::shapes::{Direction, Motion};

    fn scene(motion: Motion, seed: u64) -> Scene {
        Scene::sample(&[motion], &mut ChaCha8Rng::seed_from_u64(seed))
    }

    /// Per frame, the sum of |difference to the background| and its centre in pixels.
    fn trace(scene: &Scene, frames: usize, size: usize) -> Vec<(f64, [f64; 2])> {
        let pixels = render(scene, frames, size);
        let background = paint(&scene.background, size);
        pixels
            .chunks(background.len())
            .map(|frame| {
                let (mut mass, mut x, mut y) = (0.0, 0.0, 0.0);
                for (i, (value, behind)) in frame.iter().zip(&background).enumerate() {
                    let weight = ((f64::from(*value) + 1.0) / 2.0 - behind).abs();
                    mass += weight;
                    x += weight * (i % size) as f64;
                    y += weight * (i / size % size) as f64;
                }
                (mass, [x / mass, y / mass])
            })
            .collect()
    }

    fn direction(scene: &Scene) -> [f64; 2] {
        let name = &scene.labels["direction"];
        let all = Motion::Drift.directions().iter();
        all.copied().find(|d| d.name() == name).map_or([0.0; 2], Direction::step)
    }

    #[test]
    fn a_drift_moves_the_centre_as_its_caption_says_at_constant_speed() {
        for (seed, size) in (0..60).zip([16, 24, 32].into_iter().cycle()) {
            let scene = scene(Motion::Drift, seed);
            let trace = trace(&scene, 8, size);
            let step = direction(&scene);
            let total: [f64; 2] = [0, 1].map(|i| trace[7].1[i] - trace[0].1[i]);
            for i in [0, 1] {
                if step[i] == 0.0 {
                    assert!(total[i].abs() < 0.35, "{}: {total:?}", scene.caption);
                } else {
                    assert!(total[i] * step[i] > 0.2 * size as f64, "{}: {total:?}", scene.caption);
                }
                for pair in trace.windows(2) {
                    let moved = pair[1].1[i] - pair[0].1[i];
                    assert!((moved - total[i] / 7.0).abs() < 0.35, "{}: {moved} of {}", scene.caption, total[i]);
                }
            }
        }
    }

    #[test]
    fn a_bounce_goes_as_its_caption_says_and_comes_back() {
        for seed in 0..40 {
            let scene = scene(Motion::Bounce, seed);
            let step = direction(&scene);
            let along: Vec<f64> =
                trace(&scene, 16, 32).iter().map(|(_, c)| c[0] * step[0] + c[1] * step[1]).collect();
            let peak = along.iter().copied().fold(f64::MIN, f64::max);
            assert!(peak - along[0] > 3.0, "{}: {along:?}", scene.caption);
            assert!(peak - along[15] > 3.0, "{}: {along:?}", scene.caption);
            assert!(along[1] > along[0]);
        }
    }

    #[test]
    fn growing_gains_and_shrinking_loses_area() {
        for seed in 0..20 {
            let masses = |motion| trace(&scene(motion, seed), 8, 32).iter().map(|t| t.0).collect::<Vec<_>>();
            assert!(masses(Motion::Grow).windows(2).all(|pair| pair[1] > pair[0]));
            assert!(masses(Motion::Shrink).windows(2).all(|pair| pair[1] < pair[0]));
        }
    }

    #[test]
    fn a_blink_is_seen_and_unseen() {
        for seed in 0..20 {
            let masses: Vec<f64> = trace(&scene(Motion::Blink, seed), 8, 16).iter().map(|t| t.0).collect();
            let (least, most) = masses.iter().fold((f64::MAX, 0.0_f64), |(a, b), m| (a.min(*m), b.max(*m)));
            assert!(least < 0.12 * most, "{masses:?}");
        }
    }

    #[test]
    fn every_motion_keeps_its_shapes_in_the_picture() {
        for motion in Motion::ALL {
            for seed in 0..100 {
                for actor in scene(motion, seed).actors {
                    for step in 0..=64 {
                        let time = f64::from(step) / 64.0;
                        let reach = actor.radius * actor.scale.at(time) * Figure::REACH;
                        for coordinate in actor.path.at(time) {
                            let seen = coordinate - reach > -0.02 && coordinate + reach < 1.02;
                            assert!(seen, "{motion:?}, seed {seed}: {coordinate} ± {reach}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_turn_changes_pixels_but_not_the_place() {
        for seed in 0..20 {
            let trace = trace(&scene(Motion::Turn, seed), 8, 32);
            for (_, centre) in &trace {
                assert!((centre[0] - trace[0].1[0]).abs() < 0.4 && (centre[1] - trace[0].1[1]).abs() < 0.4);
            }
        }
    }
}
