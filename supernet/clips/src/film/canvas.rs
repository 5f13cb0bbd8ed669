/// The screen that frames are drawn on, for formats whose frames cover a part of it.
pub(crate) struct Canvas {
    pub width: usize,
    pub height: usize,
    pub rgba: Vec<[u8; 4]>,
}

/// Where a frame lies on the screen.
#[derive(Clone, Copy)]
pub(crate) struct Area {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

impl Canvas {
    /// Transparent everywhere.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, rgba: vec![[0; 4]; width * height] }
    }

    /// Lays a frame over what is there; what lies outside the screen is clipped.
    pub fn draw_over(&mut self, area: Area, rgba: &[[u8; 4]]) {
        for (target, source) in self.covered(area) {
            self.rgba[target] = over(rgba[source], self.rgba[target]);
        }
    }

    /// Puts a frame in the place of what is there.
    pub fn replace(&mut self, area: Area, rgba: &[[u8; 4]]) {
        for (target, source) in self.covered(area) {
            self.rgba[target] = rgba[source];
        }
    }

    /// Makes an area transparent.
    pub fn clear(&mut self, area: Area) {
        for (target, _) in self.covered(area) {
            self.rgba[target] = [0; 4];
        }
    }

    /// What is seen before a background.
    pub fn before(&self, background: [u8; 3]) -> Vec<[u8; 3]> {
        before(&self.rgba, background)
    }

    /// Indices into the canvas of those pixels of a frame that lie on it, with their index in the frame.
    fn covered(&self, area: Area) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (width, height) = (self.width, self.height);
        (0..area.width * area.height)
            .map(move |i| (area.top + i / area.width, area.left + i % area.width, i))
            .filter(move |(row, column, _)| *row < height && *column < width)
            .map(move |(row, column, i)| (row * width + column, i))
    }
}

/// Pixels before a background.
pub(crate) fn before(rgba: &[[u8; 4]], background: [u8; 3]) -> Vec<[u8; 3]> {
    let [r, g, b] = background;
    rgba.iter()
        .map(|&pixel| {
            let [r, g, b, _] = over(pixel, [r, g, b, 255]);
            [r, g, b]
        })
        .collect()
}

/// Porter and Duff's "over" on straight alpha, in whole numbers.
fn over(front: [u8; 4], back: [u8; 4]) -> [u8; 4] {
    match (front[3], back[3]) {
        (255, _) | (_, 0) => front,
        (0, _) => back,
        (a, b) => {
            // Shares in 1/255².
            let (front_fraction, back_fraction) = (255 * u32::from(a), u32::from(b) * (255 - u32::from(a)));
            let sum = front_fraction + back_fraction;
            let mix = |i: usize| {
                ((front_fraction * u32::from(front[i]) + back_fraction * u32::from(back[i]) + sum / 2) / sum) as u8
            };
            [mix(0), mix(1), mix(2), ((sum + 127) / 255) as u8]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opaque_hides_and_what_is_transparent_shows() {
        let (red, blue) = ([255, 0, 0, 255], [0, 0, 255, 255]);
        assert_eq!(over(red, blue), red);
        assert_eq!(over([9, 9, 9, 0], blue), blue);
        assert_eq!(over([9, 9, 9, 7], [0; 4]), [9, 9, 9, 7]);
        assert_eq!(over([255, 0, 0, 51], blue), [51, 0, 204, 255]);
        assert_eq!(before(&[[255, 255, 255, 128]], [0; 3]), [[128; 3]]);
    }
}
