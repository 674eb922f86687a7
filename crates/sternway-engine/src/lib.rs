//! What acts. The modules stand in the order of the flow: [`observe`] a database, [`rehearse`] a
//! plan to learn what it should lead to, [`run`] it, and [`verify`] the result. [`diagnose`] finds
//! out what a dirty database really has.
//!
//! Nothing here decides where to go: that is `sternway_model::plan`. Nothing here prints.

pub mod observe;
pub mod rehearse;
pub mod run;
pub mod verify;
pub mod diagnose;
