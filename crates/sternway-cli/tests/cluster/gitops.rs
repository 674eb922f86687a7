//! Controllers that keep a namespace as a repository says are recognised before anything is touched, by the
//! marks that they leave. None of them is here: their kinds and marks are as their documentation tells.

use serde_json::{Value, json};

use crate::harbour::Harbour;
use crate::plain::{by_image, definition, made, template, workload};

const PLAN: [&str; 4] = ["plan", "--to", "1.1.2", "--no-effects"];
const STOP: &str = "[\"deployment/harbour-controller\"]";

fn marked(test: &str, kinds: &[Value]) -> Option<Harbour> {
    let harbour = made(test, |harbour| {
        vec![workload("Deployment", 0, template(&harbour.server.url, &json!({})))]
    })?;
    for kind in kinds {
        harbour.apply(&kind.to_string());
        let name = kind["metadata"]["name"].as_str().unwrap_or_default();
        harbour.cluster.established(name);
    }
    by_image(&harbour, STOP, "");
    Some(harbour)
}

#[track_caller]
fn refused(harbour: &Harbour, words: &[&str]) {
    let run = harbour.run(&PLAN);
    assert_ne!(run.code, Some(0), "{}", run.stdout);
    run.explains(words);
}

/// Trap 9, as the next one.
#[test]
fn argo_cd() {
    let kind = definition("argoproj.io", "v1alpha1", "Application", "applications");
    let Some(harbour) = marked("argo", &[kind]) else { return };
    let space = harbour.space.clone();
    let mark = |name: &str| {
        let id =
            format!("argocd.argoproj.io/tracking-id={space}_office:apps/Deployment:{space}/{name}");
        harbour.kubectl(&["annotate", "--overwrite", "deployment/harbour-controller", &id]);
    };
    let application = |policy: &Value| {
        let object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": { "name": "office" },
            "spec": { "syncPolicy": policy },
        });
        harbour.apply(&object.to_string());
    };
    // A mark that came with a copy of another object says nothing.
    mark("somebody-else");
    harbour.run(&PLAN).ended(0);
    mark("harbour-controller");
    refused(&harbour, &["which cannot be looked at from here", "`gitops = \"suspended\"`"]);
    application(&json!({ "automated": { "selfHeal": true } }));
    let words = format!("Argo CD's Application {space}/office");
    refused(
        &harbour,
        &["deployment/harbour-controller", &words, "argocd app set office", "`swap = \"wait\"`"],
    );
    // Even who waits for it: it would scale the application up again.
    harbour.settings_of("swap = \"wait\"", "");
    refused(&harbour, &["which would scale it up again while the database moves"]);
    application(&json!({ "automated": { "selfHeal": false } }));
    harbour.run(&PLAN).ended(0).says(&["commit release 1.1.2"]);
    by_image(&harbour, STOP, "");
    refused(&harbour, &[&words]);
    application(&json!({ "automated": { "enabled": false, "selfHeal": null } }));
    harbour.run(&PLAN).ended(0);
    application(&json!({ "automated": { "enabled": true } }));
    by_image(&harbour, STOP, "gitops = \"suspended\"");
    harbour.run(&PLAN).ended(0);
}

#[test]
fn flux() {
    let kinds = [
        definition("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases"),
        definition("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations"),
    ];
    let Some(harbour) = marked("flux", &kinds) else { return };
    let space = harbour.space.clone();
    for (controller, api, kind, command) in [
        ("helm", "helm.toolkit.fluxcd.io/v2", "HelmRelease", "flux suspend helmrelease office"),
        (
            "kustomize",
            "kustomize.toolkit.fluxcd.io/v1",
            "Kustomization",
            "flux suspend kustomization office",
        ),
    ] {
        let labels = [
            format!("{controller}.toolkit.fluxcd.io/name=office"),
            format!("{controller}.toolkit.fluxcd.io/namespace={space}"),
        ];
        harbour.kubectl(&["label", "deployment/harbour-controller", &labels[0], &labels[1]]);
        refused(&harbour, &["which cannot be looked at", "`gitops = \"suspended\"`"]);
        let object = |suspend: bool| {
            let object = json!({
                "apiVersion": api, "kind": kind, "metadata": { "name": "office" },
                "spec": { "suspend": suspend },
            });
            harbour.apply(&object.to_string());
        };
        object(false);
        refused(&harbour, &[&format!("Flux's {kind} {space}/office"), command]);
        object(true);
        harbour.run(&PLAN).ended(0);
        let gone =
            labels.each_ref().map(|it| format!("{}-", it.split('=').next().unwrap_or_default()));
        harbour.kubectl(&["label", "deployment/harbour-controller", &gone[0], &gone[1]]);
    }
}
