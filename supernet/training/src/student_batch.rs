use crate::flow_batch::FlowBatch;

/// Clips at times of the student's steps, and the noise under which the discriminator or the scores see what the student makes
/// of them. Rows are clips.
pub(crate) struct StudentBatch {
    /// The clips at the student's times.
    pub clips: FlowBatch,
    /// Times t' at which the student's clips are seen.
    pub seen_times: Vec<f32>,
    /// Noise ε' under which they are seen.
    pub seen_noise: Vec<f32>,
    /// ξ of the R1 penalty; empty where there is none.
    pub penalty_noise: Vec<f32>,
    /// Noise of the student's steps before the one that is trained, one after another; empty where a real clip stands for them.
    pub step_noise: Vec<Vec<f32>>,
}

impl StudentBatch {
    /// The batch in `count` micro-batches, each in halves.
    pub fn micro_batches(&self, count: usize) -> Vec<Vec<Self>> {
        let (mut row, mut element) = (0, 0);
        let mut half = |clips: FlowBatch| {
            let rows = row..row + clips.captions.len();
            let elements = element..element + clips.data.len();
            (row, element) = (rows.end, elements.end);
            Self {
                clips,
                seen_times: self.seen_times[rows].to_vec(),
                seen_noise: self.seen_noise[elements.clone()].to_vec(),
                penalty_noise: self.penalty_noise.get(elements.clone()).unwrap_or_default().to_vec(),
                step_noise: self.step_noise.iter().map(|noise| noise[elements.clone()].to_vec()).collect(),
            }
        };
        let micro_batches = self.clips.micro_batches(count).into_iter();
        micro_batches.map(|halves| halves.into_iter().map(&mut half).collect()).collect()
    }
}
