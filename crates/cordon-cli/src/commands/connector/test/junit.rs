//! The report as JUnit XML, which build servers read.

use std::fmt::Write;

use super::super::suite::{Outcome, Tried};

/// One suite with a case each; a skipped one says why.
pub(super) fn report(connector: &str, all: &[Tried]) -> String {
    let count = |word: &str| all.iter().filter(|tried| tried.outcome.word() == word).count();
    let seconds = |micros: u64| micros as f64 / 1e6;
    let total = seconds(all.iter().map(|tried| tried.took_us).sum());
    let name = escape(if connector.is_empty() { "connector" } else { connector });
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{name}\" \
         tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{total:.3}\">\n",
        all.len(),
        count("failed"),
        count("skipped"),
    );
    for tried in all {
        let (case, time) = (tried.name, seconds(tried.took_us));
        let inside = match &tried.outcome {
            Outcome::Passed => String::new(),
            Outcome::Failed(why) => format!("<failure message=\"{}\"/>", escape(why)),
            Outcome::Skipped(why) => format!("<skipped message=\"{}\"/>", escape(why)),
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            xml,
            "    <testcase classname=\"conformance.{name}\" name=\"{case}\" time=\"{time:.3}\">{inside}</testcase>",
        );
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Text of a connector inside an attribute: what XML cannot hold is left out.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' => safe.push_str("&#10;"),
            char if cordon_model::is_hostile(char) => safe.push('\u{fffd}'),
            char => safe.push(char),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_server_reads_what_failed_and_what_was_not_judged() {
        let tried = |name, outcome| Tried { name, promise: "", outcome, took_us: 12_000 };
        let all = [
            tried("a", Outcome::Passed),
            tried("b", Outcome::Failed("\"x\" < \u{1b}[2J & more".into())),
            tried("c", Outcome::Skipped("no source".into())),
        ];
        insta::assert_snapshot!(report("acme", &all), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites>
          <testsuite name="acme" tests="3" failures="1" skipped="1" time="0.036">
            <testcase classname="conformance.acme" name="a" time="0.012"></testcase>
            <testcase classname="conformance.acme" name="b" time="0.012"><failure message="&quot;x&quot; &lt; �[2J &amp; more"/></testcase>
            <testcase classname="conformance.acme" name="c" time="0.012"><skipped message="no source"/></testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
