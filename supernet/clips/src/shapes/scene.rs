use std::collections::BTreeMap;

use rand::{Rng, RngExt};

use super::path::{Envelope, Path, Wave};
use super::{Colour, Direction, Figure, Motion};

/// Everything that a clip shows, before it has pixels: the caption, and what the caption leaves open (size, place,
/// speed, phase, background, who is in front).
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) background: Background,
    /// The last one is in front.
    pub(crate) actors: Vec<Actor>,
    pub(crate) caption: String,
    pub(crate) labels: BTreeMap<String, String>,
}

/// A shape in motion.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) figure: Figure,
    pub(crate) colour: Colour,
    pub(crate) radius: f64,
    pub(crate) path: Path,
    pub(crate) scale: Envelope,
    pub(crate) opacity: Envelope,
    /// Clockwise about its centre.
    pub(crate) turn: Wave,
}

/// A dark picture behind: plain, sloping or softly clouded; the same in all frames.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    /// Red, green and blue in [0, 1].
    pub(crate) rgb: [f64; 3],
    /// Added per unit of x and y.
    pub(crate) slope: [f64; 2],
    /// Added at a grid of 5×5 points, linear between.
    pub(crate) clouds: [[f64; 5]; 5],
}

/// A figure and its colour, the noun of a caption.
type Noun = (Figure, Colour);

impl Scene {
    /// A scene of one of the motions.
    pub(crate) fn sample(motions: &[Motion], rng: &mut impl Rng) -> Self {
        let motion = pick(motions, rng);
        let direction = (!motion.directions().is_empty()).then(|| pick(motion.directions(), rng));
        let first = (pick(figures(motion), rng), pick(&Colour::ALL, rng));
        let second = motion.is_for_two().then(|| other_noun(first, rng));
        let background = Background::sample(rng);
        let actors = match (motion, second) {
            (Motion::Cross, Some(second)) => crossing([first, second], rng),
            (_, Some(second)) => orbiting(first, second, rng),
            (_, None) => vec![Actor::alone(motion, direction, first, rng)],
        };
        let nouns = in_order(motion, first, second);
        Self {
            background,
            actors,
            caption: caption(motion, direction, nouns),
            labels: labels(motion, direction, nouns),
        }
    }
}

impl Actor {
    /// The only shape of a scene.
    fn alone(motion: Motion, direction: Option<Direction>, (figure, colour): Noun, rng: &mut impl Rng) -> Self {
        let still = Self {
            figure,
            colour,
            radius: rng.random_range(0.16..0.22),
            path: Path::Still([0.5, 0.5]),
            scale: Envelope::Constant,
            opacity: Envelope::Constant,
            turn: Wave::UPRIGHT,
        };
        let step = direction.map_or([0.0, 0.0], Direction::step);
        let spin = direction.map_or(1.0, Direction::spin);
        match motion {
            Motion::Drift => Self { path: drift(step, still.reach(), rng), ..still },
            Motion::Bounce => Self { path: bounce(step, still.reach(), rng), ..still },
            Motion::Swing => {
                let amplitude = rng.random_range(0.16..0.5 - still.reach());
                let centre = [0, 1].map(|i| anywhere(still.reach() + amplitude * step[i].abs(), rng));
                let path = Path::Sine { centre, amplitude: step.map(|s| s * amplitude), wave: wave(0.7..1.0, rng) };
                Self { path, ..still }
            }
            Motion::Loop => {
                let radius = rng.random_range(0.16..0.5 - still.reach());
                let centre = [0, 1].map(|_| anywhere(still.reach() + radius, rng));
                let Wave { turns, phase } = wave(0.7..1.0, rng);
                Self { path: Path::Round { centre, radius, wave: Wave { turns: turns * spin, phase } }, ..still }
            }
            // At most 28° per frame of eight: less than half of what brings a star onto itself.
            Motion::Turn => {
                let Wave { turns, phase } = wave(0.3..0.55, rng);
                let large =
                    Self { radius: still.radius * 1.35, turn: Wave { turns: turns * spin, phase }, ..still };
                large.somewhere(rng)
            }
            Motion::Blink => {
                Self { opacity: Envelope::Blink { wave: wave(1.1..1.7, rng) }, ..still }.somewhere(rng)
            }
            Motion::Pulse => {
                let depth = rng.random_range(0.35..0.5);
                Self { scale: Envelope::Pulse { depth, wave: wave(0.8..1.4, rng) }, ..still }.somewhere(rng)
            }
            Motion::Grow | Motion::Shrink => {
                let (small, large) = (rng.random_range(0.45..0.65), rng.random_range(1.3..1.6));
                let (from, to) = if motion == Motion::Grow { (small, large) } else { (large, small) };
                Self { scale: Envelope::Ramp { from, to }, ..still }.somewhere(rng)
            }
            Motion::Cross | Motion::Orbit => still,
        }
    }

    /// How far it reaches from its centre, at its largest.
    fn reach(&self) -> f64 {
        let scale = match self.scale {
            Envelope::Constant | Envelope::Blink { .. } => 1.0,
            Envelope::Ramp { from, to } => from.max(to),
            Envelope::Pulse { depth, .. } => 1.0 + depth,
        };
        self.radius * scale * Figure::REACH
    }

    /// At a place where it is wholly in the picture.
    fn somewhere(self, rng: &mut impl Rng) -> Self {
        let place = [0, 1].map(|_| anywhere(self.reach(), rng));
        Self { path: Path::Still(place), ..self }
    }
}

impl Background {
    fn sample(rng: &mut impl Rng) -> Self {
        let light = rng.random_range(0.05..0.14);
        let rgb = [0, 1, 2].map(|_| light * rng.random_range(0.6..1.4));
        let slope = [0, 1].map(|_| rng.random_range(-0.1..0.1));
        let clouds = [0; 5].map(|_| [0; 5].map(|_| rng.random_range(-0.05..0.05)));
        let (plain, flat) = ([0.0; 2], [[0.0; 5]; 5]);
        match rng.random_range(0..3) {
            0 => Self { rgb, slope: plain, clouds: flat },
            1 => Self { rgb, slope, clouds: flat },
            _ => Self { rgb, slope: plain, clouds },
        }
    }
}

/// Along a line that lies in the picture with all of the shape.
fn drift(step: [f64; 2], reach: f64, rng: &mut impl Rng) -> Path {
    let room = 1.0 - 2.0 * reach;
    let travel = room * rng.random_range(0.6..1.0);
    // A diagonal step is √2 longer: shorten it, so that speed does not reveal the direction.
    let travel = if step[0] * step[1] == 0.0 { travel } else { travel * 0.8 };
    let middle = step.map(|s| anywhere(reach + s.abs() * travel / 2.0, rng));
    Path::Line {
        from: [0, 1].map(|i| middle[i] - step[i] * travel / 2.0),
        to: [0, 1].map(|i| middle[i] + step[i] * travel / 2.0),
    }
}

/// First to the border, reached at 0.3 to 0.6 of the clip, then back.
fn bounce(step: [f64; 2], reach: f64, rng: &mut impl Rng) -> Path {
    let (low, high) = (reach, 1.0 - reach);
    let speed = (high - low) * rng.random_range(0.9..1.3);
    let until_hit = speed * rng.random_range(0.3..0.6);
    let from = step.map(|s| match s {
        s if s < 0.0 => low + until_hit,
        s if s > 0.0 => high - until_hit,
        _ => anywhere(reach, rng),
    });
    Path::Mirrored { from, velocity: step.map(|s| s * speed), low, high }
}

/// Two shapes that pass each other near the middle, on any line.
fn crossing(nouns: [Noun; 2], rng: &mut impl Rng) -> Vec<Actor> {
    let angle: f64 = rng.random_range(0.0..std::f64::consts::TAU);
    let along = [angle.cos(), angle.sin()];
    let middle = [0, 1].map(|_| rng.random_range(0.46..0.54));
    let mut actors: Vec<Actor> = [1.0, -1.0]
        .into_iter()
        .zip(nouns)
        .map(|(side, (figure, colour))| {
            let radius = rng.random_range(0.14..0.17);
            let half = (0.46 - radius * Figure::REACH) * rng.random_range(0.85..1.0);
            let aside = rng.random_range(-0.04..0.04);
            let point = |distance: f64| {
                [
                    middle[0] + along[0] * distance - along[1] * aside,
                    middle[1] + along[1] * distance + along[0] * aside,
                ]
            };
            let path = Path::Line { from: point(-side * half), to: point(side * half) };
            Actor {
                figure,
                colour,
                radius,
                path,
                scale: Envelope::Constant,
                opacity: Envelope::Constant,
                turn: Wave::UPRIGHT,
            }
        })
        .collect();
    if rng.random_bool(0.5) {
        actors.reverse();
    }
    actors
}

/// `first` goes around `second`, either way.
fn orbiting(first: Noun, second: Noun, rng: &mut impl Rng) -> Vec<Actor> {
    let centre = [0, 1].map(|_| rng.random_range(0.48..0.52));
    let shape = |(figure, colour): Noun, radius, path| Actor {
        figure,
        colour,
        radius,
        path,
        scale: Envelope::Constant,
        opacity: Envelope::Constant,
        turn: Wave::UPRIGHT,
    };
    let inner = shape(second, rng.random_range(0.14..0.17), Path::Still(centre));
    let small = rng.random_range(0.105..0.125);
    let radius = 0.48 - small * Figure::REACH;
    let Wave { turns, phase } = wave(0.6..1.0, rng);
    let turns = if rng.random_bool(0.5) { turns } else { -turns };
    let outer = shape(first, small, Path::Round { centre, radius, wave: Wave { turns, phase } });
    vec![inner, outer]
}

/// Every caption of a motion.
pub(crate) fn captions(motion: Motion) -> Vec<String> {
    let nouns =
        |figures: &'static [Figure]| figures.iter().flat_map(|&figure| Colour::ALL.map(|colour| (figure, colour)));
    let directions: Vec<Option<Direction>> = match motion.directions() {
        [] => vec![None],
        directions => directions.iter().copied().map(Some).collect(),
    };
    let mut captions = Vec::new();
    for first in nouns(figures(motion)) {
        for &direction in &directions {
            if !motion.is_for_two() {
                captions.push(caption(motion, direction, (first, None)));
                continue;
            }
            let others = nouns(&Figure::ALL).filter(|other| other.0 != first.0 && other.1 != first.1);
            captions.extend(others.map(|other| caption(motion, direction, in_order(motion, first, Some(other)))));
        }
    }
    captions
}

/// "a red square moves left".
fn caption(motion: Motion, direction: Option<Direction>, (first, second): (Noun, Option<Noun>)) -> String {
    let verb = motion.verb();
    match (motion, second) {
        (Motion::Cross, Some(second)) => format!("{} and {} {verb}", phrase(first), phrase(second)),
        (_, Some(second)) => format!("{} {verb} {}", phrase(first), phrase(second)),
        (_, None) => match direction {
            Some(direction) => format!("{} {verb} {}", phrase(first), direction.name()),
            None => format!("{} {verb}", phrase(first)),
        },
    }
}

/// What the caption says, no more: an evaluator of clips may ask for every label.
fn labels(
    motion: Motion,
    direction: Option<Direction>,
    (first, second): (Noun, Option<Noun>),
) -> BTreeMap<String, String> {
    let none = "none";
    let entries = [
        ("motion", motion.name()),
        ("direction", direction.map_or(none, Direction::name)),
        ("shape", first.0.name()),
        ("colour", first.1.name()),
        ("other_shape", second.map_or(none, |noun| noun.0.name())),
        ("other_colour", second.map_or(none, |noun| noun.1.name())),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Who crosses whom does not matter: the order of colours decides who is named first.
fn in_order(motion: Motion, first: Noun, second: Option<Noun>) -> (Noun, Option<Noun>) {
    match second {
        Some(second) if motion == Motion::Cross && second.1 < first.1 => (second, Some(first)),
        _ => (first, second),
    }
}

fn phrase((figure, colour): Noun) -> String {
    let article = if colour == Colour::Orange { "an" } else { "a" };
    format!("{article} {} {}", colour.name(), figure.name())
}

fn figures(motion: Motion) -> &'static [Figure] {
    if motion == Motion::Turn { &Figure::TURNING } else { &Figure::ALL }
}

/// Differs in figure and colour, so that either distinguishes the two.
fn other_noun((figure, colour): Noun, rng: &mut impl Rng) -> Noun {
    let figures: Vec<Figure> = Figure::ALL.into_iter().filter(|other| *other != figure).collect();
    let colours: Vec<Colour> = Colour::ALL.into_iter().filter(|other| *other != colour).collect();
    (pick(&figures, rng), pick(&colours, rng))
}

/// A coordinate at least `margin` from both borders; the middle where there is no room.
fn anywhere(margin: f64, rng: &mut impl Rng) -> f64 {
    let room = (1.0 - 2.0 * margin).max(0.0);
    0.5 + room * rng.random_range(-0.5..0.5)
}

fn wave(turns: std::ops::Range<f64>, rng: &mut impl Rng) -> Wave {
    Wave { turns: rng.random_range(turns), phase: rng.random() }
}

fn pick<T: Copy>(items: &[T], rng: &mut impl Rng) -> T {
    items[rng.random_range(0..items.len())]
}
