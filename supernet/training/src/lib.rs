//! Training the supernet, the winner and its few-step student.
