//! Servers that one test at a time has for itself. Each is started when it is first needed, and
//! serves many tests, one after the other.

use e2e::api::ApiServer;
use tokio::sync::{Mutex, MutexGuard, OnceCell, Semaphore, SemaphorePermit};

/// `SIZE` servers.
pub struct Pool<const SIZE: usize> {
    /// As many permits as servers that no test has.
    free: Semaphore,
    places: [Place; SIZE],
}

struct Place {
    server: OnceCell<ApiServer>,
    turn: Mutex<()>,
}

/// A server that no other test uses until this is dropped.
pub struct Turn {
    pub server: &'static ApiServer,
    // The permit is given back last: a server is free then.
    _turn: MutexGuard<'static, ()>,
    _permit: SemaphorePermit<'static>,
}

impl Place {
    const fn new() -> Self {
        Self { server: OnceCell::const_new(), turn: Mutex::const_new(()) }
    }
}

impl<const SIZE: usize> Pool<SIZE> {
    pub const fn new() -> Self {
        Self { free: Semaphore::const_new(SIZE), places: [const { Place::new() }; SIZE] }
    }

    /// Waits for a free server. `start` makes the one with that number, when it is first needed.
    pub async fn turn(&'static self, start: impl AsyncFnOnce(usize) -> ApiServer) -> Turn {
        let permit = self.free.acquire().await.unwrap();
        let mut places = self.places.iter().enumerate();
        let free = places.find_map(|(number, place)| {
            let turn = place.turn.try_lock().ok()?;
            Some((number, place, turn))
        });
        let (number, place, turn) = free.unwrap();
        let server = place.server.get_or_init(async || start(number).await).await;
        Turn { server, _turn: turn, _permit: permit }
    }
}
