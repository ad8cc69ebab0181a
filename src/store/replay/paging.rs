//! What a pass pushes, page by page.

/// What is pushed before the next is looked for.
const PAGE: usize = 256;

/// What was pending when a pass began: what comes meanwhile would shift any page.
#[derive(Debug)]
pub(crate) struct Paging<T>(Vec<T>);

impl<T> Default for Paging<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Paging<T> {
    /// The next page, for [`Backlog::due`](super::Backlog::due): at the beginning of a pass of all
    /// that is `pending` then.
    pub(crate) fn next(
        &mut self,
        cursor: &mut usize,
        pending: impl FnOnce() -> Vec<T>,
    ) -> Option<Vec<T>> {
        if *cursor == 0 {
            self.0 = pending();
        }
        *cursor += 1;
        let rest = self.0.len().saturating_sub(PAGE);
        let page = self.0.split_off(rest);
        (!page.is_empty()).then_some(page)
    }
}
