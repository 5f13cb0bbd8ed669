//! From backbone configs and genotypes to graphs.
