//! Takes a broken stream up where it ended (2025-11-25, "Resumability and
//! Redelivery"). Asks for what was not heard yet and for nothing else: the call
//! is never sent again. How long all this may take is its caller's to bound.

use std::{sync::atomic::Ordering, time::Duration};

use http::HeaderValue;

use super::{HttpShared, LAST_EVENT_ID, answer::Answered, sse::Parser};
use crate::upstream::{UpstreamError, era::Era};

/// How often one call's stream is taken up again. A server may close it on purpose and be asked now and then.
const RESUMPTIONS_MAX: u32 = 256;
/// How often in a row without hearing anything.
const IN_VAIN_MAX: u32 = 5;
/// How long to wait before that unless the server says; doubled each time in vain.
const RESUME_AFTER: Duration = Duration::from_millis(500);
/// How long to wait in any case, whatever the server says.
const RESUME_AFTER_MIN: Duration = Duration::from_millis(20);

/// The attempts of one call.
#[derive(Debug, Default)]
pub(super) struct Resumption {
    times: u32,
    in_vain: u32,
}

impl Resumption {
    /// Something came: it is worth going on.
    pub(super) const fn heard(&mut self) {
        self.in_vain = 0;
    }

    /// The stream from after the last event on.
    pub(super) async fn again(
        &mut self,
        shared: &HttpShared,
        parser: &Parser,
    ) -> Result<reqwest::Response, UpstreamError> {
        let gone = || UpstreamError::Gone("the stream ended".into());
        let last_id = parser.last_id().filter(|_| shared.era == Era::Handshake).ok_or_else(gone)?;
        let last_id = HeaderValue::from_str(last_id).map_err(|_| gone())?;
        while self.times < RESUMPTIONS_MAX && self.in_vain < IN_VAIN_MAX {
            let wait = parser.retry().unwrap_or(RESUME_AFTER).max(RESUME_AFTER_MIN);
            let longer = if self.in_vain == 0 { Duration::ZERO } else { RESUME_AFTER * 2_u32.pow(self.in_vain - 1) };
            tokio::time::sleep(wait.max(longer)).await;
            self.times += 1;
            self.in_vain += 1;
            let Ok(response) = shared.stream().header(LAST_EVENT_ID, last_id.clone()).send().await else { continue };
            match response.status().as_u16() {
                200 if Answered::of(&response) == Some(Answered::Events) => return Ok(response),
                429 | 500.. => {}
                404 => {
                    // The session is gone; the call was made all the same, so that it must not be made again.
                    shared.over.store(true, Ordering::Release);
                    return Err(gone());
                }
                _ => return Err(gone()),
            }
        }
        Err(gone())
    }
}
