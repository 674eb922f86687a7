//! The runbook on a cluster: its blocks are taken out of the page and typed, with the real kubectl, helm,
//! golang-migrate and psql.

use std::process::Command;

use crate::harbour::Harbour;
use crate::support::{script, variable};

#[test]
fn a_page_is_typed_there_and_back() {
    let test = "by_hand";
    let Some(migrate) = variable("STERNWAY_TEST_MIGRATE", test) else { return };
    let Some(harbour) = Harbour::new(test) else { return };
    harbour.install("1.2.1", &["--set", "controller.replicas=2"]);
    harbour.fill();
    harbour.serves("1.2.1", 2);
    for (from, to) in [("1.2.1", "1.1.2"), ("1.1.2", "1.2.1")] {
        // For somebody else, so that nothing is asked of the cluster or the database.
        let arguments = ["runbook", "--from", from, "--to", to, "--format", "markdown"];
        let page = harbour.machine.run(&arguments).ended(0).stdout;
        let script = script(&page, if to == "1.1.2" { "Way 1" } else { "Steps" });
        let bin = harbour.machine.path("bin");
        std::fs::create_dir_all(&bin).expect("a folder");
        let helm = harbour.cluster.binary(harbour.helm.binary());
        let _ = std::os::unix::fs::symlink(helm, bin.join("helm"));
        let _ = std::os::unix::fs::symlink(&migrate, bin.join("migrate"));
        let hand = harbour.machine.path(&format!("hand-{to}"));
        std::fs::create_dir_all(&hand).expect("a folder");
        let mut bash: Command = harbour.machine.program("bash".as_ref());
        harbour.cluster.equip(&mut bash);
        let cluster = harbour.cluster.folder().join("bin").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        bash.args(["-c", &script])
            .current_dir(&hand)
            .env("PATH", format!("{}:{cluster}:{path}", bin.display()))
            .env("DATABASE_URL", &harbour.server.url);
        let output = bash.output().expect("bash");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n--- err\n{said}", script);
        harbour.is_at(to, 2);
    }
}
