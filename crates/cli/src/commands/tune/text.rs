//! The result of a run for people: what was gained, what it cost, what to do with it.

use std::fmt::Write as _;
use std::path::Path;

use ccl_agent::summary::Summary;
use ccl_core::{ExportFormat, Source, Verdict, export, format_bytes};

use super::progress::time;
use crate::table::{Align, Table};

/// The text.
pub(super) fn result(summary: &Summary, folder: &Path, memory: &str) -> String {
    let mut text = String::from("\n");
    let [low, high] = summary.speedup.ci95;
    let headline = match summary.verdict {
        Verdict::Faster => format!(
            "FASTER: {:.3} times as fast as untuned NCCL, 95 % interval [{low:.3}, {high:.3}]",
            summary.speedup.median
        ),
        Verdict::NoDifference if summary.diagnosis.is_some() => {
            "NOT TUNED: the machine is broken; untuned NCCL stays".to_owned()
        }
        Verdict::NoDifference
            if summary.best.configuration.is_untuned() && (low, high) == (1.0, 1.0) =>
        {
            "NO DIFFERENCE: nothing tried was better than untuned NCCL; it stays as it is"
                .to_owned()
        }
        Verdict::NoDifference => format!(
            "NO DIFFERENCE beyond the noise ({:.3} [{low:.3}, {high:.3}]); untuned NCCL stays",
            summary.speedup.median
        ),
        Verdict::Slower => format!(
            "SLOWER on fresh pairs ({:.3} [{low:.3}, {high:.3}]); rolled back to untuned NCCL",
            summary.speedup.median
        ),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{headline}");
    let where_from = match summary.source {
        Source::Simulated => "Simulated: a model computed every figure; nothing was measured.",
        Source::Recorded => "Recorded: every time was measured earlier by somebody else.",
        Source::Measured => "Measured in this run.",
    };
    let _ = writeln!(text, "{where_from}\n");
    let row = |text: &mut String, name: &str, value: String| {
        let _ = writeln!(text, "  {name:<16}{value}");
    };
    let estimate = |e: &ccl_agent::summary::Estimate| match e.samples {
        1 => format!("{} in one iteration", time(e.median)),
        samples => format!(
            "{} per iteration [{}, {}] over {samples} iterations",
            time(e.median),
            time(e.ci95[0]),
            time(e.ci95[1]),
        ),
    };
    row(
        &mut text,
        "untuned NCCL",
        estimate(&summary.baseline.iteration_ms),
    );
    row(
        &mut text,
        "best found",
        estimate(&summary.best.iteration_ms),
    );
    if let Some(oracle) = &summary.oracle {
        row(
            &mut text,
            "oracle",
            format!(
                "{} noise-free, by trying everything; {:.0} % of its gain was captured",
                time(oracle.iteration_ms),
                100.0 * oracle.captured
            ),
        );
    }
    let cost = &summary.tuning_cost;
    row(
        &mut text,
        "cost to the job",
        format!(
            "{} iterations, {:.2} iterations' worth of slow-down, slowest {:.2} times the baseline; \
             {} choices timed outside the job",
            cost.iterations,
            cost.regret_iterations - cost.restart_iterations,
            cost.worst_iteration_ratio,
            cost.probes
        ),
    );
    if cost.restarts > 0 {
        row(
            &mut text,
            "restarts",
            format!(
                "{}, {:.1} iterations' worth of time beside that",
                cost.restarts, cost.restart_iterations
            ),
        );
    }
    row(
        &mut text,
        "trials",
        format!(
            "{} ({} from hypotheses, {} from the search), {} rolled back, {} refused",
            summary.trials,
            summary.lanes.hypothesis,
            summary.lanes.numeric,
            summary.rolled_back,
            summary.refused
        ),
    );
    let llm = &summary.llm;
    row(
        &mut text,
        "language model",
        match (llm.calls, llm.failed) {
            (0, _) => "not asked".to_owned(),
            (calls, failed) => format!(
                "{} {}: asked {calls} times, {failed} without a valid decision{}",
                llm.provider,
                llm.model,
                if llm.fallback_used {
                    "; the rule mind acted"
                } else {
                    ""
                }
            ),
        },
    );
    row(&mut text, "stopped", summary.stopped_explanation.clone());
    let variables = &summary.best.configuration.environment.variables;
    let variables: Vec<_> = variables.iter().map(|(n, v)| format!("{n}={v}")).collect();
    row(
        &mut text,
        "ready to use",
        match export(&summary.best.configuration, ExportFormat::NcclTunerCsv, "") {
            _ if !variables.is_empty() => format!(
                "best/variables.env ({}), and the tables beside it where there are any",
                variables.join(" ")
            ),
            _ if summary.best.configuration.is_untuned() => "nothing: NCCL as it comes".to_owned(),
            Ok(_) => "best/nccl-tuner.csv, and best/policy.csv for our plugin".to_owned(),
            Err(reason) => {
                format!("best/policy.csv for our plugin; not as NCCL's tuner CSV ({reason})")
            }
        },
    );
    let rules_of_best = &summary.best.configuration.policy.rules;
    if !rules_of_best.is_empty() {
        let mut table = Table::new([
            ("  COLLECTIVE", Align::Left),
            ("RANKS", Align::Right),
            ("NODES", Align::Right),
            ("FROM", Align::Right),
            ("TO", Align::Right),
            ("RUN", Align::Left),
        ]);
        for rule in rules_of_best {
            table.row([
                format!("  {}", rule.collective),
                rule.shape.ranks.to_string(),
                rule.shape.nodes.to_string(),
                format_bytes(rule.min_bytes),
                format_bytes(rule.max_bytes + 1),
                rule.choice.to_string(),
            ]);
        }
        let _ = write!(text, "\n{}", table.render());
    }
    if !summary.advice.is_empty() {
        text.push_str("\n  Not tried, for the next start:\n");
        for advice in &summary.advice {
            let _ = writeln!(
                text,
                "  {}={}: {} ({}). Risk: {}",
                advice.variable, advice.value, advice.because, advice.mechanism, advice.risk
            );
        }
    }
    let _ = write!(
        text,
        "\nEverything about this run: {}\nRules learnt: {}",
        folder.display(),
        memory
    );
    text
}
