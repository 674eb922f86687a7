//! What acts. The modules stand in the order of the flow: [`observe`] a database, [`rehearse`] a
//! plan to learn what it should lead to, [`run`] it behind a [`fence`], and [`verify`] the result.
//! [`diagnose`] finds out what a dirty database really has, and [`doctor`] the safe ways out of it.
//!
//! [`folder`], [`walk`], [`startup`] and [`suspects`] serve those who know no releases: golang-migrate's command
//! line, and an application that applies its own migrations when it starts.
//!
//! Nothing here decides where to go: that is `sternway_model::plan`. Nothing here prints.

pub mod observe;
pub mod rehearse;
pub mod fence;
pub mod run;
pub mod verify;
pub mod diagnose;
pub mod doctor;
pub mod folder;
pub mod walk;
pub mod startup;
pub mod suspects;
