//! The application is usually broken when somebody goes back: nothing may need a pod that is well.

use crate::harbour::Harbour;

/// What makes the controller's pods behave otherwise, and can be left out of the values again.
fn pods(kind: &str) -> String {
    format!(r"controller.podAnnotations.stage\.sternway\.test/kind={kind}")
}

const WITHOUT: &str = "without = [\"controller.podAnnotations\"]";

/// Goes back from a release whose pods never become ready.
fn goes_back_from(test: &str, kind: &str, words: &str) {
    let Some(harbour) = Harbour::new(test) else { return };
    harbour.settings("", WITHOUT);
    harbour.migrate("1.2.1");
    harbour.install_chart("1.2.1", &["--set", &pods(kind)]);
    harbour.fill();
    harbour.stands(words);
    harbour.kubectl(&["rollout", "status", "deployment/harbour-postgresql", "--timeout", "60s"]);
    harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.is_at("1.1.2", 1);
}

#[test]
fn crash_looping() {
    goes_back_from("crash_loop", "crash-loop", "CrashLoopBackOff");
}

#[test]
fn without_an_image() {
    goes_back_from("image_pull", "image-pull", "ImagePullBackOff");
}

#[test]
fn with_no_replicas() {
    let Some(harbour) = Harbour::new("no_replicas") else { return };
    harbour.install("1.2.1", &[]);
    harbour.kubectl(&["scale", "deployment/harbour-controller", "--replicas=0"]);
    harbour.serves("1.2.1", 0);
    harbour.run(&["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    // As it was: whoever has scaled it away scales it up.
    harbour.is_at("1.1.2", 0);
    assert_eq!(harbour.get("deployment/harbour-controller", ".spec.replicas"), "0");
}

#[test]
fn with_two_releases_at_once() {
    let Some(harbour) = Harbour::new("two_releases") else { return };
    harbour.settings("", WITHOUT);
    harbour.install("1.2.0", &[]);
    let archive = harbour.archive("harbour", "1.2.1");
    let upgrade = ["upgrade", "harbour", &archive, "--reuse-values", "--set", &pods("never-ready")];
    harbour.helm(&upgrade);
    harbour.stands("false");
    let rollback = ["rollback", "--to", "1.1.2", "--yes"];
    let refused = harbour.run(&rollback);
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
    refused.explains(&[
        "pod harbour-controller-",
        "controller:1.2.0",
        "controller:1.2.1",
        "helm release harbour (revision 2): chart 1.2.1",
        "--from decides",
    ]);
    harbour.run(&[&rollback[..], &["--from", "1.2.1"]].concat()).ended(0);
    harbour.is_at("1.1.2", 1);
}

#[test]
fn with_its_deployment_gone() {
    let Some(harbour) = Harbour::new("gone") else { return };
    harbour.install("1.2.1", &[]);
    harbour.kubectl(&["delete", "deployment/harbour-controller"]);
    // The database is the one that the pod was given: its URL is nowhere but in the environment of that.
    let url = harbour.server.url.clone();
    let run = harbour.run(&["rollback", "--to", "1.1.2", "--yes", "--database", &url]);
    run.ended(0);
    harbour.is_at("1.1.2", 1);
}

/// Trap 20: what Helm calls a success may never be ready.
#[test]
fn the_target_never_becomes_ready() {
    let Some(harbour) = Harbour::new("never_ready") else { return };
    harbour.settings("ready_timeout = 3", "");
    harbour.install("1.2.1", &["--set", "controller.replicas=2"]);
    harbour.fill();
    let before = harbour.rows();
    let run = harbour.run(&["rollback", "--to", "1.1.1-broken", "--yes"]);
    assert_ne!(run.code, Some(0), "{}", run.stderr);
    run.explains(&[
        "deployment/harbour-controller is not ready after 3 s",
        "pod harbour-controller-",
    ]);
    harbour.is_at("1.2.1", 2);
    harbour.has_rows(&before);
}
