//! The linter on texts nobody wrote for it: it never panics, and what it says points into the text.

use ccl_core::knobs::{CheckContext, Rule, Severity, Syntax};
use proptest::prelude::*;

use super::{all, lint};

/// Lines of the kinds of trouble that files hold, in any order.
fn text() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        4 => (0..all().len()).prop_map(|i| all()[i].name.to_owned()),
        1 => "NCCL_[A-Z_]{0,12}",
        1 => "[A-Za-z_]{0,8}",
    ];
    let value = prop_oneof![
        3 => "-?[0-9]{1,20}[KMG]?",
        2 => "[\\^a-zA-Z0-9,;:= \"'#$`\\\\(){}\\t\u{e9}\u{1f600}]{0,16}",
        1 => Just("True".to_owned()),
    ];
    let before = prop_oneof![4 => Just(""), 1 => Just("export "), 1 => Just(" "), 1 => Just("# "), 1 => Just("setenv ")];
    let equals = prop_oneof![6 => Just("="), 1 => Just(" = "), 1 => Just(" "), 1 => Just("+=")];
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just(";"), 1 => Just(" ")];
    let line = (before, name, equals, value, end).prop_map(|(before, name, equals, value, end)| {
        format!("{before}{name}{equals}{value}{end}")
    });
    prop_oneof![
        4 => prop::collection::vec(line, 0..12).prop_map(|lines| lines.concat()),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn findings_point_into_the_text_and_are_in_order(text in text(), guessed: bool) {
        for syntax in Syntax::ALL {
            let report = lint(&text, syntax, guessed, &CheckContext::default());
            let lines: Vec<&str> = text.split('\n').collect();
            let mut previous = (0, 0);
            for found in &report.findings {
                prop_assert!((1..=lines.len()).contains(&found.line), "{found:?}");
                let width = lines[found.line - 1].chars().count();
                prop_assert!((1..=width + 1).contains(&found.column), "{found:?} of {width}");
                prop_assert!((found.line, found.column) >= previous, "{found:?} after {previous:?}");
                previous = (found.line, found.column);
                prop_assert!(!found.finding.reason.is_empty() && !found.finding.fix.is_empty());
            }
            let total: usize = [Severity::Note, Severity::Warning, Severity::Error]
                .map(|s| report.count(s))
                .iter()
                .sum();
            prop_assert_eq!(total, report.findings.len());
        }
    }

    /// The value of a variable that is not NCCL's may be a secret: nothing is said about it.
    #[test]
    fn other_programs_variables_are_left_alone(value in "[a-zA-Z0-9/+]{0,40}") {
        for syntax in Syntax::ALL {
            let text = format!("AWS_SECRET_ACCESS_KEY={value}\nRCCL_MSCCL_ENABLE=1\n");
            let report = lint(&text, syntax, true, &CheckContext::default());
            prop_assert_eq!(report.findings, vec![]);
        }
    }
}

#[test]
fn each_syntax_lets_its_own_assignment_win() {
    let text = "NCCL_DEBUG=WARN\nNCCL_DEBUG=True\n";
    let wrong = |syntax| {
        let report = lint(text, syntax, false, &CheckContext::default());
        let is_wrong = |f: &&ccl_core::knobs::Located| f.finding.rule == Rule::WrongType;
        report.findings.iter().filter(is_wrong).count()
    };
    assert_eq!(Syntax::ALL.map(wrong), [1, 1, 0]);
}
