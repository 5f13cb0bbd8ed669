//! What the search promises, over whole runs. Each module is one promise.

/// Problems of real numbers: hypervolumes as good as pymoo's, limits kept.
mod real_valued;

/// Problems of choices: the known front is found, and a whole space can be used up.
mod categorical;

/// Equal seeds give equal searches, through any save, load and order of evaluations.
mod reproducible;

/// What is asked for is new; what comes back must fit; corrected objectives take hold.
mod ask_and_tell;

/// The genomes and problems used above.
mod problems;
