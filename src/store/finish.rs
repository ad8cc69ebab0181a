//! Work that goes on when its caller goes away.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::redis::Redis;

/// Carries `work` to its end: where the caller is, and from the moment that it drops the result, in
/// a task. For what a client must not undo by going away, when it takes more than one step.
pub(crate) fn finish<F>(redis: &Redis, work: F) -> Finish<F>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    Finish { redis: redis.clone(), work: Some(Box::pin(work)) }
}

#[must_use = "work begins when it is polled"]
pub(crate) struct Finish<F: Future + Send + 'static> {
    redis: Redis,
    work: Option<Pin<Box<F>>>,
}

impl<F: Future + Send + 'static> Future for Finish<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.work else { return Poll::Pending };
        let output = ready!(work.as_mut().poll(cx));
        self.work = None;
        Poll::Ready(output)
    }
}

impl<F: Future + Send + 'static> Drop for Finish<F> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            drop(self.redis.spawn(async move { drop(work.await) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::redis::RedisConfig;

    #[tokio::test]
    async fn work_that_is_given_up_goes_on() {
        let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let work = |done: Arc<AtomicBool>| async move {
            sleep(Duration::from_millis(40)).await;
            done.store(true, Ordering::SeqCst);
            7
        };
        assert_eq!(finish(&redis, work(Arc::default())).await, 7);
        let given_up = timeout(Duration::from_millis(5), finish(&redis, work(Arc::clone(&done))));
        assert!(given_up.await.is_err());
        while !done.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(1)).await;
        }
    }
}
