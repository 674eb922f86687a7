//! A container's environment and mounted files, as the kubelet makes them.
//!
//! Rules as of Kubernetes 1.36: `envFrom` comes first and `env` after it, each in its order; `$(NAME)` in a
//! `value` means what is known so far; `$$` is a dollar sign; what is not known stays as it is written.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, Secret, Volume};
use kube::Api;

use super::cluster::Cluster;

/// The Secrets and ConfigMaps of a namespace, as far as they were asked for.
pub(super) struct Sources<'c> {
    cluster: &'c Cluster,
    secrets: BTreeMap<String, Option<Secret>>,
    config_maps: BTreeMap<String, Option<ConfigMap>>,
}

impl<'c> Sources<'c> {
    pub fn of(cluster: &'c Cluster) -> Sources<'c> {
        Sources { cluster, secrets: BTreeMap::new(), config_maps: BTreeMap::new() }
    }

    /// The data of a Secret, if it is there.
    async fn secret(&mut self, name: &str) -> Result<Option<Data>, String> {
        if !self.secrets.contains_key(name) {
            let cluster = self.cluster;
            let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), cluster.namespace());
            let found = cluster.ask(|| secrets.get_opt(name)).await;
            let found = found.map_err(|it| format!("Secret `{name}`: {}", String::from(it)))?;
            self.secrets.insert(name.to_owned(), found);
        }
        let data = |it: &Secret| {
            let data = it.data.iter().flatten();
            data.map(|(key, value)| (key.clone(), value.0.clone())).collect()
        };
        Ok(self.secrets[name].as_ref().map(data))
    }

    /// The data of a ConfigMap, if it is there; also that which is no text, where it is mounted.
    async fn config_map(&mut self, name: &str, mounted: bool) -> Result<Option<Data>, String> {
        if !self.config_maps.contains_key(name) {
            let cluster = self.cluster;
            let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), cluster.namespace());
            let found = cluster.ask(|| maps.get_opt(name)).await;
            let found = found.map_err(|it| format!("ConfigMap `{name}`: {}", String::from(it)))?;
            self.config_maps.insert(name.to_owned(), found);
        }
        let data = |it: &ConfigMap| {
            let text = it.data.iter().flatten();
            let text = text.map(|(key, value)| (key.clone(), value.clone().into_bytes()));
            let bytes = it.binary_data.iter().flatten().filter(|_| mounted);
            text.chain(bytes.map(|(key, value)| (key.clone(), value.0.clone()))).collect()
        };
        Ok(self.config_maps[name].as_ref().map(data))
    }
}

type Data = BTreeMap<String, Vec<u8>>;

/// A variable's value, or why it cannot be told from outside.
pub(super) type Known = Result<String, String>;

/// The variables of a container. One that only the running pod knows has the reason in its place.
pub(super) async fn variables(
    sources: &mut Sources<'_>,
    container: &Container,
) -> Result<BTreeMap<String, Known>, String> {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (data, what) = match (&from.secret_ref, &from.config_map_ref) {
            (Some(it), _) => {
                let data = sources.secret(&it.name).await?;
                (
                    data.or_else(|| it.optional.unwrap_or(false).then(Data::new)),
                    format!("Secret `{}`", it.name),
                )
            }
            (None, Some(it)) => {
                let data = sources.config_map(&it.name, false).await?;
                (
                    data.or_else(|| it.optional.unwrap_or(false).then(Data::new)),
                    format!("ConfigMap `{}`", it.name),
                )
            }
            (None, None) => continue,
        };
        let data =
            data.ok_or_else(|| format!("{what}, which the container needs, is not there"))?;
        for (key, value) in data {
            known.insert(format!("{prefix}{key}"), text(value, &what));
        }
    }
    for it in container.env.iter().flatten() {
        let name = it.name.clone();
        match (&it.value, &it.value_from) {
            (Some(value), _) if !value.is_empty() => {
                let value = expanded(value, &known);
                known.insert(name, value);
            }
            (_, Some(from)) => {
                let (found, optional, what) = if let Some(key) = &from.secret_key_ref {
                    let data = sources.secret(&key.name).await?;
                    let what = format!("key `{}` of Secret `{}`", key.key, key.name);
                    (data.and_then(|mut it| it.remove(&key.key)), key.optional, what)
                } else if let Some(key) = &from.config_map_key_ref {
                    let data = sources.config_map(&key.name, false).await?;
                    let what = format!("key `{}` of ConfigMap `{}`", key.key, key.name);
                    (data.and_then(|mut it| it.remove(&key.key)), key.optional, what)
                } else {
                    known.insert(name, Err("only the running pod knows it".to_owned()));
                    continue;
                };
                match found {
                    Some(value) => drop(known.insert(name, text(value, &what))),
                    None if optional.unwrap_or(false) => {}
                    None => drop(known.insert(name, Err(format!("{what} is not there")))),
                }
            }
            _ => drop(known.insert(name, Ok(String::new()))),
        }
    }
    Ok(known)
}

fn text(bytes: Vec<u8>, what: &str) -> Known {
    String::from_utf8(bytes).map_err(|_| format!("{what} is no text"))
}

/// The value with each `$(NAME)` of a known variable put in.
fn expanded(value: &str, known: &BTreeMap<String, Known>) -> Known {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(more) = after.strip_prefix('$') {
            text.push('$');
            rest = more;
        } else if let Some((name, more)) = after.strip_prefix('(').and_then(|it| it.split_once(')'))
        {
            match known.get(name) {
                Some(Ok(value)) => text.push_str(value),
                Some(Err(reason)) => return Err(format!("`{name}` in it: {reason}")),
                None => text.push_str(&format!("$({name})")),
            }
            rest = more;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    Ok(text)
}

/// What a file is for the container, from the Secret or ConfigMap that is mounted there.
pub(super) async fn file(
    sources: &mut Sources<'_>,
    pod: &PodSpec,
    container: &Container,
    path: &str,
) -> Result<String, String> {
    let mounts = container.volume_mounts.iter().flatten();
    let mount = mounts
        .filter_map(|it| Some((it, beneath(path, &it.mount_path)?)))
        .max_by_key(|(it, _)| it.mount_path.trim_end_matches('/').len());
    let (mount, beneath) =
        mount.ok_or_else(|| format!("nothing that can be read from here is mounted at {path}"))?;
    let within = match (&mount.sub_path, beneath) {
        (Some(sub), "") => sub.clone(),
        (Some(sub), beneath) => format!("{}/{beneath}", sub.trim_end_matches('/')),
        (None, beneath) => beneath.to_owned(),
    };
    let volumes = pod.volumes.iter().flatten();
    let volume = volumes.into_iter().find(|it| it.name == mount.name);
    let volume = volume.ok_or_else(|| format!("{path}: there is no volume `{}`", mount.name))?;
    let found = in_volume(sources, volume, &within).await?;
    let bytes = found.ok_or_else(|| {
        format!("{path}: volume `{}` has no such file that can be read from here", volume.name)
    })?;
    text(bytes, path)
}

/// The rest of a path under a folder.
fn beneath<'p>(path: &'p str, folder: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    match rest.strip_prefix('/') {
        Some(rest) => Some(rest),
        None => rest.is_empty().then_some(""),
    }
}

async fn in_volume(
    sources: &mut Sources<'_>,
    volume: &Volume,
    path: &str,
) -> Result<Option<Vec<u8>>, String> {
    type Items = Option<Vec<k8s_openapi::api::core::v1::KeyToPath>>;
    let pick = |data: Option<Data>, items: &Items| {
        let mut data = data?;
        match items.as_deref() {
            None | Some([]) => data.remove(path),
            Some(items) => data.remove(&items.iter().find(|it| it.path == path)?.key),
        }
    };
    if let Some(it) = &volume.secret {
        let name = it.secret_name.as_deref().unwrap_or_default();
        return Ok(pick(sources.secret(name).await?, &it.items));
    }
    if let Some(it) = &volume.config_map {
        return Ok(pick(sources.config_map(&it.name, true).await?, &it.items));
    }
    let mut found = None;
    for it in volume.projected.iter().flat_map(|it| it.sources.iter().flatten()) {
        let one = if let Some(it) = &it.secret {
            pick(sources.secret(&it.name).await?, &it.items)
        } else if let Some(it) = &it.config_map {
            pick(sources.config_map(&it.name, true).await?, &it.items)
        } else {
            None
        };
        // A later source lies over an earlier one.
        found = one.or(found);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(value: &str) -> Known {
        let known = [
            ("USER".to_owned(), Ok("harbour".to_owned())),
            ("POD_IP".to_owned(), Err("only the running pod knows it".to_owned())),
        ];
        expanded(value, &known.into())
    }

    #[test]
    fn references_are_expanded_as_the_kubelet_does() {
        let same = |text: &str| assert_eq!(expand(text), Ok(text.to_owned()));
        assert_eq!(expand("a $(USER) b").as_deref(), Ok("a harbour b"));
        assert_eq!(expand("$$(USER)").as_deref(), Ok("$(USER)"));
        same("$(NOBODY)");
        same("$USER ${USER} $");
        same("$(USER");
        assert_eq!(expand("é$(USER)$").as_deref(), Ok("éharbour$"));
        assert!(expand("$(POD_IP)").is_err());
    }

    #[test]
    fn a_file_is_sought_under_its_mount() {
        assert_eq!(beneath("/etc/db/url", "/etc/db"), Some("url"));
        assert_eq!(beneath("/etc/db/url", "/etc/db/url"), Some(""));
        assert_eq!(beneath("/etc/dbx/url", "/etc/db"), None);
        assert_eq!(beneath("/etc/db/url", "/"), Some("etc/db/url"));
    }
}
