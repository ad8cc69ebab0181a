//! The response future: the handler's answer, then the session is written and its cookies are set.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project::pin_project;

use super::{
    cookie_settings::CookieSettings,
    error::SessionError,
    handle::Session,
    request_session::Outcome,
    set_cookie::{keep_from_caches, remove, set},
    settings::Settings,
};
use crate::respond::ResponseBody;

/// The response future of [`SessionService`](super::SessionService), under its request's budget.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct SessionFuture<F, B> {
    #[pin]
    phase: Phase<F, B>,
}

type Finishing = Pin<Box<dyn Future<Output = Result<Outcome, SessionError>> + Send>>;

#[pin_project(project = PhaseProj, project_replace = PhaseOwned)]
enum Phase<F, B> {
    Handling {
        #[pin]
        inner: F,
        session: Session,
    },
    /// Only for a session that is to be written, or whose cookies change.
    Finishing {
        finishing: Finishing,
        settings: Arc<Settings>,
        response: Response<B>,
    },
    Done,
}

impl<F, B> SessionFuture<F, B> {
    pub(super) const fn new(inner: F, session: Session) -> Self {
        Self { phase: Phase::Handling { inner, session } }
    }
}

impl<F, B, E> Future for SessionFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut phase = self.project().phase;
        loop {
            match phase.as_mut().project() {
                PhaseProj::Handling { inner, session } => {
                    let response = ready!(inner.poll(cx))?;
                    if session.0.is_untouched() {
                        phase.set(Phase::Done);
                        return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                    }
                    let settings = Arc::clone(&session.0.settings);
                    let finishing = Box::pin(Arc::clone(&session.0).finish());
                    phase.set(Phase::Finishing { finishing, settings, response });
                }
                PhaseProj::Finishing { finishing, .. } => {
                    let outcome = ready!(finishing.as_mut().poll(cx));
                    let PhaseOwned::Finishing { settings, response, .. } =
                        phase.project_replace(Phase::Done)
                    else {
                        return Poll::Pending;
                    };
                    return Poll::Ready(Ok(match outcome {
                        Ok(outcome) => tell(response, &settings.cookies, outcome),
                        Err(error) => error.response(),
                    }));
                }
                // Polled again after its end: like a future that never ends, not a panic.
                PhaseProj::Done => return Poll::Pending,
            }
        }
    }
}

fn tell<B>(
    response: Response<B>,
    settings: &CookieSettings,
    outcome: Outcome,
) -> Response<ResponseBody<B>> {
    let mut response = response.map(ResponseBody::inner);
    let headers = response.headers_mut();
    match outcome {
        Outcome::Keep => return response,
        Outcome::Remove => remove(settings, headers),
        Outcome::Set(cookies) => {
            // The cookies outlive the session by no more than a second.
            let seconds = cookies.max_age.div_ceil(1_000);
            if let Some(id) = cookies.id {
                set(settings, headers, &settings.id, &id.encode(), seconds);
            }
            if let Some(snapshot) = cookies.snapshot {
                set(settings, headers, &settings.snapshot, &snapshot, seconds);
            }
        }
    }
    keep_from_caches(headers);
    response
}

impl<F, B> fmt::Debug for SessionFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finishing = matches!(self.phase, Phase::Finishing { .. });
        f.debug_struct("SessionFuture").field("finishing", &finishing).finish_non_exhaustive()
    }
}
