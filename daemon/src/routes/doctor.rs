//! `GET /slm/v1/doctor`: advice about the installation.

use ::devices::{Disk, Root};
use api::{DoctorResponse, ErrorBody};
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::doctor::{Facts, Leftovers, findings};
use crate::error::Error;
use crate::{blocking, fs};

/// What the daemon finds when it looks at its installation.
///
/// *Detach*: a probe that was started completes.
#[utoipa::path(
    get,
    path = api::routes::DOCTOR,
    responses(
        (status = 200, description = "The findings", body = DoctorResponse),
        (status = "5XX", description = "The store cannot be read, or the daemon stops", body = ErrorBody),
    ),
    tag = "slm"
)]
pub(crate) async fn get(State(app): State<App>) -> Result<Json<DoctorResponse>, Error> {
    let config = app.config.current();
    let probed = app.devices.get().await;
    let home = config.home.clone();
    let runner = app.devices.program().to_owned();
    // A network file system may not answer.
    let (disk, home_mode, has_runner) = blocking::run(move || {
        let disk = Disk::of(&Root::system(), &home);
        (disk, fs::mode(&home), fs::is_file(&runner))
    })
    .await?;
    let leftovers = leftovers(&app).await.map_err(|error| error.message());
    let program = app.devices.program().display().to_string();
    let home = app.shown_home();
    let memory = app.devices.memory();
    let file = app.config.file_state();
    let facts = Facts {
        home_mode,
        home: home.as_deref().unwrap_or("the home"),
        disk: disk.as_ref(),
        leftovers,
        memory: memory.as_ref(),
        probed: &probed,
        missing_runner: (!has_runner).then_some(&program),
        sandbox: config.sandbox,
        network: &config.network,
        warnings: &config.warnings,
        file: &file,
    };
    let findings = findings(&facts);
    Ok(Json(DoctorResponse { findings }))
}

async fn leftovers(app: &App) -> Result<Leftovers, Error> {
    let unnamed = app.registry.unnamed_blobs().await?;
    let (_, left_downloads) = app.left_downloads().await?;
    Ok(Leftovers {
        unnamed_blobs: unnamed.map(|(_, bytes)| bytes),
        left_downloads,
    })
}
