use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What follows where a film ends before the clip does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Short {
    /// Its last frame stays.
    #[default]
    Hold,
    /// It begins again.
    Loop,
}

/// Which frames are seen at `fps` in the middle of a film whose frames are shown for so long: the first at the beginning
/// of a frame, each after it 1/fps later.
pub(crate) fn indices_at_rate(shown_us: &[u32], frames: usize, fps: f64, short: Short) -> Vec<usize> {
    // When each frame ends.
    let ends: Vec<u64> = shown_us
        .iter()
        .scan(0u64, |at, &us| {
            *at += u64::from(us);
            Some(*at)
        })
        .collect();
    let duration = ends.last().copied().unwrap_or(0);
    let step_us = 1e6 / fps;
    let spare = duration.saturating_sub((frames as f64 * step_us).round() as u64);
    let shown_at = |us: u64| ends.partition_point(|&end| end <= us).min(ends.len().saturating_sub(1));
    let first = shown_at(spare / 2);
    let start = first.checked_sub(1).map_or(0, |before| ends[before]);
    // Times are rounded to a millionth of a second: what begins a moment later has begun.
    let tolerance = (step_us / 1000.0).min(50.0);
    (0..frames)
        .map(|frame| {
            let at = start + (frame as f64 * step_us + tolerance) as u64;
            match short {
                Short::Loop if duration > 0 => shown_at(at % duration),
                _ => shown_at(at),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_ratios_take_every_so_manyth_frame() {
        // 24 frames a second in a whole number of millionths.
        let film: Vec<u32> = (0..48).map(|i| [41_667, 41_666, 41_667][i % 3]).collect();
        let indices = |frames, fps| indices_at_rate(&film, frames, fps, Short::Hold);
        assert_eq!(indices(48, 24.0), (0..48).collect::<Vec<_>>());
        assert_eq!(indices(24, 12.0), (0..24).map(|i| 2 * i).collect::<Vec<_>>());
        assert_eq!(indices(4, 8.0), [18, 21, 24, 27]);
        assert_eq!(indices(8, 48.0)[..4], [21, 21, 22, 22]);
        assert_eq!(indices(1, 24.0), [23]);
    }

    #[test]
    fn a_short_film_stays_or_begins_again() {
        let film = [100_000; 3];
        assert_eq!(indices_at_rate(&film, 6, 10.0, Short::Hold), [0, 1, 2, 2, 2, 2]);
        assert_eq!(indices_at_rate(&film, 6, 10.0, Short::Loop), [0, 1, 2, 0, 1, 2]);
        assert_eq!(indices_at_rate(&[1], 3, 0.001, Short::Loop), [0, 0, 0]);
        assert_eq!(indices_at_rate(&[0, 0], 3, 1000.0, Short::Loop), [1, 1, 1]);
    }

    #[test]
    fn frames_of_unequal_length_are_seen_for_as_long() {
        assert_eq!(indices_at_rate(&[300_000, 100_000, 200_000], 6, 10.0, Short::Hold), [0, 0, 0, 1, 2, 2]);
    }
}
