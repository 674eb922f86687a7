//! What a chart brings: the objects of a manifest.

use std::collections::BTreeSet;

use serde_json::Value;

/// The objects of a manifest.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in super::super) struct Rendered(Vec<Value>);

impl Rendered {
    /// Reads the documents of a manifest.
    pub fn of(text: &str) -> Result<Rendered, String> {
        let documents: Result<Vec<Value>, _> = serde_saphyr::from_multiple(text);
        let documents =
            documents.map_err(|error| format!("a manifest of helm cannot be read: {error}"))?;
        Ok(Rendered(documents.into_iter().filter(|it| it["kind"].is_string()).collect()))
    }

    /// Its objects, without hooks.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(|it| hook(it).is_none())
    }

    /// The hooks that run on an upgrade, each as its kind and name.
    pub fn hooks(&self) -> Vec<String> {
        let runs = |it: &&Value| {
            hook(it).is_some_and(|when| when.split(',').any(|it| it.trim().ends_with("-upgrade")))
        };
        let name = |it: &Value| {
            format!("{}/{}", word(&it["kind"]).to_lowercase(), word(&it["metadata"]["name"]))
        };
        self.0.iter().filter(runs).map(name).collect()
    }

    /// The object of a kind and name.
    pub fn object(&self, kind: &str, name: &str) -> Option<&Value> {
        self.objects().find(|it| it["kind"] == kind && it["metadata"]["name"] == name)
    }

    /// The definitions of custom resources, each as its name, kind, group, version and plural.
    pub fn definitions(&self) -> impl Iterator<Item = Definition> {
        let of = |it: &Value| {
            let spec = &it["spec"];
            let versions = spec["versions"].as_array().into_iter().flatten();
            let stored = versions.into_iter().find(|it| it["storage"] == true);
            Definition {
                name: word(&it["metadata"]["name"]),
                kind: word(&spec["names"]["kind"]),
                group: word(&spec["group"]),
                version: stored.map(|it| word(&it["name"])).unwrap_or_default(),
                plural: word(&spec["names"]["plural"]),
            }
        };
        self.objects().filter(|it| it["kind"] == "CustomResourceDefinition").map(of)
    }

    /// The kinds of objects that it has, each as its API version and kind.
    pub fn kinds(&self) -> BTreeSet<(String, String)> {
        self.0.iter().map(|it| (word(&it["apiVersion"]), word(&it["kind"]))).collect()
    }
}

/// A kind of objects that a chart defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Definition {
    pub name: String,
    pub kind: String,
    pub group: String,
    pub version: String,
    pub plural: String,
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// When an object is run as a hook.
fn hook(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"]["helm.sh/hook"].as_str()
}

/// The name of a chart, from where it is: `oci://ghcr.io/harbour/helm/harbour-crds`.
pub(super) fn chart_name(place: &str) -> &str {
    let name = place.rsplit('/').next().unwrap_or(place);
    name.split('@').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_tells_objects_hooks_and_definitions() {
        let text = "---\n# nothing\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\n---\n\
            apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: up\n  annotations: {helm.sh/hook: 'pre-install, pre-upgrade'}\n---\n\
            apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: down\n  annotations: {helm.sh/hook: post-delete}\n---\n\
            apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: berths.harbour.dev}\n\
            spec:\n  group: harbour.dev\n  names: {kind: Berth, plural: berths}\n  versions: [{name: v1, storage: true}]\n";
        let rendered = Rendered::of(text).expect("a manifest");
        assert_eq!(rendered.hooks(), ["job/up"]);
        assert_eq!(rendered.objects().count(), 2);
        let definitions: Vec<_> = rendered.definitions().collect();
        assert_eq!(definitions[0].name, "berths.harbour.dev");
        assert_eq!(definitions[0].version, "v1");
    }
}
