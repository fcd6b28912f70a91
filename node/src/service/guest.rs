//! Who has a place at the admin port. When all are taken, whoever has waited longest without a whole head of a request
//! gives way to whoever knocks: half a head, or a connection that is kept for later, keeps nobody out.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// What a guest has at least for the head of its request, and how often a full house is looked at.
const GRACE: Duration = Duration::from_millis(20);

/// What it has to take its answer.
const ANSWER: Duration = Duration::from_secs(1);

/// A connection, and what it waits for.
#[derive(Debug)]
pub(super) struct Guest {
    /// Since when no whole head is there that is not answered; `None`: there is one.
    idle: Mutex<Option<Instant>>,
    leave: Notify,
}

impl Guest {
    fn new() -> Self {
        Self { idle: Mutex::new(Some(Instant::now())), leave: Notify::new() }
    }

    /// A whole head has come.
    pub(super) fn asked(&self) {
        self.set(None);
    }

    /// The answer is ready.
    pub(super) fn answered(&self) {
        self.set(Some(Instant::now() + ANSWER));
    }

    /// Until it has to give way.
    pub(super) async fn gives_way(&self) {
        loop {
            self.leave.notified().await;
            if self.idle().is_some() {
                return; // else a head came meanwhile
            }
        }
    }

    fn set(&self, idle: Option<Instant>) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = idle;
    }

    fn idle(&self) -> Option<Instant> {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places, and who has them.
pub(super) struct House {
    limit: usize,
    places: Arc<Semaphore>,
    guests: Vec<Arc<Guest>>,
}

impl House {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, places: Arc::new(Semaphore::new(limit)), guests: Vec::new() }
    }

    /// The next who knocks, when there is a place.
    pub(super) async fn next(
        &mut self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, Arc<Guest>, OwnedSemaphorePermit)> {
        // What the last one sent is read before this one is let in.
        tokio::task::yield_now().await;
        let (stream, _) = listener.accept().await?;
        let place = loop {
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                break place;
            }
            self.dismiss();
            if let Ok(place) = timeout(GRACE, self.places.clone().acquire_owned()).await {
                break place.expect("the semaphore is never closed");
            }
        };
        let guest = Arc::new(Guest::new());
        if self.guests.len() >= self.limit {
            self.forget_the_gone();
        }
        self.guests.push(guest.clone());
        Ok((stream, guest, place))
    }

    fn forget_the_gone(&mut self) {
        self.guests.retain(|guest| Arc::strong_count(guest) > 1);
    }

    /// Whoever has waited longest is told to leave, if that is long enough.
    fn dismiss(&mut self) {
        self.forget_the_gone();
        let idle = self.guests.iter().filter_map(|guest| Some((guest.idle()?, guest)));
        let longest = idle.min_by_key(|(since, _)| *since);
        if let Some((since, guest)) = longest
            && since + GRACE <= Instant::now()
        {
            guest.leave.notify_one();
        }
    }

    /// Until everybody has left.
    pub(super) async fn left_by_all(self) {
        let all = u32::try_from(self.limit).expect("its range is small");
        let _everybody = self.places.acquire_many(all).await;
    }
}
