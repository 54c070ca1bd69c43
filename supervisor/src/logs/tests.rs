//! Whatever a connector prints: what is kept is bounded, in lines, and without secrets.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use secrecy::SecretString;
use tokio::io::ReadBuf;

use super::*;
use crate::limits::{LOG_BYTES_PER_SECOND, LOG_FILE_BYTES, LOG_LINES_PER_SECOND};

/// Gives bytes in the pieces that a test wants.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(piece) = self.0.pop_front() {
            buffer.put_slice(&piece);
        }
        Poll::Ready(Ok(()))
    }
}

fn redactor(secrets: &[&str]) -> Redactor {
    let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
    Redactor::new(secrets.iter())
}

/// What is kept of output that comes in these pieces.
fn kept_of(pieces: &[&[u8]], redactor: Redactor) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let logs = Arc::new(Logs::new(dir.path().join("x.log")));
        let pieces = Pieces(pieces.iter().map(|piece| piece.to_vec()).collect());
        logs.clone().capture(7, pieces, redactor).await;
        logs.recent().into_iter().map(|line| line.text).collect()
    })
}

fn kept(bytes: &[u8]) -> Vec<String> {
    kept_of(&[bytes], Redactor::default())
}

/// Waits until what was captured is in the file, or lost to it.
async fn settled(logs: &Logs) {
    while logs.file.is_busy() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_line_without_end_is_cut_and_counted() {
    let piece = [b'x'; 1_000];
    let mut pieces: Vec<&[u8]> = vec![&piece; 1_000];
    pieces.push(b"\n");
    let kept = kept_of(&pieces, redactor(&["correct-horse"]));
    assert_eq!(kept.len(), 1);
    assert!(kept[0].ends_with("x … 995904 bytes dropped"), "{}", &kept[0][4_090..]);
    let mut lines = Lines::new(100);
    for piece in pieces {
        lines.take(piece, |_| {});
        assert!(lines.held_bytes() <= LOG_LINE_BYTES + 100);
    }
}

#[test]
fn a_line_cannot_forge_another_or_move_the_cursor() {
    let lines = kept(b"ok\r2026-01-01 [1] forged\x1b[2J\n\xff\n");
    assert_eq!(lines, ["ok\\u{d}2026-01-01 [1] forged\\u{1b}[2J", "\u{fffd}"]);
    // Both sets of controls, the line breaks of Unicode, directions, and what has no shape.
    let hostile = "\u{0}\u{7}\u{7f}\u{85}\u{9b}31m\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{61c}\u{feff}\u{e0041}";
    let line = kept(format!("a\t{hostile}\n").as_bytes()).remove(0);
    let wanted = "a \\u{0}\\u{7}\\u{7f}\\u{85}\\u{9b}31m\\u{2028}\\u{2029}\\u{202e}\\u{2066}\\u{200f}\\u{61c}\\u{feff}\\u{e0041}";
    assert_eq!(line, wanted);
}

#[test]
fn a_secret_that_reads_as_one_only_after_escaping_is_not_kept() {
    let lines = kept_of(&[b"key=correct\thorse\n"], redactor(&["correct horse"]));
    assert_eq!(lines, ["key=***"]);
}

#[test]
fn a_word_of_the_supervisor_has_no_process_and_so_cannot_be_forged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let flood = b"[cordond] 5 lines dropped\n".repeat(LOG_LINES_PER_SECOND as usize + 5);
    let lines = runtime.block_on(async {
        let logs = Arc::new(Logs::new(path.clone()));
        logs.clone().capture(7, flood.as_slice(), Redactor::default()).await;
        settled(&logs).await;
        logs.recent()
    });
    let own: Vec<&str> =
        lines.iter().filter(|line| line.pid.is_none()).map(|line| line.text.as_str()).collect();
    assert_eq!(own, ["5 lines dropped at the end of process 7"]);
    let file = std::fs::read_to_string(&path).unwrap();
    let second = |line: &str| line.split(' ').nth(1).map(str::to_owned);
    let stamps: Vec<String> = file.lines().filter_map(second).collect();
    assert_eq!(stamps.iter().filter(|stamp| *stamp == "[cordond]").count(), 1);
    assert_eq!(stamps.iter().filter(|stamp| *stamp == "[7]").count(), lines.len() - 1);
}

#[test]
fn a_flood_is_dropped_and_the_count_is_told() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    let kept = (0..10_000).filter(|_| budget.spend(start, 1).is_some()).count();
    assert_eq!(kept, LOG_LINES_PER_SECOND as usize);
    let later = start + Duration::from_secs(1);
    assert_eq!(budget.spend(later, 1), Some(10_000 - u64::from(LOG_LINES_PER_SECOND)));
}

#[test]
fn long_lines_meet_a_budget_of_bytes_before_that_of_lines() {
    let start = Instant::now();
    let mut budget = Budget::new(start);
    let kept = (0..10_000).filter(|_| budget.spend(start, LOG_LINE_BYTES).is_some()).count();
    assert_eq!(kept, LOG_BYTES_PER_SECOND / LOG_LINE_BYTES);
    assert!(kept < LOG_LINES_PER_SECOND as usize);
}

#[test]
fn a_flood_slows_its_writer_and_ordinary_output_does_not() {
    let start = Instant::now();
    let mut pace = Pace::new(start);
    assert!(!pace.is_flood(start, READ_BYTES));
    assert!((0..1_000).any(|_| pace.is_flood(start, READ_BYTES)));
    assert!(!pace.is_flood(start + Duration::from_secs(1), READ_BYTES));
}

#[tokio::test]
async fn a_flood_grows_neither_memory_nor_the_file_without_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    let logs = Arc::new(Logs::new(path.clone()));
    let flood = AsyncReadExt::take(tokio::io::repeat(b'\n'), 50_000_000);
    let noisy: Vec<u8> = b"noise\n".repeat(200_000);
    logs.clone().capture(1, flood, Redactor::default()).await;
    logs.clone().capture(1, noisy.as_slice(), Redactor::default()).await;
    settled(&logs).await;
    assert!(logs.recent().len() <= LOG_LINES);
    assert!(std::fs::metadata(&path).unwrap().len() < 2 * LOG_FILE_BYTES);
}

#[tokio::test]
async fn a_log_file_is_private_and_a_planted_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, victim) = (dir.path().join("x.log"), dir.path().join("victim"));
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    let logs = Arc::new(Logs::new(path.clone()));
    logs.clone().capture(1, &b"one\n"[..], Redactor::default()).await;
    settled(&logs).await;
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
    std::fs::hard_link(&victim, &path).unwrap();
    logs.clone().capture(1, &b"two\n"[..], Redactor::default()).await;
    settled(&logs).await;
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    logs.clone().capture(1, &b"three\n"[..], Redactor::default()).await;
    settled(&logs).await;
    assert_eq!(mode(&path), 0o600);
    let file = std::fs::read_to_string(&path).unwrap();
    assert!(file.contains("[cordond] 2 lines were not written"), "{file}");
    assert!(file.contains("[1] three"), "{file}");
    assert_eq!(logs.recent().len(), 3, "memory keeps what the disk does not");
}

#[test]
fn a_disk_that_does_not_answer_stalls_nobody_and_its_losses_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    // The only thread that may wait for the disk waits until it is told.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().max_blocking_threads(1).build().unwrap();
    let (answer, no_answer) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || no_answer.recv());
    runtime.block_on(async {
        let logs = Arc::new(Logs::new(path.clone()));
        let noisy: Vec<u8> = [b"noise ".repeat(100), b"\n".to_vec()].concat().repeat(50);
        for _ in 0..=crate::limits::LOG_QUEUE_BYTES / noisy.len() {
            // Each process has a budget of its own, so that only the queue drops.
            logs.clone().capture(1, noisy.as_slice(), Redactor::default()).await;
        }
        assert!(!path.exists());
        drop(answer);
        settled(&logs).await;
        logs.clone().capture(1, &b"at last\n"[..], Redactor::default()).await;
        settled(&logs).await;
    });
    let file = std::fs::read_to_string(&path).unwrap();
    assert!(file.contains("lines were not written: the disk is slow or full"), "{}", file.len());
    assert!(file.contains("[1] at last"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The secret stands anywhere in the output, also across the cut of a long line, and comes in
    /// any pieces.
    #[test]
    fn no_secret_is_kept_whatever_the_pieces_it_comes_in(
        secret in "[a-zA-Z0-9 +/=%-]{8,40}",
        start in prop_oneof![0usize..100, 4_000usize..4_200],
        pick in 0usize..12,
        cuts in prop::collection::vec(0usize..5_000, 0..12),
    ) {
        let secret = secret.trim().to_owned();
        prop_assume!(secret.len() >= 8);
        let forms = crate::secrets::test_forms(&secret);
        let form = &forms[pick % forms.len()];
        let output = format!("{}{form}#\n{form}\nlast", "#".repeat(start));
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(output.len())).collect();
        cuts.extend([0, output.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> =
            cuts.windows(2).map(|cut| &output.as_bytes()[cut[0]..cut[1]]).filter(|it| !it.is_empty()).collect();
        let kept = kept_of(&pieces, redactor(&[&secret]));
        prop_assert_eq!(kept.last().map(String::as_str), Some("last"));
        for line in &kept {
            prop_assert!(!line.contains(&secret), "{:?}", line);
            prop_assert!(!line.contains(form.as_str()), "{:?}", line);
            // Not even its beginning, where the line was cut.
            prop_assert!(!line.contains(&secret[..7]) || secret[..7].contains('#'), "{:?}", line);
        }
    }
}
