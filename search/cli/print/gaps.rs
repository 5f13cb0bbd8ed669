//! How much quality few steps lose, and how much of it each student regains.

use serde_json::Value;

/// Prints the gaps.
pub fn print(gaps: &[Value]) {
    let number = |value: &Value, places: usize| format!("{:.places$}", value.as_f64().unwrap_or(f64::NAN));
    let figure =
        |spread: &Value| format!("{} ± {}", number(&spread["estimate"], 4), number(&spread["standard_error"], 4));
    if !gaps.is_empty() {
        println!("few steps by kernel MMD, ± one bootstrap error:");
    }
    for row in gaps {
        let note = if row["beyond_2_errors"] == true { "" } else { " (not above 2 errors: no gap to close)" };
        println!("  {} steps: plain Euler − many steps {}{note}", row["steps"], figure(&row["gap"]));
        for student in row["students"].as_array().into_iter().flatten() {
            let percent = |key: &str| 100.0 * student["closed"][key].as_f64().unwrap_or(f64::NAN);
            let closed = if student["closed"].is_object() {
                format!(", closes {:.0} ± {:.0} %", percent("estimate"), percent("standard_error"))
            } else {
                String::new()
            };
            let name = student["arm"].as_str().unwrap_or("?");
            println!("    {name}: plain Euler − this {}{closed}", figure(&student["won"]));
        }
    }
}
