//! The test support itself: the program starts, and its status and output arrive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use support::Home;

#[test]
fn wrong_usage_is_status_2() {
    let home = Home::new();
    home.dtcl().arg("--no-such-option").run().status(2);
}
