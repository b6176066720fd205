//! Routes with descriptions for the OpenAPI document, which are made only when it is asked for.
//!
//! The descriptions of all bodies take megabytes of code and memory, which a daemon without a reader of the document does not need.

use axum::Router;
use axum::routing::MethodRouter;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::app::App;

/// Routes of one path.
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) handlers: MethodRouter<App>,
    pub(crate) describe: fn() -> UtoipaMethodRouter<App>,
}

/// The handlers of one path, each `module::function` with `#[utoipa::path]`, as a [`Route`].
macro_rules! routes {
    ($($module:ident :: $handler:ident),+ $(,)?) => {{
        use utoipa::Path as _;
        use utoipa_axum::PathItemExt as _;
        let mut handlers = axum::routing::MethodRouter::new();
        let mut paths = Vec::new();
        $(utoipa_axum::paste! {
            paths.push($module::[<__path_ $handler>]::path());
            for method in $module::[<__path_ $handler>]::methods() {
                handlers = handlers.on(method.to_method_filter(), $module::$handler);
            }
        })+
        $crate::described::Route {
            path: paths.swap_remove(0),
            handlers,
            describe: || utoipa_axum::routes!($($module::$handler),+),
        }
    }};
}
pub(crate) use routes;

/// A set of routes.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<App>,
    descriptions: Vec<fn() -> UtoipaMethodRouter<App>>,
}

impl Routes {
    /// No routes.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds the handlers of a path.
    pub(crate) fn routes(mut self, route: Route) -> Self {
        self.router = self.router.route(&route.path, route.handlers);
        self.descriptions.push(route.describe);
        self
    }

    /// Adds handlers of a path that the document leaves out.
    pub(crate) fn route(mut self, path: &str, handlers: MethodRouter<App>) -> Self {
        self.router = self.router.route(path, handlers);
        self
    }

    /// Adds other routes.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.descriptions.extend(other.descriptions);
        self
    }

    /// The same routes with a change of all handlers, such as a layer.
    pub(crate) fn map(mut self, change: impl FnOnce(Router<App>) -> Router<App>) -> Self {
        self.router = change(self.router);
        self
    }

    /// The routes alone.
    pub(crate) fn into_router(self) -> Router<App> {
        self.router
    }

    /// Their descriptions.
    pub(crate) fn into_openapi(self) -> OpenApi {
        let described = self.descriptions.into_iter();
        let routes = described.fold(OpenApiRouter::new(), |routes, describe| {
            routes.routes(describe())
        });
        routes.into_openapi()
    }
}
