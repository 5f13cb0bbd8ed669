use serde::{Deserialize, Serialize};

/// A shape, of about the same area each, pointing up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Figure {
    Circle,
    Square,
    Triangle,
    Plus,
    Star,
    Ring,
}

impl Figure {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Circle, Self::Square, Self::Triangle, Self::Plus, Self::Star, Self::Ring];

    /// Those whose turning can be seen.
    pub const TURNING: [Self; 4] = [Self::Square, Self::Triangle, Self::Plus, Self::Star];

    /// No point of a figure of radius 1 is farther from its centre.
    pub(crate) const REACH: f64 = 1.2;

    /// The word of captions and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Plus => "plus",
            Self::Star => "star",
            Self::Ring => "ring",
        }
    }

    /// Whether a point lies in the figure of radius 1 around the origin; y points down.
    pub(crate) fn contains(self, [x, y]: [f64; 2]) -> bool {
        match self {
            Self::Circle => x * x + y * y <= 0.95 * 0.95,
            Self::Square => x.abs().max(y.abs()) <= 0.84,
            // Equilateral, of circumradius 1.2: three half-planes at distance 0.6.
            Self::Triangle => y <= 0.6 && 0.866 * x.abs() - 0.5 * y <= 0.6,
            Self::Plus => x.abs().max(y.abs()) <= 1.05 && x.abs().min(y.abs()) <= 0.36,
            Self::Star => in_star(x, y),
            Self::Ring => (0.55 * 0.55..=1.05 * 1.05).contains(&(x * x + y * y)),
        }
    }
}

/// A five-pointed star: tips at radius 1.2, notches at 0.56.
fn in_star(x: f64, y: f64) -> bool {
    const TIP: f64 = 1.2;
    const NOTCH: f64 = 0.56;
    let half_point = std::f64::consts::PI / 5.0;
    // Fold the plane onto the wedge between a tip (angle 0) and a notch (36°).
    let angle = x.atan2(-y).rem_euclid(2.0 * half_point);
    let angle = angle.min(2.0 * half_point - angle);
    let radius = x.hypot(y);
    let (along, across) = (radius * angle.cos(), radius * angle.sin());
    let (notch_along, notch_across) = (NOTCH * half_point.cos(), NOTCH * half_point.sin());
    // On the origin's side of the edge from (TIP, 0) to the notch.
    (along - TIP) * notch_across <= across * (notch_along - TIP)
}

/// The colour of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Colour {
    Red,
    Orange,
    Yellow,
    Green,
    Cyan,
    Blue,
    Pink,
    White,
}

impl Colour {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Red, Self::Orange, Self::Yellow, Self::Green, Self::Cyan, Self::Blue, Self::Pink, Self::White];

    /// The word of captions and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Orange => "orange",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Cyan => "cyan",
            Self::Blue => "blue",
            Self::Pink => "pink",
            Self::White => "white",
        }
    }

    /// Red, green and blue in [0, 1].
    pub fn rgb(self) -> [f64; 3] {
        let bytes: [u8; 3] = match self {
            Self::Red => [232, 48, 44],
            Self::Orange => [250, 140, 30],
            Self::Yellow => [250, 224, 60],
            Self::Green => [60, 190, 80],
            Self::Cyan => [70, 214, 226],
            Self::Blue => [58, 100, 245],
            Self::Pink => [244, 100, 200],
            Self::White => [245, 245, 242],
        };
        bytes.map(|byte| f64::from(byte) / 255.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fraction of the points of a fine grid over [-1.5, 1.5]² that lie in the figure, times 9.
    fn area(figure: Figure) -> f64 {
        let steps = 300;
        let coordinate = |i: usize| (i as f64 + 0.5) / steps as f64 * 3.0 - 1.5;
        let inside = (0..steps * steps)
            .filter(|i| {
                let point = [coordinate(i % steps), coordinate(i / steps)];
                assert!(!figure.contains(point) || point[0].hypot(point[1]) <= Figure::REACH + 1e-9);
                figure.contains(point)
            })
            .count();
        inside as f64 / (steps * steps) as f64 * 9.0
    }

    #[test]
    fn figures_have_like_areas_and_stay_within_reach() {
        for figure in Figure::ALL {
            let area = area(figure);
            assert!((1.6..3.1).contains(&area), "{figure:?} covers {area}");
        }
        assert!((area(Figure::Circle) - std::f64::consts::PI * 0.95 * 0.95).abs() < 0.02);
    }

    #[test]
    fn the_star_and_the_triangle_point_up() {
        for figure in [Figure::Star, Figure::Triangle] {
            assert!(figure.contains([0.0, -1.15]));
            assert!(!figure.contains([0.0, 1.0]));
        }
    }
}
