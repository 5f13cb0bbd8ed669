//! Multi-objective evolution over any genome.
