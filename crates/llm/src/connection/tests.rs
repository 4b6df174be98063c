//! How long a connection tries, on a clock that only moves when somebody waits.

use std::sync::Mutex;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::reading::Whole;
use crate::wire::ollama::Ollama;
use crate::{Budget, Kind};

/// Time that passes while it is waited, and chance as it is given.
struct Clock {
    now: Mutex<Duration>,
    chance: f64,
}

impl Pace for Clock {
    fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    fn sleep(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    fn chance(&self) -> f64 {
        self.chance
    }

    fn date(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// Nobody is there; to find that out takes this long, or as long as it may.
struct Nobody {
    clock: Arc<Clock>,
    takes: Duration,
}

impl Transport for Nobody {
    fn post(&self, post: &Post<'_>, _piece: &mut dyn FnMut(u16, &[u8]) -> ControlFlow<()>) -> Came {
        self.clock
            .sleep(self.takes.min(post.connect).min(post.whole));
        Came {
            trouble: Some(Trouble::NoConnection("refused".to_owned())),
            ..Came::default()
        }
    }
}

/// How long a question takes, and how many attempts it makes.
fn ask(limits: Limits, takes: Duration, chance: f64, has_answered: bool) -> (Duration, usize) {
    let clock = Arc::new(Clock {
        now: Mutex::new(Duration::from_secs(1000)),
        chance,
    });
    let connection = Connection {
        url: Kind::Ollama.address(None).unwrap(),
        key: None,
        key_header: ("authorization", "Bearer "),
        headers: &[],
        limits,
        account: Account::new(Budget::default()),
        pace: clock.clone(),
        transport: Box::new(Nobody {
            clock: clock.clone(),
            takes,
        }),
        has_answered: AtomicBool::new(has_answered),
    };
    let began = clock.now();
    let mut attempts = Vec::new();
    let answer = connection.send("/", &json!({}), began, &mut attempts, &mut Whole(&Ollama));
    assert!(
        matches!(answer, Err(Failure::Unreachable { .. })),
        "{answer:?}"
    );
    (clock.now() - began, attempts.len())
}

proptest! {
    #[test]
    fn nobody_there_takes_no_longer_than_its_limit(
        takes_ms in 0_u64..5000,
        nobody_ms in 1_u64..5000,
        connect_ms in 1_u64..5000,
        attempts in 1_u32..20,
        chance in 0.0..1.0,
    ) {
        let limits = Limits {
            nobody: Duration::from_millis(nobody_ms),
            connect: Duration::from_millis(connect_ms),
            attempts,
            ..Limits::default()
        };
        let (took, tried) = ask(limits, Duration::from_millis(takes_ms), chance, false);
        prop_assert!(took <= limits.nobody, "{took:?}");
        prop_assert!((1..=attempts as usize).contains(&tried));
    }

    #[test]
    fn a_question_takes_no_longer_than_its_limit(
        takes_ms in 0_u64..5000,
        whole_ms in 1_u64..20_000,
        attempts in 1_u32..20,
        chance in 0.0..1.0,
    ) {
        let limits = Limits {
            whole: Duration::from_millis(whole_ms),
            attempts,
            ..Limits::default()
        };
        let (took, _) = ask(limits, Duration::from_millis(takes_ms), chance, true);
        prop_assert!(took <= limits.whole, "{took:?}");
    }
}

#[test]
fn who_has_answered_once_is_waited_for() {
    let limits = Limits {
        attempts: 6,
        ..Limits::default()
    };
    let slow = Duration::from_secs(9);
    let (took, tried) = ask(limits, slow, 0.5, true);
    // Six times the two seconds of a connection, and the waits.
    assert!(tried == 6 && took > Duration::from_secs(12), "{took:?}");
    let (took, tried) = ask(limits, slow, 0.5, false);
    assert!(tried == 2 && took == limits.nobody, "{tried} {took:?}");
}
