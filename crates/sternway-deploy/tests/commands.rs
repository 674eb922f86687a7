//! Real scripts, run by a real shell.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sternway_deploy::commands::{Commands, Settings};
use sternway_model::app::{App, AppError, Deployment};
use sternway_model::catalog::Release;
use tempfile::TempDir;

/// A folder with an application in it, which is a few files.
struct Place {
    folder: TempDir,
    settings: Settings,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings {
            stop: "echo stopped >>log".to_owned(),
            swap: "echo swapped {from} for {version} >>log".to_owned(),
            start: "echo started {version} >>log".to_owned(),
            ready: None,
            version: None,
            ready_timeout: Duration::from_secs(20),
            timeout: Duration::from_secs(20),
            folder: folder.path().to_owned(),
            hidden: Vec::new(),
            redact: str::to_owned,
        };
        Place { folder, settings }
    }

    fn app(&self) -> Commands {
        Commands::new(self.settings.clone())
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

fn release(text: &str) -> Release {
    text.parse().expect("a release")
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// Whether a process is there and is no zombie.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_ok_and(|it| !it.contains(") Z "))
}

/// Whether a process ends that was told to: a busy machine takes its time over it.
fn ends(pid: &str) -> bool {
    let start = Instant::now();
    while lives(pid) && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    !lives(pid)
}

#[track_caller]
/// Commands know nothing of what they move.
fn known() -> Deployment {
    Deployment::default()
}

fn refused(ended: Result<(), AppError>, parts: &[&str]) {
    let error = ended.expect_err("an error").to_string();
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn the_commands_run_in_the_folder_of_the_settings_and_may_be_repeated() {
    let place = Place::new();
    let (one, two) = (release("1.0.0"), release("1.1.0-rc.1+build.5"));
    run(async {
        let mut app = place.app();
        for _ in 0..2 {
            app.stop(&known()).await.expect("a stop");
            app.swap(&known(), Some(&one), &two).await.expect("a swap");
            app.start(&known(), &two).await.expect("a start");
        }
    });
    let once = "stopped\nswapped 1.0.0 for 1.1.0-rc.1+build.5\nstarted 1.1.0-rc.1+build.5\n";
    assert_eq!(place.read("log"), once.repeat(2));
}

#[test]
fn a_command_that_fails_is_quoted_with_its_last_lines() {
    let mut place = Place::new();
    place.settings.stop =
        "for i in $(seq 1 50); do echo line $i; done; echo no such unit >&2; exit 3".to_owned();
    let ended = run(async { place.app().stop(&known()).await });
    let parts = [
        "cannot stop the application: `stop` ended with exit status: 3",
        "line 50",
        "no such unit",
    ];
    let error = ended.as_ref().expect_err("an error").to_string();
    assert!(!error.contains("line 10\n"), "only the last lines: {error}");
    refused(ended, &parts);
}

#[test]
fn what_a_command_says_is_redacted() {
    let mut place = Place::new();
    place.settings.redact = |text| text.replace("pass", "****");
    place.settings.stop = "echo url=pass; exit 1".to_owned();
    refused(run(async { place.app().stop(&known()).await }), &["url=****"]);
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_all_that_it_started() {
    let mut place = Place::new();
    // The grandchild does not listen to a polite word, and holds the pipe.
    place.settings.swap =
        "sh -c 'trap \"\" TERM; echo $$ >pid; sleep 100; sleep 100' & wait".to_owned();
    place.settings.timeout = Duration::from_millis(300);
    let start = Instant::now();
    let ended = run(async { place.app().swap(&known(), None, &release("1.0.0")).await });
    refused(
        ended,
        &["cannot put release 1.0.0 in place", "did not end within 0.3 s and was killed"],
    );
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    let pid = place.read("pid");
    assert!(!pid.trim().is_empty() && ends(&pid), "{pid} lives on");
}

#[test]
fn what_a_failed_command_started_does_not_go_on() {
    let mut place = Place::new();
    place.settings.start = "sleep 100 & echo $! >pid; exit 1".to_owned();
    refused(
        run(async { place.app().start(&known(), &release("1.0.0")).await }),
        &["start release 1.0.0"],
    );
    assert!(ends(&place.read("pid")));
}

#[test]
fn an_application_that_start_leaves_in_the_background_lives_on() {
    let mut place = Place::new();
    place.settings.start = "sleep 100 >/dev/null 2>&1 & echo $! >pid".to_owned();
    run(async { place.app().start(&known(), &release("1.0.0")).await }).expect("a start");
    let pid = place.read("pid");
    assert!(lives(&pid), "{pid} is gone");
    let killed = std::process::Command::new("kill").arg(pid.trim()).status().expect("kill");
    assert!(killed.success());
}

#[test]
fn a_program_in_the_background_that_keeps_the_pipe_does_not_hold_the_run_up() {
    let mut place = Place::new();
    place.settings.start = "sleep 30 & echo $! >pid".to_owned();
    let start = Instant::now();
    run(async { place.app().start(&known(), &release("1.0.0")).await }).expect("a start");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let pid = place.read("pid");
    let _ = std::process::Command::new("kill").arg(pid.trim()).status();
}

#[test]
fn readiness_that_takes_time_is_waited_for() {
    let mut place = Place::new();
    place.settings.ready = Some("echo {version} >>asked; test $(wc -l <asked) -ge 3".to_owned());
    run(async { place.app().start(&known(), &release("1.0.0")).await }).expect("ready");
    assert_eq!(place.read("asked"), "1.0.0\n".repeat(3));
}

#[test]
fn readiness_that_never_comes_ends_with_the_last_reason() {
    let mut place = Place::new();
    place.settings.ready = Some("echo connection refused; false".to_owned());
    place.settings.ready_timeout = Duration::from_millis(700);
    let ended = run(async { place.app().start(&known(), &release("1.0.0")).await });
    refused(ended, &["wait until release 1.0.0 is ready", "after 0.7 s", "connection refused"]);
}

#[test]
fn a_readiness_command_that_hangs_is_killed_at_the_end_of_its_time() {
    let mut place = Place::new();
    place.settings.ready = Some("sleep 100".to_owned());
    place.settings.ready_timeout = Duration::from_millis(400);
    let start = Instant::now();
    refused(run(async { place.app().start(&known(), &release("1.0.0")).await }), &["is ready"]);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn the_release_that_runs_is_asked_for() {
    let mut place = Place::new();
    let mut asked = |command: Option<&str>| {
        place.settings.version = command.map(str::to_owned);
        run(async { place.app().running().await }).map_err(|error| error.to_string())
    };
    assert_eq!(asked(None), Ok(None));
    assert_eq!(asked(Some("true")), Ok(None));
    assert_eq!(asked(Some("echo noise >&2; echo v1.2.3")), Ok(Some(release("1.2.3"))));
    let error = asked(Some("echo '1.2.3; rm -r /'")).expect_err("no release");
    assert!(error.contains("is not a release number"), "{error}");
    let error = asked(Some("echo down; exit 7")).expect_err("a failure");
    assert!(error.contains("`version` ended with exit status: 7; it said:\ndown"), "{error}");
}

#[test]
fn what_a_command_says_without_end_is_not_kept() {
    let mut place = Place::new();
    place.settings.version = Some("head -c 300000000 /dev/zero | tr '\\0' 'x'".to_owned());
    let error = run(place.app().running()).expect_err("an answer").to_string();
    assert!(error.contains("`version` answered with more than 4096 bytes"), "{error}");
    // A line without end is cut, and those after it are heard.
    place.settings.swap =
        "head -c 200000 /dev/zero | tr '\\0' 'x'; echo; echo last; exit 3".to_owned();
    let ended = run(place.app().swap(&known(), None, &release("1.0.0")));
    let error = ended.expect_err("a failure").to_string();
    assert!(error.len() < 1000 && error.ends_with("x\nlast"), "{error}");
}

#[test]
fn no_metacharacter_comes_in_through_a_release() {
    for text in ["1.0.0;touch x", "1.0.0-$(touch x)", "1.0.0-`x`", "1.0.0 x", "1.0.0-a'b", "-1.0.0"]
    {
        assert!(text.parse::<Release>().is_err(), "{text} is a release");
    }
    let mut place = Place::new();
    place.settings.swap =
        "printf '%s|' {version} '{version}' \"$STERNWAY_VERSION\" \"$STERNWAY_FROM\" >log"
            .to_owned();
    let (from, to) = (release("2.0.0"), release("1.0.0-x.7.z-92+a-b.C"));
    run(async { place.app().swap(&known(), Some(&from), &to).await }).expect("a swap");
    assert_eq!(
        place.read("log"),
        "1.0.0-x.7.z-92+a-b.C|1.0.0-x.7.z-92+a-b.C|1.0.0-x.7.z-92+a-b.C|2.0.0|"
    );
    refused(
        run(async { Place::new().app().swap(&known(), None, &to).await }),
        &["`swap`", "{from}"],
    );
}

/// The variables are set for a process of its own: this one has other tests in it.
#[test]
fn commands_do_not_get_the_secrets_of_databases() {
    let inner = "STERNWAY_TEST_INNER";
    if std::env::var_os(inner).is_some() {
        let mut place = Place::new();
        place.settings.hidden = vec!["HARBOUR_URL".to_owned()];
        place.settings.stop = "env >env".to_owned();
        run(async { place.app().stop(&known()).await }).expect("a stop");
        let found = place.read("env");
        assert!(!found.contains("s3cr3t"), "{found}");
        assert!(found.contains("HARBOUR_NAME=kept"), "{found}");
        return;
    }
    let me = std::env::current_exe().expect("this program");
    let mut command = std::process::Command::new(me);
    command.args(["--exact", "commands_do_not_get_the_secrets_of_databases"]).env(inner, "1");
    for name in
        ["STERNWAY_DATABASE", "STERNWAY_REHEARSAL", "PGPASSWORD", "MYSQL_PWD", "HARBOUR_URL"]
    {
        command.env(name, "s3cr3t");
    }
    let output = command.env("HARBOUR_NAME", "kept").output().expect("a test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
