//! Each folder in `fixtures/plan` is a case: the facts, the release asked for, and the plan or the
//! refusal they lead to. `SNAPSHOTS=overwrite cargo test` rewrites every `plan.txt`; read the diff.

#[path = "plan/case.rs"]
mod case;

use std::path::Path;

use case::Case;
use snapbox::{Data, assert_data_eq};

fn check(facts_file: &Path) -> datatest_stable::Result<()> {
    let mut case = Case::read(facts_file)?;
    let outcome = match case.plan() {
        Ok(plan) => plan.to_string(),
        Err(reason) => format!("refused: {reason}\n"),
    };
    assert_data_eq!(outcome, Data::read_from(&facts_file.with_file_name("plan.txt"), None).raw());
    Ok(())
}

datatest_stable::harness! { { test = check, root = "fixtures/plan", pattern = r"facts\.toml$" } }
