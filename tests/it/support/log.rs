//! What the service within this process logs, kept to be searched.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, OnceLock},
};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

static KEPT: OnceLock<Kept> = OnceLock::new();

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Keeps every line from now on, all tests' together: there is one log in a process. More than any operator asks for.
pub(crate) fn keep() {
    KEPT.get_or_init(|| {
        let kept = Kept::default();
        let filter = EnvFilter::new("info,hallpass=trace,sqlx=debug,aws_config=debug,aws_sdk_sts=debug,reqwest=debug");
        tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(kept.clone()).init();
        kept
    });
}

/// All that was logged so far.
pub(crate) fn text() -> String {
    let kept = KEPT.get().expect("keep() first");
    String::from_utf8_lossy(&kept.0.lock().unwrap()).into_owned()
}
