/// A named parameter tensor that a node reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    /// Key in the checkpoint, as diffusers or transformers spell it.
    pub name: String,
    /// The shape that the node uses.
    pub shape: Vec<usize>,
    /// How the tensor starts when no checkpoint holds it.
    pub init: Init,
    /// Whether the stored tensor may be larger than `shape`, and which part of it is used then.
    pub elastic: Elastic,
}

/// The distribution that a fresh weight is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zeros: an insertion that starts as the identity.
    Zeros,
    /// All ones: the gain of a norm.
    Ones,
    /// Uniform in ±1/√fan_in, the default of torch's linear and convolution layers.
    FanIn,
    /// Normal with this standard deviation.
    Normal(f32),
}

/// How a narrower operator uses the weights of the widest of its kind (the supernet's shared slices).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elastic {
    /// The stored shape must be equal.
    Exact,
    /// Every axis may be stored longer: the first entries are used.
    Prefix,
    /// As `Prefix`, but this axis (a kernel's length) uses the middle entries.
    PrefixCentre(usize),
}

impl Weight {
    /// A weight whose stored shape must be equal.
    pub fn new(name: impl Into<String>, shape: &[usize], init: Init) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), init, elastic: Elastic::Exact }
    }

    /// The same weight with a rule for larger stored tensors.
    pub fn with_elastic(mut self, elastic: Elastic) -> Self {
        self.elastic = elastic;
        self
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The half-open range of each axis of a tensor stored as `stored`, or `None` where it does not fit.
    pub fn ranges(&self, stored: &[usize]) -> Option<Vec<(usize, usize)>> {
        if stored.len() != self.shape.len() {
            return None;
        }
        let range = |axis: usize| {
            let (want, have) = (self.shape[axis], stored[axis]);
            match self.elastic {
                Elastic::Exact => (want == have).then_some((0, want)),
                _ if want > have => None,
                Elastic::PrefixCentre(centre) if centre == axis => {
                    ((have - want) % 2 == 0).then(|| ((have - want) / 2, (have + want) / 2))
                }
                _ => Some((0, want)),
            }
        };
        (0..stored.len()).map(range).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrower_kernels_use_the_middle_and_narrower_widths_the_front() {
        let weight = Weight::new("w", &[4, 3, 3, 1], Init::FanIn).with_elastic(Elastic::PrefixCentre(2));
        assert_eq!(weight.ranges(&[8, 3, 5, 1]), Some(vec![(0, 4), (0, 3), (1, 4), (0, 1)]));
        assert_eq!(weight.ranges(&[8, 3, 4, 1]), None, "an even difference only: the kernel stays centred");
        assert_eq!(weight.ranges(&[2, 3, 3, 1]), None);
    }

    #[test]
    fn an_exact_weight_takes_no_other_shape() {
        let weight = Weight::new("w", &[4, 3], Init::FanIn);
        assert_eq!(weight.ranges(&[4, 3]), Some(vec![(0, 4), (0, 3)]));
        assert_eq!(weight.ranges(&[4, 4]), None);
    }
}
