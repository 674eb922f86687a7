//! The way through a down half to the clean install behind it: which of its statements lead there, and what has
//! its data still under another name.

use std::collections::BTreeSet;

use sternway_database::failpoint::{Rule, holds};
use sternway_database::{Dialect, Piece};
use sternway_model::catalog::Direction;
use sternway_model::plan::{Deviation, Migrate, Plan};
use sternway_model::proof::{Difference, Fingerprint, ObjectName, differences};

use crate::shadow::{RehearsalError, Shadow, ShadowDatabase, takes_from};

/// The place behind a down half.
pub(super) struct End<'a> {
    pub shadow: &'a Shadow,
    pub plan: &'a Plan,
    pub index: usize,
    pub step: &'a Migrate,
    /// What should be there.
    pub clean: &'a Fingerprint,
    /// Those of a down half; none where it opens transactions of its own.
    pub statements: &'a [Piece],
}

/// A way to the end of a down half.
#[derive(Clone)]
pub(super) struct Way {
    /// The statements of the body that it does without.
    pub left_out: BTreeSet<usize>,
    /// What is named back behind it.
    pub renamed: Vec<String>,
    /// Where it leads.
    pub here: Fingerprint,
}

/// How many statements of a body are tried without, at most.
const MOST_TRIED: usize = 40;

impl<'a> End<'a> {
    /// What runs a statement there.
    pub fn staying(&self) -> Migrate {
        let Migrate { track, table, to, file, .. } = self.step;
        Migrate::staying(track.clone(), table.clone(), *to, file)
    }

    /// The schema there, without some statements of the body, and with others behind it.
    pub async fn after(
        &self,
        left_out: &BTreeSet<usize>,
        statements: &[String],
    ) -> Result<ShadowDatabase<'a>, RehearsalError> {
        let mut there = ShadowDatabase::along(self.shadow, self.plan, self.index).await?;
        if left_out.is_empty() {
            there.run(self.step).await?;
        } else {
            let kept = self.statements.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
            let kept: Vec<&str> = kept.map(|(_, it)| it.text.as_str()).collect();
            there.run_instead(self.step, &Dialect::joined(&kept)).await?;
        }
        for statement in statements {
            there.run_text(&self.staying(), statement).await?;
        }
        Ok(there)
    }

    /// How many things a program for the clean install would miss in the schema `here`. What was not as
    /// there before the journey stays so.
    pub fn misses(&self, here: &Fingerprint) -> usize {
        let lacks = differences(self.clean, here).into_iter().filter(Difference::is_lack);
        let before = &self.plan.basis.deviation;
        let found = |it: &ObjectName| here.objects.get(it).map(|it| it.text.as_str());
        let lacks = lacks.filter(|it| {
            !before.has(it.object(), found(it.object())) && !before.differences.contains(it)
        });
        // A table stands for its parts.
        let parts = |table: &ObjectName| {
            let its = |it: &&ObjectName| it.table.as_ref() == Some(&table.name);
            self.clean.objects.keys().filter(its).count()
        };
        let weight = |it: &Difference| match it {
            Difference::Missing { object, .. } if object.kind == "table" => 1 + parts(object),
            _ => 1,
        };
        lacks.map(|it| weight(&it)).sum()
    }

    /// How good a way is: by what would be missed, and by all that differs. The worst does not run.
    fn measure(&self, way: &Option<Way>) -> (usize, usize) {
        let of = |way: &Way| (self.misses(&way.here), differences(self.clean, &way.here).len());
        way.as_ref().map_or((usize::MAX, usize::MAX), of)
    }

    /// The best way there. A mistaken down half takes what the clean install has, or takes what is not
    /// there: the way does without that. One of which nothing leads to more runs as it is.
    pub async fn way(&self) -> Result<Option<Way>, RehearsalError> {
        let mut best = self.goes(BTreeSet::new()).await?;
        let fails = best.is_none();
        let takes = |it: &Piece| it.takes && holds(Rule::MistakenPassedOver);
        let takes = self.statements.iter().enumerate().filter(|(_, it)| takes(it));
        let candidates: Vec<usize> = takes.map(|(at, _)| at).take(MOST_TRIED).collect();
        let mut left_out = BTreeSet::new();
        if self.measure(&best).0 > 0
            && let Some(careful) = self.careful(&candidates).await?
            && self.measure(&best) > self.measure(&Some(careful.clone()))
        {
            left_out.clone_from(&careful.left_out);
            best = Some(careful);
        }
        while self.measure(&best).0 > 0 && left_out.len() < candidates.len() {
            let mut better: Option<Way> = None;
            let (least, fewest) = self.measure(&best);
            for at in candidates.iter().filter(|at| !left_out.contains(*at)) {
                let with: BTreeSet<usize> = left_out.iter().chain([at]).copied().collect();
                let way = self.goes(with).await?;
                let (misses, differ) = self.measure(&way);
                // Rather one thing too much than one too few, which would be made anew without its rows.
                let is_better = misses < least && differ <= fewest;
                if is_better && (misses, differ) < self.measure(&better) {
                    better = way;
                }
            }
            if let Some(way) = better {
                left_out.clone_from(&way.left_out);
                best = Some(way);
                continue;
            }
            // Where none alone is to blame, the first that fails goes, and the rest is looked at again.
            match self.first_failing(&left_out).await? {
                Some(at) if best.is_none() && candidates.contains(&at) => {
                    left_out.insert(at);
                    best = self.goes(left_out.clone()).await?;
                }
                _ => break,
            }
        }
        // What fails for what stands on it is no mistake of the body's.
        Ok(best.filter(|way| !fails || !self.leaves_over(&way.here)))
    }

    /// The way without those of the candidates that take what the clean install has, one after the other, and
    /// without those that take what is not there then; none where another statement fails.
    async fn careful(&self, candidates: &[usize]) -> Result<Option<Way>, RehearsalError> {
        let mut mistaken = BTreeSet::new();
        'again: loop {
            let mut there = ShadowDatabase::along(self.shadow, self.plan, self.index).await?;
            let (mut here, mut left_out) = (there.fingerprint().await?, mistaken.clone());
            for (at, piece) in self.statements.iter().enumerate() {
                let takes = candidates.contains(&at);
                if mistaken.contains(&at) {
                    continue;
                }
                match there.run_text(self.step, &piece.text).await {
                    Err(RehearsalError::Journey(_)) if takes => drop(left_out.insert(at)),
                    Err(RehearsalError::Journey(_)) => return Ok(None),
                    ran => ran?,
                }
                if takes && !left_out.contains(&at) {
                    let now = there.fingerprint().await?;
                    if takes_from(self.clean, &here, &now) {
                        mistaken.insert(at);
                        continue 'again;
                    }
                    here = now;
                }
            }
            return match mistaken.is_empty() {
                true => Ok(None),
                false => self.goes(left_out).await,
            };
        }
    }

    /// Whether something is there that the journey should have taken.
    fn leaves_over(&self, here: &Fingerprint) -> bool {
        let Deviation { differences: before, foreign, .. } = &self.plan.basis.deviation;
        let is_over = |it: &Difference| matches!(it, Difference::Unexpected { object, .. } if !foreign.contains(object));
        differences(self.clean, here).iter().any(|it| is_over(it) && !before.contains(it))
    }

    /// The first statement that does not run, without some others.
    async fn first_failing(
        &self,
        left_out: &BTreeSet<usize>,
    ) -> Result<Option<usize>, RehearsalError> {
        let mut there = ShadowDatabase::along(self.shadow, self.plan, self.index).await?;
        let kept = self.statements.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
        for (at, statement) in kept {
            match there.run_text(self.step, &statement.text).await {
                Err(RehearsalError::Journey(_)) => return Ok(Some(at)),
                ran => ran?,
            }
        }
        Ok(None)
    }

    /// Where the body leads without some of its statements, with what is named back behind it; nothing
    /// where it does not run.
    async fn goes(&self, left_out: BTreeSet<usize>) -> Result<Option<Way>, RehearsalError> {
        let mut here = match self.after(&left_out, &[]).await {
            Ok(mut there) => there.fingerprint().await?,
            Err(RehearsalError::Journey(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut renamed = Vec::new();
        if self.misses(&here) > 0 && self.step.direction == Direction::Down {
            for statement in self.renamings() {
                let with = [renamed.clone(), vec![statement]].concat();
                // What does not run, or leads elsewhere, is none of them.
                if let Ok(mut trial) = self.after(&left_out, &with).await {
                    let now = trial.fingerprint().await?;
                    if differences(self.clean, &now).len() < differences(self.clean, &here).len() {
                        (renamed, here) = (with, now);
                    }
                }
            }
        }
        Ok(Some(Way { left_out, renamed, here }))
    }

    /// What the up half renames, named back, the last one first: what has another name has its data still, and
    /// one made anew in its place would have none.
    fn renamings(&self) -> Vec<String> {
        let half = self.plan.migration_of(self.step).and_then(|it| it.half(Direction::Up));
        let body = half.and_then(|half| self.plan.bodies.get(&half.hash));
        body.map(|body| self.shadow.dialect().names_back(body)).unwrap_or_default()
    }
}
