//! Reading: a few connections that see the last commit and never block the writer.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bailiwick_ports::store::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{
    failure::Step,
    open::{OpenError, Options, connect},
    writer::Writer,
};

/// Who answers questions.
pub(crate) enum Readers {
    /// Connections of their own.
    Pool(Arc<Pool>),
    /// The writer's: nobody else sees a database in memory.
    Writer(Arc<Writer>),
}

/// Connections that wait for a question, and a permit for each.
pub(crate) struct Pool {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn open(path: Option<&Path>, options: &Options, writer: &Arc<Writer>) -> Result<Self, OpenError> {
        let Some(path) = path else { return Ok(Self::Writer(Arc::clone(writer))) };
        let count = options.readers.max(1);
        let idle = (0..count).map(|_| connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)).collect::<Result<_, _>>()?;
        Ok(Self::Pool(Arc::new(Pool { idle: Mutex::new(idle), permits: Arc::new(Semaphore::new(count)) })))
    }

    /// Answers one question from the state after the last commit.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Step<T> + Send + 'static,
    {
        let pool = match self {
            Self::Pool(pool) => Arc::clone(pool),
            Self::Writer(writer) => return writer.read(work).await,
        };
        let closed = || StoreError::Unavailable("the readers have stopped".to_owned());
        let permit = Arc::clone(&pool.permits).acquire_owned().await.map_err(|_| closed())?;
        let answer = tokio::task::spawn_blocking(move || {
            let connection = pool.take().ok_or_else(closed)?;
            let answer = work(&connection).map_err(StoreError::from);
            pool.give_back(connection);
            // Only now, even if the caller left: a permit stands for an idle connection.
            drop(permit);
            answer
        });
        answer.await.unwrap_or_else(|_| Err(closed()))
    }
}

impl Pool {
    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}
