//! Whether the random applications would notice: with each rule of what is called proved switched off.

use sternway_database::Dialect;
use sternway_database::failpoint::{Rule, break_rule};

use super::Count;
use super::case::case;
use super::place::Place;

/// How many applications it takes at most until one notices, from one on that comes soon before it.
const ENOUGH: u64 = 120;

#[tokio::test]
async fn random_applications_notice_where_a_rule_is_broken() {
    let Some(mut place) = Place::on(Dialect::Sqlite, "canary").await else { return };
    for (rule, first) in [
        (Rule::RowsAsked, 190),
        (Rule::MistakenPassedOver, 0),
        (Rule::FilledLate, 150),
        (Rule::FromWhatIsThere, 0),
        (Rule::LeavesRecorded, 0),
        (Rule::PassedOver, 0),
        (Rule::Completed, 0),
        (Rule::NoneWaived, 0),
        (Rule::OthersAsked, 0),
        (Rule::OthersMadeAgain, 0),
        (Rule::UndoneWhole, 0),
    ] {
        break_rule(Some(rule));
        let mut noticed = false;
        for seed in first..first + ENOUGH {
            noticed = case(seed, &mut place, &mut Count::default()).await.is_err();
            if noticed {
                break;
            }
        }
        break_rule(None);
        assert!(noticed, "no application notices that {rule:?} is broken");
    }
}
