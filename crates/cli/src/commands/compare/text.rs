//! A comparison for the terminal.

use ccl_agent::compare::report::{MethodOnTask, Report};

use crate::table::{Align, Table};

/// The suite first, then task by task.
pub(super) fn tables(report: &Report) -> String {
    let mut text = format!(
        "suite {}: {} tasks, {} seeds, budget {}, machine spread {}\n\n{}",
        report.suite,
        report.tasks.len(),
        report.seeds,
        report.budget,
        report.machine_spread,
        overall(report)
    );
    for (task, results) in report
        .tasks
        .iter()
        .zip(report.results.chunks(report.methods.len().max(1)))
    {
        let gain = task.oracle_gain;
        text.push_str(&format!(
            "\n{}: default {:.1} ms, oracle gains {:.1} % [{:.1}, {:.1}]\n",
            task.name,
            task.default_ms,
            100.0 * gain.median,
            100.0 * gain.ci95[0],
            100.0 * gain.ci95[1]
        ));
        text.push_str(&of_task(results));
    }
    text
}

fn overall(report: &Report) -> String {
    let mut table = Table::new([
        ("METHOD", Align::Left),
        ("EVALUATIONS TO 2 %", Align::Right),
        ("OVER BEST PUBLISHED", Align::Right),
        ("WORST TASK", Align::Right),
        ("REGRET", Align::Right),
        ("WORST ITERATION", Align::Right),
        ("ENDS WORSE", Align::Right),
        ("NO DIFFERENCE", Align::Right),
        ("MS", Align::Right),
    ])
    .within(150);
    for (overall, timing) in report.overall.iter().zip(&report.timing) {
        let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
        let worst = overall.worst_ratio_to_best_published.as_ref();
        table.row([
            overall.method.to_string(),
            format!("{:.1}", overall.evaluations_to_2pct),
            ratio(overall.ratio_to_best_published),
            ratio(worst.map(|(ratio, _)| *ratio)),
            format!("{:.2}", overall.regret_iterations.median),
            format!("{:.3}", overall.worst_iteration_ratio),
            format!("{}/{}", overall.ends_worse, overall.runs),
            overall
                .no_difference_on_optimal
                .map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share)),
            format!("{:.2}", timing.ms_per_suggestion),
        ]);
    }
    table.render()
}

fn of_task(results: &[MethodOnTask]) -> String {
    let mut table = Table::new([
        ("  METHOD", Align::Left),
        ("TO 5 %", Align::Right),
        ("TO 2 %", Align::Right),
        ("95 %", Align::Right),
        ("NEVER", Align::Right),
        ("END OVER ORACLE", Align::Right),
        ("REGRET", Align::Right),
        ("WORST", Align::Right),
        ("SLOWER", Align::Right),
        ("ENDS WORSE", Align::Right),
        ("ITERATIONS", Align::Right),
        ("CANDIDATES", Align::Right),
    ])
    .within(150);
    for result in results {
        let (to_5, to_2) = (result.evaluations_to_5pct, result.evaluations_to_2pct);
        table.row([
            format!("  {}", result.method),
            format!("{:.1}", to_5.median),
            format!("{:.1}", to_2.median),
            format!("{:.0}-{:.0}", to_2.ci95[0], to_2.ci95[1]),
            format!("{}/{}", to_2.censored, result.runs),
            format!("{:+.1} %", 100.0 * (result.end_over_oracle.median - 1.0)),
            format!("{:.2}", result.regret_iterations.median),
            format!("{:.3}", result.worst_iteration_ratio),
            format!("{:.0} %", 100.0 * result.slower_share),
            result.ends_worse.to_string(),
            format!("{:.0}", result.iterations),
            format!("{:.0}", result.candidates),
        ]);
    }
    table.render()
}
