//! What a body changed of the schema, seen from two fingerprints.

use sternway_model::effect::Effects;
use sternway_model::proof::Fingerprint;

/// The objects that `after` has and `before` has not, the other way round, and those that differ.
pub fn effects(before: &Fingerprint, after: &Fingerprint) -> Effects {
    let mut effects = Effects::default();
    for (name, definition) in &after.objects {
        match before.objects.get(name) {
            None => drop(effects.created.insert(name.clone())),
            Some(former) if former != definition => drop(effects.altered.insert(name.clone())),
            Some(_) => {}
        }
    }
    let gone = before.objects.keys().filter(|name| !after.objects.contains_key(name));
    effects.destroyed = gone.cloned().collect();
    effects
}
