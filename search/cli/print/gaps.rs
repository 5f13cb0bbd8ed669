//! How much quality few steps lose, and how much of it each student regains.

use tnas_record::{FewSteps, Spread};

/// Prints the gaps.
pub fn print(gaps: &[FewSteps]) {
    let figure = |spread: &Spread| format!("{:.4} ± {:.4}", spread.estimate, spread.standard_error);
    if !gaps.is_empty() {
        println!("few steps by kernel MMD, ± one bootstrap error:");
    }
    for row in gaps {
        let note = if row.beyond_2_errors { "" } else { " (not above 2 errors: no gap to close)" };
        println!("  {} steps: plain Euler − many steps {}{note}", row.steps, figure(&row.gap));
        for student in &row.students {
            let closed = student.closed.map_or(String::new(), |closed| {
                format!(", closes {:.0} ± {:.0} %", 100.0 * closed.estimate, 100.0 * closed.standard_error)
            });
            println!("    {}: plain Euler − this {}{closed}", student.arm, figure(&student.won));
        }
    }
}
