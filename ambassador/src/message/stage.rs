// SPDX-License-Identifier: Apache-2.0
//! What a stage of the HTTP stack is: a tower service that is always ready and is called by shared reference.
//!
//! Stages are erased to [`Stage`], which clones by reference count; a boxed clone of every stage behind it, once per
//! stage and request, would cost more than all of the stages do.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;

use crate::message::{Request, Response, error::ProxyError};

/// The answer of a stage, which it is lent for: a count of those who hold it would be shared by all workers.
pub type Reply<'s> = BoxFuture<'s, Result<Box<Response>, ProxyError>>;

/// One stage, to be called by shared reference.
pub trait Serve: Send + Sync {
    /// Takes a request on.
    fn serve(&self, request: Box<Request>) -> Reply<'_>;

    /// The stage behind this one; `None` for the innermost.
    fn inside(&self) -> Option<&Stage> {
        None
    }

    /// What it is called where the stages are listed.
    fn name(&self) -> &'static str {
        let path = std::any::type_name::<Self>();
        path.rsplit_once("::").map_or(path, |(_, name)| name)
    }
}

/// A stage and everything behind it.
#[derive(Clone)]
pub struct Stage(Arc<dyn Serve>);

impl Stage {
    /// Erases `stage`.
    pub fn new(stage: impl Serve + 'static) -> Self {
        Self(Arc::new(stage))
    }

    /// Takes a request on.
    pub fn serve(&self, request: Box<Request>) -> Reply<'_> {
        self.0.serve(request)
    }
}

/// Lists the stages from the outside in.
impl fmt::Debug for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.name())?;
        match self.0.inside() {
            Some(inside) => write!(formatter, " > {inside:?}"),
            None => Ok(()),
        }
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
        Box::pin(async move { stage.serve(request).await })
    }
}
