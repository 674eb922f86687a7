//! The database is the one that the application's pod is given, as Kubernetes would give it.

use serde_json::{Value, json};

use crate::harbour::Harbour;
use crate::plain::{made, template, workload};
use crate::support::SECRET;

/// Gives the controller this environment, mounts and volumes, and asks where the database stands.
#[track_caller]
fn with(harbour: &Harbour, container: &Value, volumes: &Value) -> crate::support::Run {
    let mut template = template("", &json!({}));
    let spec = &mut template["spec"];
    for (key, value) in container.as_object().expect("an object") {
        spec["containers"][0][key] = value.clone();
    }
    spec["volumes"] = volumes.clone();
    harbour.kubectl(&["delete", "deployment/harbour-controller", "--ignore-not-found"]);
    harbour.apply(&workload("Deployment", 0, template).to_string());
    harbour.run(&["status", "--output", "json"])
}

#[track_caller]
fn finds(harbour: &Harbour, container: &Value, volumes: &Value) {
    let status = with(harbour, container, volumes).ended(0).json("sternway.status/1");
    assert_eq!(status["tracks"][0]["version"], 9, "{status}");
}

#[test]
fn every_way_in_which_a_pod_is_told() {
    let objects = |harbour: &Harbour| {
        let url = &harbour.server.url;
        vec![
            json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "harbour" },
                "stringData": { "password": SECRET, "url": format!("{url}\n"), "DATABASE_URL": url },
            }),
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "harbour" },
                "data": { "url": url, "place": harbour.server.place() },
            }),
        ]
    };
    let Some(harbour) = made("environment", objects) else { return };
    let nowhere = json!({ "name": "POSTGRES_DATABASE_URL", "value": "postgres://x@127.0.0.1:1/x" });
    let name = &harbour.server.name;
    // Variables of what is known before them.
    let text = format!("postgres://{name}:$(PASSWORD)@$(PLACE)/{name}?sslmode=disable");
    let env = json!({ "env": [
        { "name": "PASSWORD", "valueFrom": { "secretKeyRef": { "name": "harbour", "key": "password" } } },
        { "name": "PLACE", "valueFrom": { "configMapKeyRef": { "name": "harbour", "key": "place" } } },
        { "name": "POSTGRES_DATABASE_URL", "value": text },
    ] });
    finds(&harbour, &env, &json!([]));
    // All of a Secret; and what comes later goes over it.
    let all = json!([{ "prefix": "POSTGRES_", "secretRef": { "name": "harbour" } }]);
    finds(&harbour, &json!({ "envFrom": all, "env": [] }), &json!([]));
    let over = with(&harbour, &json!({ "envFrom": all, "env": [nowhere] }), &json!([]));
    assert_ne!(over.code, Some(0), "{}", over.stdout);
    // A file goes before a URL: one of a Secret under another name, one alone, one of several sources.
    let file = |path: &str, mount: Value| {
        json!({
            "env": [{ "name": "POSTGRES_DATABASE_URL_FILE", "value": path }, nowhere],
            "volumeMounts": [mount],
        })
    };
    let items = json!([{ "key": "url", "path": "db/url" }]);
    let secret = json!([{ "name": "db", "secret": { "secretName": "harbour", "items": items } }]);
    let whole = json!({ "name": "db", "mountPath": "/etc/harbour" });
    finds(&harbour, &file("/etc/harbour/db/url", whole.clone()), &secret);
    let alone = json!({ "name": "db", "mountPath": "/etc/url", "subPath": "db/url" });
    finds(&harbour, &file("/etc/url", alone), &secret);
    let map = json!([{ "name": "db", "configMap": { "name": "harbour" } }]);
    finds(&harbour, &file("/etc/harbour/url", whole.clone()), &map);
    let projected = json!([{ "name": "db", "projected": { "sources": [
        { "configMap": { "name": "harbour", "items": [{ "key": "place", "path": "place" }] } },
        { "secret": { "name": "harbour", "items": [{ "key": "url", "path": "url" }] } },
    ] } }]);
    finds(&harbour, &file("/etc/harbour/url", whole.clone()), &projected);
    // What cannot be found is said, with where it was looked for.
    let missing = json!([{ "name": "db", "secret": { "secretName": "harbor" } }]);
    let run = with(&harbour, &file("/etc/harbour/url", whole), &missing);
    assert_ne!(run.code, Some(0));
    run.explains(&[
        "POSTGRES_DATABASE_URL_FILE of deployment/harbour-controller",
        "/etc/harbour/url",
    ]);
    let lost = json!({ "env": [{
        "name": "POSTGRES_DATABASE_URL",
        "valueFrom": { "secretKeyRef": { "name": "harbour", "key": "urls" } },
    }] });
    let run = with(&harbour, &lost, &json!([]));
    assert_ne!(run.code, Some(0));
    run.explains(&["key `urls` of Secret `harbour` is not there"]);
}
