//! What may follow what, by example and for every run that is killed anywhere.

use proptest::prelude::*;

use super::*;

#[test]
fn a_run_goes_from_step_to_step() {
    let records = [
        Record::Started { step: 0 },
        Record::Ended { step: 0 },
        Record::Started { step: 1 },
        Record::StatementDone { step: 1, statement: 1 },
        Record::Statement { step: 1, statement: 2, schema: None },
    ];
    let reached = Reached { statement: Some(2), done: 1, failed: false };
    let doubt = Progress::InDoubt { step: 1, reached };
    assert_eq!(Progress::of(records.clone()), Ok(doubt.clone()));
    assert_eq!(doubt.after(Record::Ended { step: 1 }), Ok(Progress::Before { step: 2 }));
}

#[test]
fn a_step_neither_ends_before_it_starts_nor_starts_twice() {
    assert!(Progress::of([Record::Ended { step: 0 }]).is_err());
    assert!(Progress::of([Record::Started { step: 1 }]).is_err());
    assert!(Progress::of([Record::Started { step: 0 }, Record::Started { step: 0 }]).is_err());
    assert!(Progress::of([Record::Started { step: 0 }, Record::Finished]).is_err());
    assert!(Progress::of([Record::Finished, Record::Finished]).is_err());
}

#[test]
fn what_is_done_of_a_body_is_not_forgotten() {
    let begun = [
        Record::Started { step: 0 },
        Record::StatementDone { step: 0, statement: 2 },
        Record::Statement { step: 0, statement: 3, schema: None },
    ];
    let failed = Record::Failed { step: 0, reason: "no".to_owned() };
    for last in [None, Some(failed)] {
        let reached = Reached { statement: Some(3), done: 2, failed: last.is_some() };
        let doubt = Progress::of(begun.iter().cloned().chain(last)).expect("in order");
        let resumed = doubt.clone().after(Record::Resumed).expect("in order");
        assert_eq!(resumed, Progress::InDoubt { step: 0, reached });
        // What took effect does not begin again, and the step does not start anew.
        let again = Record::Statement { step: 0, statement: 2, schema: None };
        assert!(resumed.clone().after(again).is_err());
        assert!(resumed.after(Record::Started { step: 0 }).is_err());
        // What came half way may be undone as a whole, or be taken for not done.
        assert!(doubt.clone().after(Record::Aborting { left: 1, way: None }).is_ok());
        assert!(doubt.clone().after(Record::Aborting { left: 0, way: None }).is_ok());
        assert!(doubt.after(Record::Aborting { left: 2, way: None }).is_err());
    }
}

#[test]
fn steps_are_undone_in_the_opposite_order_and_nothing_else_happens_then() {
    let records = [
        Record::Started { step: 0 },
        Record::Ended { step: 0 },
        Record::Started { step: 1 },
        Record::Ended { step: 1 },
        Record::Aborting { left: 2, way: None },
    ];
    let aborting = Progress::of(records).expect("in order");
    for wrong in [
        Record::Undoing { step: 0 },
        Record::Undone { step: 1 },
        Record::Started { step: 2 },
        Record::Resumed,
        Record::Finished,
        Record::Aborted,
        Record::Aborting { left: 2, way: None },
    ] {
        assert!(aborting.clone().after(wrong.clone()).is_err(), "{wrong:?}");
    }
    let rest = [1, 0].map(|step| [Record::Undoing { step }, Record::Undone { step }]);
    let rest = rest.into_iter().flatten().chain([Record::Aborted]);
    assert_eq!(rest.into_iter().try_fold(aborting, Progress::after), Ok(Progress::Aborted));
}

#[test]
fn the_way_back_of_half_a_body_holds_until_that_step_is_undone() {
    let of = |progress: &Progress| match progress {
        Progress::Aborting { way, .. } => way.clone(),
        _ => None,
    };
    let way = Some("DROP TABLE a".to_owned());
    let begun = [
        Record::Started { step: 0 },
        Record::Ended { step: 0 },
        Record::Started { step: 1 },
        Record::StatementDone { step: 1, statement: 1 },
        Record::Aborting { left: 2, way: way.clone() },
    ];
    let text = serde_json::to_string(&begun[4]).expect("JSON");
    assert_eq!(serde_json::from_str::<Record>(&text).expect("a record"), begun[4]);
    // As it was written before there were such ways.
    let old: Record = serde_json::from_str(r#"{"event":"aborting","left":2}"#).expect("a record");
    assert_eq!(old, Record::Aborting { left: 2, way: None });
    let mut progress = Progress::of(begun).expect("in order");
    let undoing = [
        Record::Undoing { step: 1 },
        Record::Statement { step: 1, statement: 1, schema: None },
        Record::Failed { step: 1, reason: "no".to_owned() },
        Record::Undoing { step: 1 },
        Record::StatementDone { step: 1, statement: 1 },
    ];
    for record in undoing {
        assert_eq!(of(&progress), way, "{progress:?}");
        progress = progress.after(record).expect("in order");
    }
    let progress = progress.after(Record::Undone { step: 1 }).expect("in order");
    assert_eq!(
        progress,
        Progress::Aborting { left: 1, in_doubt: false, reached: Reached::default(), way: None }
    );
}

#[test]
fn a_journal_reads_back() {
    let reached = Reached { statement: Some(2), done: 1, failed: true };
    let stands = Progress::Aborting { left: 1, in_doubt: true, reached, way: None };
    let text =
        r#"{"progress":"aborting","left":1,"in_doubt":true,"statement":2,"done":1,"failed":true}"#;
    assert_eq!(serde_json::to_string(&stands).expect("JSON"), text);
    assert_eq!(serde_json::from_str::<Progress>(text).expect("a progress"), stands);
    // As the first version wrote it.
    let text = r#"{"event":"statement","step":1,"statement":2}"#;
    let record: Record = serde_json::from_str(text).expect("a record");
    assert_eq!(record, Record::Statement { step: 1, statement: 2, schema: None });
    assert_eq!(serde_json::to_string(&record).expect("JSON"), text);
}

/// A step, as far as the journal sees it.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// It commits together with its end.
    Whole,
    /// Statements one by one; whether each of them can commit with its record.
    Pieces([bool; 3]),
}

/// One attempt at a run: what it is, and after how many records it is killed, or fails.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    aborts: bool,
    killed_after: usize,
    fails: bool,
    /// What reconciling finds out of a statement in doubt.
    took_effect: bool,
}

/// Writes as the engine does. Returns whether it came to its end before it was killed.
struct Writer {
    progress: Progress,
    left: usize,
    fails: bool,
}

impl Writer {
    /// Writes one record, or is killed before.
    fn write(&mut self, record: Record) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        let progress = self.progress.clone();
        self.progress = progress.after(record).unwrap_or_else(|error| panic!("{error}"));
        Some(())
    }

    /// The statements of a step from the first that is not done, and then its end.
    fn pieces(&mut self, kind: Kind, step: usize, end: Record) -> Option<()> {
        let reached = match self.progress {
            Progress::InDoubt { reached, .. } | Progress::Aborting { reached, .. } => reached,
            _ => Reached::default(),
        };
        if let Kind::Pieces(commits) = kind {
            for (index, commits) in commits.into_iter().enumerate().skip(reached.done) {
                let statement = index + 1;
                self.write(match commits {
                    true => Record::StatementDone { step, statement },
                    false => Record::Statement { step, statement, schema: None },
                })?;
                if self.fails {
                    return self.fail(step);
                }
            }
        }
        if self.fails {
            return self.fail(step);
        }
        self.write(end)
    }

    fn fail(&mut self, step: usize) -> Option<()> {
        self.write(Record::Failed { step, reason: "no".to_owned() })?;
        None
    }

    /// Reconciles what is in doubt.
    fn reconcile(&mut self, took_effect: bool) -> Option<()> {
        let (step, reached) = match self.progress {
            Progress::InDoubt { step, reached } => (step, reached),
            Progress::Aborting { left, in_doubt: true, reached, .. } => (left - 1, reached),
            _ => return Some(()),
        };
        match reached.statement.filter(|_| took_effect && !reached.failed) {
            Some(statement) => self.write(Record::StatementDone { step, statement }),
            None => Some(()),
        }
    }

    fn forward(&mut self, steps: &[Kind], took_effect: bool) -> Option<()> {
        self.reconcile(took_effect)?;
        loop {
            let step = match self.progress {
                Progress::Before { step } if step == steps.len() => {
                    return self.write(Record::Finished);
                }
                Progress::Before { step } => {
                    self.write(Record::Started { step })?;
                    step
                }
                Progress::InDoubt { step, .. } => step,
                _ => panic!("{:?}", self.progress),
            };
            self.pieces(steps[step], step, Record::Ended { step })?;
        }
    }

    fn back(&mut self, steps: &[Kind], took_effect: bool) -> Option<()> {
        self.reconcile(took_effect)?;
        loop {
            let Progress::Aborting { left, .. } = self.progress else {
                panic!("{:?}", self.progress)
            };
            let Some(step) = left.checked_sub(1) else { return self.write(Record::Aborted) };
            self.write(Record::Undoing { step })?;
            self.pieces(steps[step], step, Record::Undone { step })?;
        }
    }

    fn attempt(&mut self, steps: &[Kind], attempt: Attempt, first: bool) -> Option<()> {
        match &self.progress {
            Progress::Aborting { .. } => self.back(steps, attempt.took_effect),
            progress if attempt.aborts => {
                let left = match progress {
                    Progress::InDoubt { step, reached }
                    | Progress::Failed { step, reached, .. } => {
                        step + usize::from(!reached.is_nothing())
                    }
                    Progress::Before { step } | Progress::Interrupted { step } => *step,
                    _ => panic!("{progress:?}"),
                };
                self.write(Record::Aborting { left, way: None })?;
                self.back(steps, attempt.took_effect)
            }
            _ if first => self.forward(steps, attempt.took_effect),
            _ => {
                self.write(Record::Resumed)?;
                self.forward(steps, attempt.took_effect)
            }
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Whole), any::<[bool; 3]>().prop_map(Kind::Pieces)]
}

fn attempt() -> impl Strategy<Value = Attempt> {
    (prop::bool::weighted(0.2), 0_usize..12, any::<bool>(), any::<bool>()).prop_map(
        |(aborts, killed_after, fails, took_effect)| Attempt {
            aborts,
            killed_after,
            fails,
            took_effect,
        },
    )
}

proptest! {
    /// Whatever is killed, fails, is resumed and is taken back, and how often: every record that the
    /// engine writes can follow, and the run can still be finished or taken back, and abandoned.
    #[test]
    fn a_run_that_is_killed_anywhere_stays_in_order_and_can_be_ended(
        steps in prop::collection::vec(kind(), 0..5),
        attempts in prop::collection::vec(attempt(), 0..12),
    ) {
        let mut writer = Writer { progress: Progress::START, left: 0, fails: false };
        for (index, attempt) in attempts.into_iter().enumerate() {
            if writer.progress.is_over() {
                break;
            }
            (writer.left, writer.fails) = (attempt.killed_after, attempt.fails);
            let _ = writer.attempt(&steps, attempt, index == 0 && !attempt.aborts);
        }
        if !writer.progress.is_over() {
            let abandoned = writer.progress.clone().after(Record::Abandoned);
            prop_assert_eq!(abandoned, Ok(Progress::Abandoned));
            for aborts in [false, true] {
                let mut writer = Writer { progress: writer.progress.clone(), left: 1000, fails: false };
                let attempt = Attempt { aborts, killed_after: 0, fails: false, took_effect: true };
                prop_assert_eq!(writer.attempt(&steps, attempt, false), Some(()));
                prop_assert!(writer.progress.is_over());
            }
        }
    }
}
