//! `sternway job`

use sternway_deploy::kubernetes::{Ended, JobSettings, follow, job as made, yaml};
use sternway_view::run::question;

use super::plan::looked;
use super::snapshot::estimated;
use crate::args::{JobArgs, Shared};
use crate::config::Deploy;
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use crate::wiring::Setup;

pub async fn job(ui: &Ui, shared: &Shared, args: &JobArgs) -> Result<Exit, Failure> {
    let setup = Setup::new(ui, shared)?.found().await?;
    let Some(Deploy::Kubernetes(settings)) = setup.config.deploy.clone() else {
        let failure = Failure::new("nothing says which cluster the Job is for", Exit::Usage);
        return Err(failure.hint("[deploy.kubernetes] of sternway.toml does, or --profile kagent"));
    };
    let database_secret = args.database_secret.as_deref().map(|text| {
        let parts = text.split_once('/').filter(|(name, key)| !name.is_empty() && !key.is_empty());
        parts.map(|(name, key)| (name.to_owned(), key.to_owned())).ok_or_else(|| {
            Failure::new(format!("--database-secret {text} is no NAME/KEY"), Exit::Usage)
        })
    });
    let how = JobSettings {
        image: args.image.clone(),
        settings: setup.config.text.clone(),
        profile: shared.profile.clone(),
        service_account: args.service_account.clone(),
        database_secret: database_secret.transpose()?,
        retries: args.retries,
    };
    let request = setup.request(&args.to, None, &args.way, &args.others)?;
    let request = estimated(&setup, request).await?;
    let plan = looked(&setup, &request, false, setup.app()).await?;
    let job = made(&settings, &plan, &how).await.map_err(|reason| {
        Failure::new(format!("no Job can be made for this plan: {reason}"), Exit::Refused)
    })?;
    if !args.apply {
        ui.out(yaml(&job.manifests).trim_end());
        ui.note("`kubectl apply -f -` takes this; --apply creates it and follows it to its end");
        return Ok(Exit::Done);
    }
    ui.say(ui.plan(&plan.to_string()).trim_end());
    ui.confirm(&question(&plan), args.yes)?;
    ui.say(format!("job/{} executes it; `kubectl logs -f job/{0}` shows it too", job.name));
    let ended = follow(&settings, &job, |line| ui.say(line)).await;
    let Ended { code, words } = ended.map_err(|reason| {
        Failure::new(format!("job/{} cannot be followed: {reason}", job.name), Exit::Failed)
            .hint("it may go on all the same: `sternway status` and `sternway history` tell from the database")
    })?;
    let said = |text: &str, exit| Failure::new(format!("job/{}: {words}{text}", job.name), exit);
    match code {
        Some(0) => {
            ui.say(format!("job/{}: {words}", job.name));
            Ok(Exit::Done)
        }
        Some(code) => {
            let exit = Exit::of(code).unwrap_or(Exit::Failed);
            let failure = said(&format!("; its last pod ended with exit code {code}"), exit);
            Err(failure.hint("its words are above; `sternway history` shows how far it came"))
        }
        None => Err(said("; its last pod is gone, and its exit code with it", Exit::Failed)
            .hint("`sternway history` shows how far it came")),
    }
}
