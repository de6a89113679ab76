//! When a certificate is due: in the window that the authority suggests (RFC 9773), else after two thirds of its life.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::time::Instant;

use crate::tls::Issued;

/// Between two questions for the window, where the authority does not say (RFC 9773 section 4.3).
const ASK_AGAIN: Duration = Duration::from_secs(6 * 3600);
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(24 * 3600);

/// The window in which an authority wants a certificate to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    /// When to ask again.
    pub(super) ask_again: Option<Duration>,
}

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// A certificate is due after this; at once where it is zero.
    pub due_in: Duration,
    /// How much longer the one that is there is good for; `None`: there is none.
    pub left: Option<Duration>,
    /// For so long the authority wants to be left alone.
    pub held: Duration,
    /// It is in its last sixth, or there is none: somebody should look.
    pub is_urgent: bool,
}

/// What is known of the certificate that is there.
#[derive(Debug, Default)]
pub(super) struct Plan {
    serial: Vec<u8>,
    /// Our place in any window, in thousandths; the same for one certificate as long as we run.
    place: u32,
    window: Option<Window>,
    ask_again: Option<Instant>,
}

impl Plan {
    /// Whether it is time to ask the authority for its window.
    pub(super) fn wants_to_ask(&mut self, issued: &Issued) -> bool {
        if self.serial != issued.serial {
            let random = RandomState::new().hash_one(&issued.serial) % 1000;
            *self = Self {
                serial: issued.serial.clone(),
                place: u32::try_from(random).unwrap_or_default(),
                window: None,
                ask_again: None,
            };
        }
        self.ask_again.is_none_or(|at| Instant::now() >= at)
    }

    /// Whether this is the certificate that the plan was made for.
    pub(super) fn is_about(&self, issued: &Issued) -> bool {
        self.serial == issued.serial
    }

    /// What it answered; without an answer an earlier one stays.
    pub(super) fn take(&mut self, window: Option<Window>) {
        let wait = window.and_then(|window| window.ask_again);
        let wait = wait.unwrap_or(ASK_AGAIN).clamp(SOONEST, LATEST);
        self.ask_again = Some(Instant::now() + wait);
        self.window = window.or(self.window);
    }

    /// `held`: how long the authority does not want to hear of us.
    pub(super) fn outlook(&self, issued: Option<&Issued>, held: Duration) -> Outlook {
        self.outlook_at(SystemTime::now(), issued, held)
    }

    fn outlook_at(&self, now: SystemTime, issued: Option<&Issued>, held: Duration) -> Outlook {
        let Some(issued) = issued else {
            return Outlook {
                due_in: held,
                held,
                left: None,
                is_urgent: true,
            };
        };
        let until = |at: SystemTime| at.duration_since(now).unwrap_or_default();
        let life = issued.not_after.duration_since(issued.not_before);
        let life = life.unwrap_or_default();
        let due = match self.window {
            Some(Window { start, end, .. }) => {
                let width = end.duration_since(start).unwrap_or_default();
                start + width / 1000 * self.place
            }
            // Those who were issued together do not all come at once.
            None => issued.not_before + life / 3 * 2 - life / 30_000 * self.place,
        };
        // Whatever a window says, not after nearly all of it.
        let due = due.min(issued.not_after - life / 20);
        let left = until(issued.not_after);
        Outlook {
            due_in: until(due).max(held),
            held,
            left: Some(left),
            is_urgent: left < life / 6,
        }
    }
}

/// What a certificate is called at the authority (RFC 9773 section 4.1): key identifier and serial number.
pub(super) fn certificate_id(issued: &Issued) -> Option<(String, String)> {
    let key = issued.authority_key.as_ref()?;
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Some((encoded(key), encoded(&issued.serial)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn issued(serial: u8) -> Issued {
        let not_before = SystemTime::UNIX_EPOCH + DAY * 1000;
        Issued {
            names: vec!["a.test".to_owned()],
            not_before,
            not_after: not_before + DAY * 90,
            serial: vec![serial],
            authority_key: Some(vec![0xff, 0xee]),
        }
    }

    fn on(day: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * (1000 + day)
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_window_it_is_due_after_two_thirds_of_its_life() {
        let issued = issued(1);
        for place in [0, 999] {
            let plan = Plan {
                place,
                ..Plan::default()
            };
            let at = |day| plan.outlook_at(on(day), Some(&issued), Duration::ZERO);
            let due = at(0).due_in;
            assert!((57 * DAY..=60 * DAY).contains(&due), "{due:?}");
            assert_eq!(at(61).due_in, Duration::ZERO);
            assert_eq!(at(61).left, Some(DAY * 29));
            assert!(!at(61).is_urgent);
            assert!(at(80).is_urgent);
            assert_eq!(at(100).left, Some(Duration::ZERO), "expired");
            assert_eq!(at(100).due_in, Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_of_the_authority_decides_where_there_is_one_but_not_beyond_the_end() {
        let (issued, next) = (issued(1), issued(2));
        let mut plan = Plan::default();
        assert!(plan.wants_to_ask(&issued));
        plan.take(Some(Window {
            start: on(20),
            end: on(22),
            ask_again: Some(Duration::from_secs(7200)),
        }));
        let due = plan
            .outlook_at(on(10), Some(&issued), Duration::ZERO)
            .due_in;
        assert!((10 * DAY..=12 * DAY).contains(&due), "{due:?}");
        let again = plan
            .outlook_at(on(10), Some(&issued), Duration::ZERO)
            .due_in;
        assert_eq!(due, again, "the point in the window stays");

        assert!(!plan.wants_to_ask(&issued));
        tokio::time::advance(Duration::from_secs(7200)).await;
        assert!(plan.wants_to_ask(&issued));
        plan.take(None);
        let kept = plan
            .outlook_at(on(10), Some(&issued), Duration::ZERO)
            .due_in;
        assert_eq!(due, kept, "no answer changes nothing");

        plan.take(Some(Window {
            start: on(200),
            end: on(201),
            ask_again: None,
        }));
        let due = plan
            .outlook_at(on(10), Some(&issued), Duration::ZERO)
            .due_in;
        assert!(due < 80 * DAY, "{due:?}");

        assert!(
            plan.wants_to_ask(&next),
            "another certificate, another window"
        );
        let due = plan.outlook_at(on(0), Some(&next), Duration::ZERO).due_in;
        assert!(due >= 57 * DAY, "{due:?}");
    }

    #[test]
    fn whom_the_authority_holds_back_waits_and_without_a_certificate_it_is_due_at_once() {
        let plan = Plan::default();
        let none = plan.outlook_at(on(0), None, Duration::ZERO);
        assert_eq!((none.due_in, none.left), (Duration::ZERO, None));
        assert!(none.is_urgent);
        let held = Duration::from_secs(500);
        assert_eq!(plan.outlook_at(on(0), None, held).due_in, held);
        assert_eq!(plan.outlook_at(on(80), Some(&issued(1)), held).due_in, held);
    }

    /// The example of RFC 9773 section 4.1.
    #[test]
    fn a_certificate_is_called_as_the_rfc_has_it() {
        let issued = Issued {
            serial: vec![0x00, 0x87, 0x65, 0x43, 0x21],
            authority_key: Some(vec![
                0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
                0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
            ]),
            ..issued(1)
        };
        let (key, serial) = certificate_id(&issued).unwrap();
        assert_eq!(
            format!("{key}.{serial}"),
            "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"
        );
    }
}
