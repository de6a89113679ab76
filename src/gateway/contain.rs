//! The wall around one request: a fault of ours ends it, and nothing else.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;

use crate::error::Error;

/// What comes of a walk. A panic in it is an error like others, told to the client with the id of the request and to the
/// log; nothing that outlives a request is left half-done by one, because what requests share is changed in whole steps.
pub(super) fn contained<T>(
    walk: impl Future<Output = Result<T, Error>>,
) -> impl Future<Output = Result<T, Error>> {
    let walked = AssertUnwindSafe(walk).catch_unwind();
    walked.map(|walked| walked.unwrap_or(Err(Error::Panicked)))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn p4_a_panic_in_one_request_is_its_answer_and_the_next_one_is_served() {
        // Before the first wait, and after one.
        for waits in [false, true] {
            let walked: Result<(), Error> = contained(async {
                if waits {
                    tokio::task::yield_now().await;
                }
                panic!("a fault of ours");
            })
            .await;
            let error = walked.unwrap_err();
            let answer = error.answer();
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.reason, "panic");
            assert!(answer.alarm, "it is in the log, with the id of the request");
            let next = contained(async { Ok("served") }).await;
            assert_eq!(next.unwrap(), "served");
        }
    }
}
