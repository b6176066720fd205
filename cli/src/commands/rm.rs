//! `slm rm`: removes models.

use api::{DeleteRequest, routes};
use http::Method;

use super::{Outcome, each};
use crate::args::Models;
use crate::context::Context;
use crate::exit::Exit;

/// Removes every named model. A model that cannot be removed does not keep the command from removing the others.
pub(crate) async fn run(context: &Context, args: &Models) -> anyhow::Result<Exit> {
    each(&context.out, &args.models, async |model| {
        let request = DeleteRequest {
            model: model.to_owned(),
            ..DeleteRequest::default()
        };
        context
            .client
            .tell(Method::DELETE, routes::DELETE, &request)
            .await?;
        Ok(Outcome {
            word: "removed",
            note: format!("removed `{model}`"),
        })
    })
    .await
}
