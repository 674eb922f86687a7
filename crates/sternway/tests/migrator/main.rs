//! The migrator that an application embeds.

#[path = "../support/mod.rs"]
mod support;

mod light;
mod one;
mod rules;
mod startup;
mod together;
mod verify;
