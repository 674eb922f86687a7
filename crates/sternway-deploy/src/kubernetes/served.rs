//! The kinds of objects that the API server serves, asked for once an API.

use std::collections::BTreeMap;

use super::cluster::{Cluster, Refusal};

/// A kind of objects as the API server has it.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// Its name.
    pub kind: String,
    /// What its objects are asked for by.
    pub plural: String,
    /// Whether its objects belong to a namespace.
    pub namespaced: bool,
}

/// What is known so far.
#[derive(Default)]
pub(super) struct Served(BTreeMap<String, Vec<Kind>>);

impl Served {
    /// A kind of an API such as `apps/v1`; nothing where there is none, as of a kind that a chart itself
    /// defines and that is not there yet.
    pub async fn kind(
        &mut self,
        cluster: &Cluster,
        api: &str,
        kind: &str,
    ) -> Result<Option<&Kind>, String> {
        if !self.0.contains_key(api) {
            self.0.insert(api.to_owned(), kinds(cluster, api).await?);
        }
        Ok(self.0[api].iter().find(|it| it.kind == kind))
    }
}

async fn kinds(cluster: &Cluster, api: &str) -> Result<Vec<Kind>, String> {
    let client = &cluster.client;
    let listed = match api.contains('/') {
        true => cluster.ask(|| client.list_api_group_resources(api)).await,
        false => cluster.ask(|| client.list_core_api_resources(api)).await,
    };
    let listed = match listed {
        Ok(listed) => listed.resources,
        Err(Refusal::NotFound) => Vec::new(),
        Err(refusal) => return Err(refusal.into()),
    };
    // One with a slash in its name is a subresource.
    let whole = listed.into_iter().filter(|it| !it.name.contains('/'));
    let kind = whole.map(|it| Kind { kind: it.kind, plural: it.name, namespaced: it.namespaced });
    Ok(kind.collect())
}
