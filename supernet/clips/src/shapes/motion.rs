use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a clip shows happening. The list is chosen so that temporal operators differ in worth: a kernel of three
/// frames shows a drift; periods are longer than that; a crossing and an orbit need space and time together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Motion {
    /// Constant velocity, in eight directions.
    Drift,
    /// Towards a border, and back from it.
    Bounce,
    /// To and fro in a sine.
    Swing,
    /// Around a point of the picture.
    Loop,
    /// In its place, about its centre.
    Turn,
    /// There and not there.
    Blink,
    /// Larger and smaller, again and again.
    Pulse,
    /// From small to large.
    Grow,
    /// From large to small.
    Shrink,
    /// Two shapes pass through each other's place.
    Cross,
    /// A small shape goes around a larger one.
    Orbit,
}

impl Motion {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Drift,
        Self::Bounce,
        Self::Swing,
        Self::Loop,
        Self::Turn,
        Self::Blink,
        Self::Pulse,
        Self::Grow,
        Self::Shrink,
        Self::Cross,
        Self::Orbit,
    ];

    /// The word of the label `motion`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Bounce => "bounce",
            Self::Swing => "swing",
            Self::Loop => "loop",
            Self::Turn => "turn",
            Self::Blink => "blink",
            Self::Pulse => "pulse",
            Self::Grow => "grow",
            Self::Shrink => "shrink",
            Self::Cross => "cross",
            Self::Orbit => "orbit",
        }
    }

    /// The word of captions.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Self::Drift => "moves",
            Self::Bounce => "bounces",
            Self::Swing => "swings",
            Self::Loop => "loops",
            Self::Turn => "turns",
            Self::Blink => "blinks",
            Self::Pulse => "pulses",
            Self::Grow => "grows",
            Self::Shrink => "shrinks",
            Self::Cross => "cross",
            Self::Orbit => "orbits",
        }
    }

    /// The directions that its captions name; none where a caption names none.
    pub fn directions(self) -> &'static [Direction] {
        use Direction::*;
        match self {
            Self::Drift => &[Left, Right, Up, Down, UpLeft, UpRight, DownLeft, DownRight],
            Self::Bounce => &[Left, Right, Up, Down],
            Self::Swing => &[LeftAndRight, UpAndDown],
            Self::Loop | Self::Turn => &[Clockwise, Anticlockwise],
            Self::Blink | Self::Pulse | Self::Grow | Self::Shrink | Self::Cross | Self::Orbit => &[],
        }
    }

    /// Whether two shapes take part.
    pub fn is_for_two(self) -> bool {
        matches!(self, Self::Cross | Self::Orbit)
    }
}

/// Where a motion goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Direction {
    Left,
    Right,
    Up,
    Down,
    UpLeft,
    UpRight,
    DownLeft,
    DownRight,
    LeftAndRight,
    UpAndDown,
    Clockwise,
    Anticlockwise,
}

impl Direction {
    /// The words of captions and of the label `direction`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
            Self::Up => "up",
            Self::Down => "down",
            Self::UpLeft => "up left",
            Self::UpRight => "up right",
            Self::DownLeft => "down left",
            Self::DownRight => "down right",
            Self::LeftAndRight => "left and right",
            Self::UpAndDown => "up and down",
            Self::Clockwise => "clockwise",
            Self::Anticlockwise => "anticlockwise",
        }
    }

    /// Sign of the step along x and y (pointing down); for a swing the axis, for a turn zero.
    pub fn step(self) -> [f64; 2] {
        match self {
            Self::Left => [-1.0, 0.0],
            Self::Right | Self::LeftAndRight => [1.0, 0.0],
            Self::Up => [0.0, -1.0],
            Self::Down | Self::UpAndDown => [0.0, 1.0],
            Self::UpLeft => [-1.0, -1.0],
            Self::UpRight => [1.0, -1.0],
            Self::DownLeft => [-1.0, 1.0],
            Self::DownRight => [1.0, 1.0],
            Self::Clockwise | Self::Anticlockwise => [0.0, 0.0],
        }
    }

    /// +1 clockwise, -1 anticlockwise, as seen with y pointing down.
    pub(crate) fn spin(self) -> f64 {
        if self == Self::Anticlockwise { -1.0 } else { 1.0 }
    }
}
