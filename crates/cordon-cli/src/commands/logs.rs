//! `cordon logs`: what a connector's process wrote to its stderr.

use cordon_wire::v1;
use tokio_stream::StreamExt;

use crate::args::LogsArgs;
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::page::{Page, Tone};
use crate::output::scene::Scene;
use crate::units;

pub(super) async fn run(
    mut client: Client,
    args: LogsArgs,
    out: &mut Output,
) -> Result<Exit, Failure> {
    let request = v1::LogsRequest {
        connector: args.name,
        follow: args.follow,
        lines: args.lines,
        since: units::since(args.since),
        sync: args.sync.unwrap_or_default(),
    };
    let mut lines = answer(client.logs(request)).await?;
    out.open::<v1::LogLine, _>(&())?;
    let mut is_silent = true;
    while let Some(line) = lines.next().await {
        let line = line?;
        is_silent = false;
        out.item(&line, |scene| page(&line, scene))?;
        if args.follow {
            out.flush()?;
        }
    }
    out.close()?;
    if is_silent && !args.follow {
        let mut note = Page::new();
        note.line("nothing was written");
        out.note(note);
    }
    Ok(Exit::Done)
}

fn page(line: &v1::LogLine, scene: &Scene) -> Page {
    let mut page = Page::new();
    let from = match line.pid {
        // It has no process: what it says was not printed by one.
        0 => "cordond".to_owned(),
        pid => pid.to_string(),
    };
    page.styled(Tone::Dim, &format!("{} {}[{from}]", scene.clock(line.time), line.connector));
    page.push(" ").push(line.line.trim_end()).end();
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn line(text: &str) -> v1::LogLine {
        v1::LogLine { time: sample::ago(0), connector: "hr".into(), pid: 77, line: text.into() }
    }

    #[test]
    fn a_log_line_is_shown_with_its_time_and_process() {
        insta::assert_snapshot!(page(&line("read 12 pages\n"), &Scene::fixed()).plain(), @r#"09:00:00 hr[77] read 12 pages"#);
    }

    #[test]
    fn a_word_of_cordond_is_told_from_what_a_process_printed() {
        let dropped = v1::LogLine { pid: 0, ..line("5 lines dropped") };
        insta::assert_snapshot!(page(&dropped, &Scene::fixed()).plain(), @"09:00:00 hr[cordond] 5 lines dropped");
    }

    #[test]
    fn a_log_line_cannot_drive_the_terminal_or_fake_another() {
        let text = page(&line("\u{1b}]0;x\u{7}ok\n09:00:00 hr[77] all fine"), &Scene::fixed());
        insta::assert_snapshot!(text.plain(), @r#"09:00:00 hr[77] \u{1b}]0;x\u{7}ok\n09:00:00 hr[77] all fine"#);
    }

    #[test]
    fn json_keeps_the_line_as_it_is() {
        insta::assert_snapshot!(sample::json(&line("a\u{1b}[2Jb")), @r#"{"time":"2026-03-02T09:00:00Z","connector":"hr","pid":77,"line":"a\u001b[2Jb"}"#);
    }
}
