use std::f64::consts::TAU;

/// A place as a function of time; the picture is [0, 1]², y points down, and time runs from 0 to 1 over the clip.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Path {
    /// Stays.
    Still([f64; 2]),
    /// From one point to another at constant speed.
    Line { from: [f64; 2], to: [f64; 2] },
    /// At constant velocity, mirrored at the borders `low` and `high` of both axes.
    Mirrored { from: [f64; 2], velocity: [f64; 2], low: f64, high: f64 },
    /// A sine about `centre`.
    Sine { centre: [f64; 2], amplitude: [f64; 2], wave: Wave },
    /// A circle about `centre`; more phase is clockwise.
    Round { centre: [f64; 2], radius: f64, wave: Wave },
}

impl Path {
    /// The place at `time`.
    pub(crate) fn at(&self, time: f64) -> [f64; 2] {
        match *self {
            Self::Still(point) => point,
            Self::Line { from, to } => [0, 1].map(|i| from[i] + (to[i] - from[i]) * time),
            Self::Mirrored { from, velocity, low, high } => {
                [0, 1].map(|i| mirrored(from[i] + velocity[i] * time, low, high))
            }
            Self::Sine { centre, amplitude, wave } => {
                let sine = wave.angle(time).sin();
                [0, 1].map(|i| centre[i] + amplitude[i] * sine)
            }
            Self::Round { centre, radius, wave } => {
                let (sine, cosine) = wave.angle(time).sin_cos();
                [centre[0] + radius * cosine, centre[1] + radius * sine]
            }
        }
    }
}

/// Something periodic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wave {
    /// Periods in a clip; negative runs backwards.
    pub(crate) turns: f64,
    /// Where it starts, in periods.
    pub(crate) phase: f64,
}

impl Wave {
    /// Never turned.
    pub(crate) const UPRIGHT: Self = Self { turns: 0.0, phase: 0.0 };

    pub(crate) fn angle(self, time: f64) -> f64 {
        TAU * (self.turns * time + self.phase)
    }
}

/// What a size or an opacity is multiplied with as time goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Envelope {
    /// 1.
    Constant,
    /// From one factor to another.
    Ramp { from: f64, to: f64 },
    /// 1 + depth·sin.
    Pulse { depth: f64, wave: Wave },
    /// 1 for half of a period, then almost 0, with short slopes between: even a single frame shows what blinks.
    Blink { wave: Wave },
}

impl Envelope {
    /// The factor at `time`.
    pub(crate) fn at(self, time: f64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Ramp { from, to } => from + (to - from) * time,
            Self::Pulse { depth, wave } => 1.0 + depth * wave.angle(time).sin(),
            Self::Blink { wave } => (0.5 + 2.0 * wave.angle(time).sin()).clamp(0.1, 1.0),
        }
    }
}

/// A coordinate on the folded line: leaving `low..high` at one end is coming back from there.
pub(crate) fn mirrored(x: f64, low: f64, high: f64) -> f64 {
    let range = high - low;
    let folded = (x - low).rem_euclid(2.0 * range);
    low + folded.min(2.0 * range - folded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirrored_path_stays_within_its_borders() {
        let path = Path::Mirrored { from: [0.5, 0.3], velocity: [3.0, -1.7], low: 0.2, high: 0.8 };
        for step in 0..=100 {
            let [x, y] = path.at(f64::from(step) / 100.0);
            assert!((0.2..=0.8).contains(&x) && (0.2..=0.8).contains(&y));
        }
        assert!((mirrored(0.9, 0.2, 0.8) - 0.7).abs() < 1e-12);
    }

    #[test]
    fn more_phase_is_clockwise_on_the_screen() {
        let path = Path::Round { centre: [0.5, 0.5], radius: 0.3, wave: Wave { turns: 1.0, phase: 0.0 } };
        // From three o'clock to six.
        assert!(path.at(0.0)[0] > 0.79 && path.at(0.25)[1] > 0.79);
    }
}
