//! What an application gets into its build with this crate.

use std::process::Command;

#[test]
fn no_command_line_kubernetes_or_web_comes_along() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "sternway", "--edges", "normal", "--prefix", "none"])
        .args(["--offline", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("UTF-8");
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"sternway-engine"), "{tree}");
    for heavy in [
        "clap",
        "gix",
        "reqwest",
        "hyper",
        "kube",
        "axum",
        "object_store",
        "pglite-oxide",
        "miette",
        "sternway-cli",
    ] {
        assert!(!names.contains(&heavy), "{heavy} comes along:\n{tree}");
    }
}
