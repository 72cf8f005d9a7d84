//! The API server's clock, as its answers tell it.

use jiff::{SignedDuration, Timestamp};

/// What is known about how far the API server's clock is ahead of ours, milliseconds.
///
/// A `Date` header has a resolution of one second; each one narrows the interval.
#[derive(Default)]
pub(super) struct Clock {
    bounds: Option<(i64, i64)>,
}

impl Clock {
    pub(super) fn observe(&mut self, sent: Timestamp, received: Timestamp, date: Timestamp) {
        let date = date.as_millisecond();
        let low = date - received.as_millisecond();
        let high = date + 1000 - sent.as_millisecond();
        self.bounds = match self.bounds {
            Some((old_low, old_high)) if low.max(old_low) <= high.min(old_high) => {
                Some((low.max(old_low), high.min(old_high)))
            }
            // A clock was set, or the machine slept.
            _ => Some((low, high)),
        };
    }

    pub(super) fn offset(&self) -> SignedDuration {
        let milliseconds = match self.bounds {
            Some((low, high)) if low > 0 || high < 0 => i64::midpoint(low, high),
            _ => 0,
        };
        SignedDuration::from_millis(milliseconds)
    }
}
