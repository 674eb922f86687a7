//! Rights: each that is missing is named before anything is touched, and the Role that a plan prints is
//! enough.

use serde_json::{Value, json};

use crate::control::Asked;
use crate::harbour::Harbour;
use crate::plain::{by_image, made, template, workload};
use crate::support::Run;

/// Somebody who may do nothing yet.
const USER: &str = "alice";

/// Binds what a plan's Roles are called to the user.
fn bind(harbour: &Harbour) {
    for (kind, role) in [("RoleBinding", "Role"), ("ClusterRoleBinding", "ClusterRole")] {
        let name =
            if role == "Role" { "sternway-harbour".to_owned() } else { harbour.space.clone() };
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": name },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name },
            "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER }],
        });
        harbour.apply(&binding.to_string());
    }
}

fn as_user(harbour: &Harbour, arguments: &[&str]) -> Run {
    harbour.run(&[arguments, &["--context", USER]].concat())
}

/// Gives the user all of these rights but one.
fn grant(harbour: &Harbour, rights: &[Value], without: usize) {
    let rules = |namespaced: bool| -> Vec<Value> {
        let of = rights
            .iter()
            .enumerate()
            .filter(|(index, it)| *index != without && it["namespace"].is_null() != namespaced);
        let rule = |it: &Value| {
            let mut rule = json!({ "apiGroups": [it["group"]], "resources": [it["resource"]], "verbs": [it["verb"]] });
            if !it["name"].is_null() {
                rule["resourceNames"] = json!([it["name"]]);
            }
            rule
        };
        of.map(|(_, it)| rule(it)).collect()
    };
    let api = "rbac.authorization.k8s.io/v1";
    let role = json!({ "apiVersion": api, "kind": "Role", "metadata": { "name": "sternway-harbour" }, "rules": rules(true) });
    let cluster = json!({ "apiVersion": api, "kind": "ClusterRole", "metadata": { "name": harbour.space }, "rules": rules(false) });
    harbour.apply(&format!("{role}\n---\n{cluster}"));
}

/// As a message names it.
fn words(right: &Value) -> String {
    let text = |key: &str| right[key].as_str().unwrap_or_default().to_owned();
    let mut words = format!("{} {}", text("verb"), text("resource"));
    if !text("group").is_empty() {
        words = format!("{words}.{}", text("group"));
    }
    if !text("name").is_empty() {
        words = format!("{words} `{}`", text("name"));
    }
    words
}

/// Takes each right away in its turn, and sees that it is named.
fn each_in_turn(harbour: &Harbour) {
    let plan = harbour.run(&["plan", "--to", "1.1.2", "--no-effects", "--output", "json"]).ended(0);
    let plan: Value = serde_json::from_str(&plan.stdout).expect("a plan");
    let rights = plan["deployment"]["rights"].as_array().expect("rights").clone();
    let before = harbour.asked().len();
    let mut tried = 0;
    // One for a certain object says nothing where there is one for all of them.
    let same = |one: &Value, other: &Value| {
        ["group", "resource", "verb"].iter().all(|key| one[*key] == other[*key])
    };
    let covered = |it: &Value| {
        !it["name"].is_null() && rights.iter().any(|one| one["name"].is_null() && same(one, it))
    };
    let tried_ones = rights.iter().enumerate().filter(|(_, it)| !covered(it));
    for (index, right) in tried_ones {
        grant(harbour, &rights, index);
        let run = as_user(harbour, &["rollback", "--to", "1.1.2", "--yes"]);
        assert_ne!(run.code, Some(0), "without {right}: {}", run.stdout);
        // A terminal may break its lines within a word.
        let joined = |text: &str| text.replace(|it: char| it.is_whitespace() || it == '│', "");
        assert!(joined(&run.stderr).contains(&joined(&words(right))), "{right}: {}", run.stderr);
        tried += 1;
    }
    assert!(tried > 4, "{tried} rights of {rights:?}");
    let changes = ["create", "update", "patch", "delete"];
    for it in &harbour.asked()[before..] {
        let verb = it.what.split(' ').next().unwrap_or_default();
        let asks = it.what.contains("access") || it.what.contains("portforward");
        assert!(it.user != USER || asks || !changes.contains(&verb), "{it:?}");
    }
}

/// Gives the user the Roles as they are printed.
fn grant_what_is_printed(harbour: &Harbour, to: &str) {
    let printed = harbour.run(&["plan", "--to", to, "--rbac"]).ended(0).stdout;
    // Another test has a ClusterRole of that name.
    let cluster = format!("kind: ClusterRole\nmetadata:\n  name: {}", harbour.space);
    let printed =
        printed.replace("kind: ClusterRole\nmetadata:\n  name: sternway-harbour", &cluster);
    harbour.kubectl(&["delete", "role/sternway-harbour", "--ignore-not-found"]);
    harbour.cluster.kubectl_does(&["delete", "clusterrole", &harbour.space]);
    harbour.apply(&printed);
}

#[test]
fn each_right_for_setting_an_image() {
    let objects = |harbour: &Harbour| {
        vec![workload("Deployment", 1, template(&harbour.server.url, &json!({})))]
    };
    let Some(harbour) = made("rights_image", objects) else { return };
    by_image(&harbour, "[\"deployment/harbour-controller\"]", "");
    harbour.serves("1.2.1", 1);
    bind(&harbour);
    each_in_turn(&harbour);
    grant_what_is_printed(&harbour, "1.1.2");
    as_user(&harbour, &["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.runs("1.1.2", 1);
}

#[test]
fn each_right_for_helm() {
    let Some(harbour) = Harbour::new("rights_helm") else { return };
    harbour.install("1.2.1", &[]);
    bind(&harbour);
    each_in_turn(&harbour);
    grant_what_is_printed(&harbour, "1.1.2");
    as_user(&harbour, &["rollback", "--to", "1.1.2", "--yes"]).ended(0);
    harbour.is_at("1.1.2", 1);
}

#[test]
fn a_command_connects_once() {
    let objects = |harbour: &Harbour| {
        vec![workload("Deployment", 1, template(&harbour.server.url, &json!({})))]
    };
    let Some(harbour) = made("connects", objects) else { return };
    by_image(&harbour, "[\"deployment/harbour-controller\"]", "tracks = { core = \"CORE\" }");
    // Nobody else is this user: what is asked for by this name is asked for here.
    let user = "bob";
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": user },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    });
    harbour.apply(&binding.to_string());
    let connected = || {
        let asked = harbour.cluster.asked("kube-system");
        let which = |it: &&Asked| it.user == user && it.what == "get namespaces/kube-system";
        asked.iter().filter(which).count()
    };
    let before = connected();
    harbour.run(&["plan", "--to", "1.1.2", "--no-effects", "--context", user]).ended(0);
    assert_eq!(connected(), before + 1);
}
