//! The page of a comparison: what was compared and how, the results, the pictures.

use std::fmt::Write as _;

use ccl_agent::compare::report::{Evaluations, Report};

/// What the page says before any figure.
const DEFINITIONS: &str = include_str!("definitions.md");

/// The page, in Markdown; its pictures begin with `stem`.
pub(super) fn page(report: &Report, stem: &str) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "# Methods compared\n\nSuite `{}`: {} tasks, {} seeds each, {} evaluations a run, \
         machines that differ from their specification with a spread of {}. Written by `make {stem}`; every figure comes from the simulator, and none was measured on a machine.\n",
        report.suite,
        report.tasks.len(),
        report.seeds,
        report.budget,
        report.machine_spread
    );
    overall(&mut page, report);
    let _ = writeln!(
        page,
        "\n![Percent above the oracle over evaluations](figures/{stem}-convergence.svg)\n\n\
         ![Regret](figures/{stem}-regret.svg)"
    );
    tasks(&mut page, report);
    page.push('\n');
    page.push_str(DEFINITIONS);
    page
}

fn overall(page: &mut String, report: &Report) {
    page.push_str(
        "| method | evaluations to 2 %, median task | over the best published: median task | worst \
         task | regret, iterations: median [95 %] | most | worst iteration / default | slower \
         trials | ends worse | \"no difference\" where there is none | ms a suggestion |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (overall, timing) in report.overall.iter().zip(&report.timing) {
        let ratio = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.2}"));
        let worst = overall.worst_ratio_to_best_published.as_ref();
        let regret = overall.regret_iterations;
        let _ = writeln!(
            page,
            "| {} | {:.1} | {} | {} | {:.2} [{:.2}, {:.2}] | {:.2} | {:.3} | {:.0} % | {} of {} | {} \
             | {:.2} |",
            overall.method,
            overall.evaluations_to_2pct,
            ratio(overall.ratio_to_best_published),
            worst.map_or("-".to_owned(), |(ratio, task)| format!(
                "{ratio:.2} ({task})"
            )),
            regret.median,
            regret.ci95[0],
            regret.ci95[1],
            overall.most_regret_iterations,
            overall.worst_iteration_ratio,
            100.0 * overall.slower_share,
            overall.ends_worse,
            overall.runs,
            overall
                .no_difference_on_optimal
                .map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share)),
            timing.ms_per_suggestion,
        );
    }
}

/// Evaluations until within 2 % of the oracle, task by task.
fn tasks(page: &mut String, report: &Report) {
    page.push_str(
        "\n## Task by task\n\nEvaluations until within 2 % of the oracle, for good: median over seeds \
         [95 % interval]; after a slash the runs that never got there, which count with the whole \
         budget.\n\n| task | oracle gains |",
    );
    for method in &report.methods {
        let _ = write!(page, " {method} |");
    }
    page.push_str("\n|---|--:|");
    page.push_str(&"--:|".repeat(report.methods.len()));
    page.push('\n');
    let of_task = report.results.chunks(report.methods.len().max(1));
    for (task, results) in report.tasks.iter().zip(of_task) {
        let _ = write!(
            page,
            "| {} | {:.1} % |",
            task.name,
            100.0 * task.oracle_gain.median
        );
        for result in results {
            let _ = write!(page, " {} |", cell(result.evaluations_to_2pct));
        }
        page.push('\n');
    }
}

fn cell(to_2pct: Evaluations) -> String {
    let [low, high] = to_2pct.ci95;
    let never = match to_2pct.censored {
        0 => String::new(),
        runs => format!(" / {runs}"),
    };
    format!("{:.1} [{low:.0}, {high:.0}]{never}", to_2pct.median)
}
