// SPDX-License-Identifier: Apache-2.0
//! What a stage of the HTTP stack is: a service that is always ready and is called by shared reference.
//!
//! A stage knows the type of the one behind it, so that a request passes all of them as one future, in one allocation.
//! Where a stack ends, towards the arms of protocols, its type is erased to [`Stage`].

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

use crate::message::{Request, Response, error::ProxyError};

/// What became of a request.
pub type Outcome = Result<Box<Response>, ProxyError>;

/// The answer of a stage whose type is erased.
pub type Reply<'s> = BoxFuture<'s, Outcome>;

/// One stage, to be called by shared reference.
pub trait Serve: Send + Sync {
    /// Takes a request on.
    fn serve(&self, request: Box<Request>) -> impl Future<Output = Outcome> + Send;

    /// Adds its name, and those of the stages behind it.
    fn list(&self, names: &mut Vec<&'static str>) {
        names.push(name_of::<Self>());
    }
}

/// What a stage is called where stages are listed.
pub(crate) fn name_of<S: ?Sized>() -> &'static str {
    let path = std::any::type_name::<S>();
    let path = path.split_once('<').map_or(path, |(path, _)| path);
    path.rsplit_once("::").map_or(path, |(_, name)| name)
}

/// A stage and everything behind it.
#[derive(Clone)]
pub struct Stage(Arc<dyn Erased>);

impl Stage {
    /// Erases `stage`.
    pub fn new(stage: impl Serve + 'static) -> Self {
        Self(Arc::new(stage))
    }

    /// Takes a request on.
    pub fn serve(&self, request: Box<Request>) -> Reply<'_> {
        self.0.serve_boxed(request)
    }
}

impl Serve for Stage {
    fn serve(&self, request: Box<Request>) -> impl Future<Output = Outcome> + Send {
        self.0.serve_boxed(request)
    }

    fn list(&self, names: &mut Vec<&'static str>) {
        self.0.list_boxed(names);
    }
}

/// A stage that can be called without its type.
trait Erased: Send + Sync {
    fn serve_boxed(&self, request: Box<Request>) -> Reply<'_>;
    fn list_boxed(&self, names: &mut Vec<&'static str>);
}

impl<S: Serve> Erased for S {
    fn serve_boxed(&self, request: Box<Request>) -> Reply<'_> {
        Box::pin(self.serve(request))
    }

    fn list_boxed(&self, names: &mut Vec<&'static str>) {
        self.list(names);
    }
}

/// Lists the stages from the outside in.
impl fmt::Debug for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Vec::new();
        self.list(&mut names);
        formatter.write_str(&names.join(" > "))
    }
}

impl tower::Service<Box<Request>> for Stage {
    type Response = Box<Response>;
    type Error = ProxyError;
    type Future = Reply<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Box<Request>) -> Self::Future {
        let stage = self.clone();
        Box::pin(async move { stage.0.serve_boxed(request).await })
    }
}
